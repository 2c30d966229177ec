"""The taker's side of pending events: a node that has a handler and a hand free claims what is offered.

The result, or why there is none, is told to the keeper until it has heard it, be it after a restart; so a keeper with
durable events may be away while others work for it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from guthi import (
    DeadlineExceeded,
    GuthiError,
    Incoming,
    MalformedMessage,
    MemberState,
    Node,
    NodeId,
    PeerLost,
    Role,
    UnknownMember,
    UnknownTopic,
    UsageError,
)
from guthi_health.errors import EventNotSaved, EventTaken
from guthi_health.keeping import CLAIM, FINISH, HOLDING, UPDATE
from guthi_health.offers import OFFER

__all__ = ["Taken", "Taker"]

TIMEOUT_S = 10.0
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0
PASSING = (PeerLost, DeadlineExceeded, UnknownTopic, EventNotSaved)  # the keeper is restarting, or its disk is full

T = TypeVar("T")

log = logging.getLogger("guthi_health.taking")


class Taken:
    """An event in the hands of the node that has taken it.

    `value` is its latest state, `attempt` counts those who have had it, `reason` says why the last one has it no more.
    """

    def __init__(self, taker: Taker, keeper: NodeId, topic: str, id: bytes, attempt: int, value: Any, reason: str):
        self._taker, self.keeper, self.topic, self.id = taker, keeper, topic, id
        self.attempt, self.value, self.reason = attempt, value, reason

    async def update(self, value: Any) -> bool:
        """Tell the keeper how far this is: from there it goes on if this node fails.

        False when the keeper cannot be reached, or cannot write it to its disk, just now: go on, the next update or
        the result will tell it. Raises EventTaken when another node has it by now: let that through, or stop.
        PendingFull, NotEncodable.
        """
        self.value = value
        return await self._taker.update(self, value)

    def update_and_wait(self, value: Any) -> bool:
        """The same for a plain function, in its thread. Raises UsageError on the node's own thread."""
        return self._taker.wait_for(self.update(value))


Handler: TypeAlias = Callable[[Taken], Awaitable[Any]] | Callable[[Taken], Any]
_End: TypeAlias = tuple[bool, bytes | str]  # True and the result, or False and the reason


@dataclass(slots=True)
class _Hands:
    """Who works on a topic here, and on how many events at a time; `busy` are those, and claims under way."""

    handler: Handler
    slots: int
    threads: Executor | None  # where a plain function runs
    busy: int = 0


