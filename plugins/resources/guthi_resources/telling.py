"""Samples between nodes: ticks of the spread, the message that tells records, and the question for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Any

from guthi import GuthiError, Incoming, MalformedMessage, Member, MemberState, Node, NodeClosed, NodeId, PeerLost, Role
from guthi_resources.sample import Sample, from_wire, to_wire
from guthi_resources.spread import TICK_S, Record, Spread

__all__ = ["TABLE", "Telling", "read_table", "takes_part"]

TOLD = "resources.told"
TABLE = "resources.table"
MOST_RECORDS_IN_TABLE = 100_000
VERSION_LIMIT = 2**63
ASKED_ON_START = 3
ASK_TIMEOUT_S = 5.0

log = logging.getLogger("guthi_resources")


def takes_part(member: Member) -> bool:
    """Whether a member tells its resources and passes those of others on."""
    return (
        member.role is Role.PEER
        and member.state is MemberState.ALIVE
        and any(name == "resources" for name, _ in member.plugins)
    )


class Telling:
    """One node's exchange with the others; `heard` is called with each record that is news."""

    def __init__(self, node: Node, budget_bytes_s: float, heard: Callable[[Record], None], rng: Random) -> None:
        self._node, self._heard, self._rng = node, heard, rng
        self._clock = asyncio.get_running_loop().time
        self.spread = Spread(node.id, budget_bytes_s)
        node.handle(TOLD, self._told)
        node.handle(TABLE, lambda incoming: [_record_to_wire(each) for each in self.spread.records()])

    def members_changed(self) -> None:
        """Who takes part may have changed."""
        self.spread.set_ring(each.id for each in self._node.members if takes_part(each))

    def publish(self, sample: Sample) -> None:
        """Tell this node's new sample, if that is worth it."""
        now = self._clock()
        if takes_part(self._node.me) and self.spread.is_worth_telling(sample, now):
            self.spread.publish(sample, round(self._node.host.wall_time_s() * 1000), now)

    async def run(self) -> None:
        """Learn what others know, then tell, tick by tick, as long as the node lives."""
        await self._catch_up()
        await asyncio.sleep(self._rng.uniform(0.0, TICK_S))  # those who start together need not speak together
        while True:
            self._tell()
            await asyncio.sleep(TICK_S)

    def _tell(self) -> None:
        network = self._node.network
        for peer, records in self.spread.due(network.is_writable):
            try:
                network.requests.cast(peer, TOLD, [_record_to_wire(each) for each in records])
            except (PeerLost, NodeClosed):
                pass  # the ring is about to change; what is missed now is told anew before long

    async def _catch_up(self) -> None:
        """Ask somebody for all that is known."""
        others = [each for each in self._node.members if takes_part(each)]
        for member in self._rng.sample(others, min(len(others), ASKED_ON_START)):
            try:
                answer = await self._node.request(member, TABLE, None, timeout_s=ASK_TIMEOUT_S)
                self._take(read_table(answer))
            except GuthiError as error:
                log.debug("%s did not tell the resources that it knows: %s", member.name, error)
            else:
                return

    def _told(self, incoming: Incoming) -> None:
        self._take(read_table(incoming.value))

    def _take(self, records: list[Record]) -> None:
        now, members = self._clock(), self._node.network.membership.members
        for record in records:
            member = members.get(record.origin)
            if member is None or member.state is MemberState.LEFT:
                continue  # or its goodbye has overtaken what it said before
            if self.spread.receive(record, now):
                self._heard(record)


def _record_to_wire(record: Record) -> list[Any]:
    return [bytes(record.origin), record.version, to_wire(record.sample)]


def read_table(value: Any) -> list[Record]:
    """The records of a message; raises MalformedMessage."""
    if not isinstance(value, list) or len(value) > MOST_RECORDS_IN_TABLE:
        raise MalformedMessage("records of resources are a list")
    return [_record_from_wire(each) for each in value]


def _record_from_wire(value: Any) -> Record:
    if not isinstance(value, list) or len(value) != 3:
        raise MalformedMessage("a record is an origin, a version and a sample")
    origin, version, sample = value
    if not isinstance(origin, bytes) or len(origin) != NodeId.SIZE:
        raise MalformedMessage("the origin of a record is a node id")
    if type(version) is not int or not 0 <= version < VERSION_LIMIT:
        raise MalformedMessage("the version of a record is a whole number")
    return Record(NodeId(origin), version, from_wire(sample))
