"""The keeper's side of pending events: it keeps them, offers the free ones, and decides who gets which.

While anything is free, each second some peers are told so by datagrams, a few of them in turn; whoever has a handler
and a hand free claims. What was claimed is asked for now and then, so that an event is free again whose holder has
restarted unnoticed, or never heard that its claim was granted.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from guthi import GuthiError, Incoming, MalformedMessage, Member, Node, NodeId, UsageError
from guthi.calmlog import CalmLog
from guthi_health.disk import Disk
from guthi_health.errors import EventAbandoned, EventNotSaved, EventTaken
from guthi_health.kept import Kept
from guthi_health.ledger import ID_BYTES, Event, EventState, Ledger
from guthi_health.offers import Offers

__all__ = ["CLAIM", "FINISH", "HOLDING", "UPDATE", "Keeper"]

CLAIM, UPDATE, FINISH, HOLDING = "health.claim", "health.update", "health.finish", "health.holding"
OFFER_S = 1.0
MOST_TOPIC_CHARACTERS = 200
CHECK_S = 5.0
GRACE_S = 10.0  # for the holders of events that were loaded from the disk, to be seen
HOLDING_TIMEOUT_S = 10.0
MOST_REASON_CHARACTERS = 500
MOST_ATTEMPTS = 2**31

log = logging.getLogger("guthi_health.keeping")


class Keeper:
    """The events of this node. `file` is where durable ones go; None: the node has no folder."""

    def __init__(self, node: Node, ledger: Ledger, file: Path | None) -> None:
        self._node, self._ledger = node, ledger
        self._loop = asyncio.get_running_loop()
        self._disk = Disk(node, file) if file is not None else None
        self._offers = Offers(node)
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self._is_stirred = asyncio.Event()
        self._log = CalmLog(log, self._loop.time)
        node.handle(CLAIM, self._claimed)
        node.handle(UPDATE, self._updated)
        node.handle(FINISH, self._finished)

    async def open(self) -> None:
        """Load what is on the disk, and begin to tend it. Raises ConfigError for a file that cannot be read."""
        if self._disk is not None:
            for event in await self._disk.load():
                self._ledger.restore(event)
                if event.holder == self._node.id:
                    self._ledger.release(event, "its node restarted")
            self._node.start(self._disk.write_what_is_owed(), "pending events that could not be written")
        self._node.start(self._offer_what_is_free(), "offers of pending events")
        self._node.start(self._check_holders(), "checks of pending events")
        self._is_stirred.set()

    async def close(self) -> None:
        """Write nothing more; what was acknowledged is written."""
        if self._disk is not None:
            await self._disk.close()

    # ---- the app

    async def keep(self, topic: str, value: Any, holder: NodeId | None, *, is_durable: bool, attempts: int) -> Kept:
        """See Pending.keep."""
        if is_durable and self._disk is None:
            raise UsageError("a durable event needs a folder to lie in; set data_dir in [node]")
        if not 1 <= attempts <= MOST_ATTEMPTS or not 0 < len(topic) <= MOST_TOPIC_CHARACTERS:
            raise UsageError(
                f"an event has a topic of 1 to {MOST_TOPIC_CHARACTERS} characters, and an attempt at least, "
                f"{MOST_ATTEMPTS} at most"
            )
        event = Event(
            self._node.host.entropy(ID_BYTES), topic, self.encoded(value), holder, int(holder is not None), attempts,
            is_durable, EventState.HELD if holder is not None else EventState.FREE, held_since=self._loop.time(),
        )  # fmt: skip
        self._ledger.keep(event)
        if holder is not None and not self._is_present(holder):
            self._ledger.release(event, "its node had failed already")
        try:
            await self._save(event)
        except BaseException:  # nobody has the event then, to drop it; being cancelled does not take it off the disk
            self._ledger.drop(event.id)
            self._node.start(self._erase_what_is_not_kept(event), "drop of an event that nobody has")
            raise
        self._is_stirred.set()
        return Kept(self, event)

    def kept(self, topic: str | None = None) -> list[Kept]:
        """All events, or those of one topic, oldest first."""
        return [Kept(self, event) for event in self._ledger if topic in (None, event.topic)]

    async def update(self, event: Event, value: Any) -> None:
        """See Kept.update."""
        await self._save(self._ledger.update(event.id, event.attempt, _holder(event), self.encoded(value)))

    async def finish(self, event: Event, result: Any) -> None:
        """See Kept.finish."""
        await self._finish(event.id, event.attempt, _holder(event), self.encoded(result))

    async def _finish(self, id: bytes, attempt: int, holder: NodeId, result: bytes) -> None:
        """It may be said again: the acknowledgement was lost, or the disk was full."""
        event = self._ledger.done_by(id, attempt, holder)
        await self._end(event or self._ledger.done(id, attempt, holder, result))

    async def _end(self, event: Event) -> None:
        try:
            await self._save(event)
        finally:
            self._wake(event)

    async def release(self, event: Event, reason: str) -> None:
        """See Kept.release."""
        if self._ledger.release(event, reason):
            await self._freed(event)

    async def outcome(self, event: Event) -> Any:
        """See Kept.outcome."""
        while event.state not in (EventState.DONE, EventState.ABANDONED):
            self._check_kept(event)
            future: asyncio.Future[None] = self._loop.create_future()
            waiting = self._waiting.setdefault(event.id, [])
            waiting.append(future)
            try:
                await future
            finally:
                waiting.remove(future)
        self._check_kept(event)
        if event.state is EventState.ABANDONED:
            raise EventAbandoned(f"the event of {event.topic!r} was tried {event.attempt} times; lastly {event.reason}")
        return self.decoded(event.value)

    def _check_kept(self, event: Event) -> None:
        if self._ledger.get(event.id) is not event:
            raise EventTaken("the event was dropped")

    async def drop(self, event: Event) -> None:
        """See Kept.drop."""
        self._ledger.drop(event.id)
        self._wake(event)
        await self._erase(event)

    def _wake(self, event: Event) -> None:
        for future in self._waiting.pop(event.id, ()):
            if not future.done():
                future.set_result(None)

    # ---- other nodes

    def lost(self, member: Member, reason: str) -> None:
        """A node has failed or left: what it had in hand is free."""
        for event in self._ledger.lost(member.id, reason):
            self._node.start(self._freed(event))

    async def _freed(self, event: Event) -> None:
        log.info("an event of %r is %s: %s", event.topic, event.state.name.lower(), event.reason)
        if event.state is EventState.ABANDONED:
            self._wake(event)
        self._is_stirred.set()
        try:
            await self._save(event)
        except EventNotSaved as error:  # it is free all the same; after a crash it seems to be held, and is freed again
            self._log.warning("an event that was freed: %s", error)

    async def _claimed(self, incoming: Incoming) -> list[Any] | None:
        if not isinstance(incoming.value, str):
            raise MalformedMessage("a claim is a topic")
        if not self._is_present(incoming.peer):
            return None  # nobody would ever take back what it got
        event = self._ledger.claim(incoming.value, incoming.peer, self._loop.time())
        if event is None:
            return None
        granted = [event.id, event.attempt, event.value, event.reason]
        try:
            await self._save(event)
        except EventNotSaved:
            if (event.state, event.attempt) == (EventState.HELD, granted[1]):
                self._ledger.unclaim(event)
            raise
        return granted

    async def _updated(self, incoming: Incoming) -> None:
        match incoming.value:
            case [bytes(id), int(attempt), bytes(value)]:
                await self._save(self._ledger.update(id, attempt, incoming.peer, value))
            case _:
                raise MalformedMessage("an update is an event, an attempt and a value")

    async def _finished(self, incoming: Incoming) -> None:
        match incoming.value:
            case [bytes(id), int(attempt), True, bytes(result)]:
                await self._finish(id, attempt, incoming.peer, result)
            case [bytes(id), int(attempt), False, str(reason)]:
                event = self._ledger.spoken_for(id, attempt, incoming.peer)
                await self.release(event, reason[:MOST_REASON_CHARACTERS])
            case _:
                raise MalformedMessage("an end is an event, an attempt, whether it went well, and what came of it")

    # ---- what is done in the background

    async def _offer_what_is_free(self) -> None:
        while True:
            await self._is_stirred.wait()
            self._is_stirred.clear()
            while topics := self._ledger.free_topics():
                self._offers.send(topics)
                try:  # what is freed meanwhile is offered at once
                    async with asyncio.timeout(OFFER_S):
                        await self._is_stirred.wait()
                        self._is_stirred.clear()
                except TimeoutError:
                    pass

    async def _check_holders(self) -> None:
        await asyncio.sleep(GRACE_S)
        while True:
            for event in self._ledger:
                if event.state is EventState.HELD and not self._is_present(_holder(event)):
                    await self.release(event, "its node is gone")
            for holder, events in sorted(self._ledger.held_by_claim(self._loop.time() - CHECK_S).items()):
                await self._check(holder, events)
            await asyncio.sleep(CHECK_S)

    async def _check(self, holder: NodeId, events: list[Event]) -> None:
        wanted = {(event.id, event.attempt): event for event in events}
        try:
            missing = await self._node.request(holder, HOLDING, list(map(list, wanted)), timeout_s=HOLDING_TIMEOUT_S)
        except GuthiError:
            return  # its failure detector decides whether it is lost
        if not isinstance(missing, list):
            return
        for key in missing:
            match key:
                case [bytes(id), int(attempt)] if (event := wanted.get((id, attempt))) is not None:
                    if (event.holder, event.attempt) == (holder, attempt):
                        await self.release(event, "its node did not have it any more")

    # ---- the disk, and values

    async def _erase_what_is_not_kept(self, event: Event) -> None:
        with suppress(EventNotSaved):  # the disk tries it again
            await self._erase(event)

    async def _save(self, event: Event) -> None:
        """Returns when it is safe, raises EventNotSaved. Each change is written as the event is when its turn comes."""
        if self._disk is not None and event.is_durable and self._ledger.get(event.id) is event:
            await self._disk.put(event)

    async def _erase(self, event: Event) -> None:
        if self._disk is not None and event.is_durable:
            await self._disk.drop(event.id)

    def encoded(self, value: Any) -> bytes:
        """A value as it is kept; raises NotEncodable."""
        return b"".join(self._node.codec.encode(value))

    def decoded(self, value: bytes) -> Any:
        """A kept value."""
        return self._node.codec.decode(value)

    def _is_present(self, id: NodeId) -> bool:
        if id == self._node.id:
            return True
        member = self._node.network.membership.get(id)
        return member is not None and member.is_present


def _holder(event: Event) -> NodeId:
    if event.holder is None:
        raise EventTaken("nobody has the event in hand")
    return event.holder