class Taker:
    """What this node offers to take up."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._hands: dict[str, _Hands] = {}
        self._holding: set[tuple[NodeId, bytes, int]] = set()
        self._claiming: set[tuple[NodeId, str]] = set()
        node.handle_datagram(OFFER, self._offered)
        node.handle(HOLDING, self._asked)

    def take(self, topic: str, handler: Handler, slots: int) -> None:
        """See Pending.take."""
        if self._node.me.role is Role.CLIENT:
            raise UsageError('this node is a client, which is given no work; take events on one with role="peer"')
        if topic in self._hands:
            raise UsageError(f"this node takes events of {topic!r} already; raise the slots of that handler")
        if not callable(handler) or slots < 1:
            raise UsageError("events are taken by a function, at least one at a time")
        threads = None
        if not inspect.iscoroutinefunction(handler):
            threads = self._node.host.thread_executor(f"{self._node.name}-take-{topic}", slots, daemon=True)
        self._hands[topic] = _Hands(handler, slots, threads)

    def close(self) -> None:
        """What runs in threads runs on unheeded."""
        for hands in self._hands.values():
            if hands.threads is not None:
                hands.threads.shutdown(wait=False, cancel_futures=True)

    async def update(self, taken: Taken, value: Any) -> bool:
        """See Taken.update."""
        encoded = b"".join(self._node.codec.encode(value))
        try:
            await self._node.request(taken.keeper, UPDATE, [taken.id, taken.attempt, encoded], timeout_s=TIMEOUT_S)
        except PASSING:
            return False
        return True

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """In a thread: what comes of it on the node's loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        work.close()
        raise UsageError("a loop runs in this thread, and would stand still meanwhile; use `await event.update(value)`")

    def _offered(self, incoming: Incoming) -> None:
        topic, keeper = incoming.value, incoming.peer
        hands = self._hands.get(topic) if isinstance(topic, str) else None
        if hands is not None and hands.busy < hands.slots and (keeper, topic) not in self._claiming:
            self._claiming.add((keeper, topic))
            self._node.start(self._claim(keeper, topic, hands), f"claim of {topic}")

    async def _claim(self, keeper: NodeId, topic: str, hands: _Hands) -> None:
        try:
            while hands.busy < hands.slots:
                hands.busy += 1
                taken = None
                try:
                    taken = await self._granted(keeper, topic)
                finally:
                    if taken is None:
                        hands.busy -= 1
                if taken is None:
                    return
                self._node.start(self._hold(taken, hands), f"pending {topic}")
        finally:
            self._claiming.discard((keeper, topic))

    async def _granted(self, keeper: NodeId, topic: str) -> Taken | None:
        try:
            answer = await self._node.request(keeper, CLAIM, topic, timeout_s=TIMEOUT_S)
        except GuthiError as error:
            log.info("a claim of %r failed: %s", topic, error)
            return None
        match answer:
            case [bytes(id), int(attempt), bytes(value), str(reason)]:
                self._holding.add((keeper, id, attempt))
                return Taken(self, keeper, topic, id, attempt, value, reason)
        return None

    async def _hold(self, taken: Taken, hands: _Hands) -> None:
        """Work on it, and tell the keeper; however that ends, the keeper can find out that it is in hand no more."""
        try:
            try:
                end = await self._work(taken, hands)
            finally:
                hands.busy -= 1
            if end is not None:
                await self._report(taken, end)
        finally:
            self._holding.discard((taken.keeper, taken.id, taken.attempt))

    async def _work(self, taken: Taken, hands: _Hands) -> _End | None:
        """What came of it; None: it is somebody else's by now."""
        try:
            taken.value = self._node.codec.decode(taken.value)  # of types that this node may not know
            return True, b"".join(self._node.codec.encode(await self._result(taken, hands)))
        except EventTaken:
            return None
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # the last two would end the node
            log.exception("the handler of pending events of %r failed", taken.topic)
            return False, f"{type(error).__name__}: {error}"

    async def _result(self, taken: Taken, hands: _Hands) -> Any:
        if hands.threads is None:
            return await hands.handler(taken)
        result = await self._loop.run_in_executor(hands.threads, hands.handler, taken)
        return await result if inspect.isawaitable(result) else result

    async def _report(self, taken: Taken, end: _End) -> None:
        pause_s = FIRST_RETRY_S
        while not self._has_left(taken.keeper):
            try:
                await self._node.request(taken.keeper, FINISH, [taken.id, taken.attempt, *end], timeout_s=TIMEOUT_S)
                return
            except (EventTaken, UnknownMember) as error:
                log.info("what came of an event of %r is not wanted any more: %s", taken.topic, error)
                return
            except PASSING:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_RETRY_S)
            except GuthiError as error:
                log.warning("the keeper of an event of %r refuses what came of it: %s", taken.topic, error)
                if not end[0]:
                    return
                end = False, f"what came of it was refused: {error}"

    def _has_left(self, keeper: NodeId) -> bool:
        member = self._node.network.membership.get(keeper)
        return keeper != self._node.id and (member is None or member.state is MemberState.LEFT)

    def _asked(self, incoming: Incoming) -> list[list[Any]]:
        """Which of these events this node does not have in hand for the keeper that asks."""
        if not isinstance(incoming.value, list):
            raise MalformedMessage("a check is a list of events and attempts")
        missing = []
        for each in incoming.value:
            match each:
                case [bytes(id), int(attempt)]:
                    if (incoming.peer, id, attempt) not in self._holding:
                        missing.append([id, attempt])
                case _:
                    raise MalformedMessage("a check is a list of events and attempts")
        return missing
