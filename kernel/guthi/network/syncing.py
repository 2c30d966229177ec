"""Carries out syncs: asks a member over its session, answers one that asks, and tells when the node has joined.

What is asked and answered is decided in `guthi.membership.sync`; the wire form is one request whose answer is the
newer records and the wanted ids, and a second request with those records if any are wanted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from guthi.errors import GuthiError, MalformedMessage
from guthi.membership.comparing import Comparing
from guthi.membership.members import Member
from guthi.membership.records import decode_records
from guthi.messages.requests import Incoming, Requests

__all__ = ["Syncing"]

SYNC_TOPIC = "guthi.membership.sync"
RECORDS_TOPIC = "guthi.membership.records"
TIMEOUT_S = 10.0
RETRY_S = 0.25

log = logging.getLogger("guthi.syncing")


class Syncing:
    """The syncs of one node, in both directions; `merge` is given the records that came."""

    def __init__(self, requests: Requests, comparing: Comparing, merge: Callable[[Sequence[Member]], None]) -> None:
        self._requests, self._comparing, self._merge = requests, comparing, merge
        self.joined = asyncio.Event()
        """Set once records have come from another member, or when nobody is there to join."""
        requests.handle(SYNC_TOPIC, self._answer)
        requests.handle(RECORDS_TOPIC, self._take)

    async def sync(self, member: Member) -> None:
        """Make both tables equal; if it fails, the next comparison makes up for it, except for a node's first."""
        while not await self._succeeds(member) and not self.joined.is_set():
            await asyncio.sleep(RETRY_S)

    async def _succeeds(self, member: Member) -> bool:
        try:
            await self._exchange(member)
        except GuthiError as error:
            log.info("no sync with %s: %s", member.name, error)
            return False
        return True

    async def _exchange(self, member: Member) -> None:
        answer = await self._requests.request(member.id, SYNC_TOPIC, self._comparing.digest(), TIMEOUT_S)
        match answer:
            case [bytes() as records, bytes() as wanted]:
                self._received(records)
            case _:
                raise MalformedMessage("the answer to a sync is not records and ids")
        if wanted:
            await self._requests.request(member.id, RECORDS_TOPIC, self._comparing.requested(wanted), TIMEOUT_S)

    def _answer(self, incoming: Incoming) -> list[bytes]:
        return list(self._comparing.answer(incoming.value))

    def _take(self, incoming: Incoming) -> None:
        self._received(incoming.value)

    def _received(self, records: object) -> None:
        self._merge(decode_records(records))
        self.joined.set()
