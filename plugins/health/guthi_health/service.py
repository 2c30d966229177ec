"""The service `HEALTH`: who is well, as this node sees it; who wants to know of failures; what outlives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar, overload

from guthi import Incoming, Member, MemberState, Node, NodeId, Service, UsageError
from guthi_health import report
from guthi_health.callbacks import Callback, Callbacks, Where
from guthi_health.clock import ClockOffset
from guthi_health.detector import Detector
from guthi_health.errors import EventAbandoned, EventNotSaved, EventTaken, PendingFull
from guthi_health.keeping import Keeper
from guthi_health.kept import Kept
from guthi_health.ledger import Ledger
from guthi_health.taking import Handler, Taker
from guthi_health.watch import Sight, Watch

__all__ = ["HEALTH", "Health", "Pending"]

AnyCallback = TypeVar("AnyCallback", bound=Callback)
AnyHandler = TypeVar("AnyHandler", bound=Handler)
ATTEMPTS = 10


class Pending:
    """The pending-events queue: work that goes on when the node that does it fails. See docs/health.md."""

    lives_on_loop: ClassVar[bool] = True

    def __init__(self, node: Node, most_events: int, most_bytes: int, file: Path | None) -> None:
        for error in (EventAbandoned, EventNotSaved, EventTaken, PendingFull):
            node.codec.register(error, f"health.{error.__name__}")
        self._node = node
        self._taker = Taker(node)
        self.keeper = Keeper(node, Ledger(most_events, most_bytes), file)

    async def close(self) -> None:
        """Take up nothing more, and write nothing more; what was acknowledged is written."""
        self._taker.close()
        await self.keeper.close()

    async def keep(
        self, topic: str, value: Any, *, for_node: Where | None = None, durable: bool = False, attempts: int = ATTEMPTS
    ) -> Kept:
        """Keep an event for as long as the node that works on it may fail; this node is its keeper.

        `value` is its state so far. `for_node` has it in hand; without it, whoever is available may take it at once.
        When that node fails or leaves, the event with its latest state is offered to the nodes that `take` the topic;
        it has at most `attempts` holders in all. With `durable` it is on the disk when this returns, and so is each
        later change when it is acknowledged.

        Raises PendingFull, EventNotSaved, UsageError, UnknownMember, NotEncodable.
        """
        holder = self._id_of(for_node) if for_node is not None else None
        return await self.keeper.keep(topic, value, holder, is_durable=durable, attempts=attempts)

    def kept(self, topic: str | None = None) -> list[Kept]:
        """The events that this node keeps, oldest first; after a restart the durable ones."""
        return self.keeper.kept(topic)

    def take(self, topic: str, *, slots: int = 1) -> Callable[[AnyHandler], AnyHandler]:
        """A decorator: offer this node for events of a topic, `slots` at a time.

        The function is given a Taken, and what it returns is the event's result. If it raises, the event is offered
        again. A coroutine function runs as a task, a plain one in a thread, and updates by `event.update_and_wait`.
        Raises UsageError on a client, and for a topic that is taken here already.
        """

        def decorate(handler: AnyHandler) -> AnyHandler:
            self._taker.take(topic, handler, slots)
            return handler

        return decorate

    def _id_of(self, where: Where) -> NodeId:
        if isinstance(where, Member):
            return where.id
        return self._node.member(where).id


class Health:
    """One instance a node, got by `node.require(HEALTH)`."""

    def __init__(self, node: Node, detector: Detector, pending: Pending) -> None:
        self._node = node
        self.watch = Watch(node, detector)
        self.callbacks = Callbacks(node)
        self.pending = pending
        node.handle(report.TOPIC, self._report)

    def _report(self, _: Incoming) -> list[Any]:
        return report.to_wire(self.detector, self.score, self.table(), self._node.network.name_of)

    @property
    def detector(self) -> str:
        """The name of the failure detector that runs here."""
        return self.watch.detector.name

    @property
    def score(self) -> int:
        """How badly this node itself seems to do, by its own detector: 0 is well."""
        return self.watch.score

    @overload
    def on_failure(self, node: Where | None = None) -> Callable[[AnyCallback], AnyCallback]: ...

    @overload
    def on_failure(self, node: Where | None, callback: AnyCallback) -> AnyCallback: ...

    def on_failure(self, node: Where | None = None, callback: AnyCallback | None = None) -> Any:
        """Call back when a node fails, each time: `@health.on_failure("bob")`; without a node, when any does.

        The callback is given the Member, whose `verdict` says why. A coroutine function runs as a task, a plain one in
        a thread; what it raises is logged.
        """
        if callback is not None:
            self.callbacks.add(node, callback)
            return callback

        def decorate(decorated: AnyCallback) -> AnyCallback:
            self.callbacks.add(node, decorated)
            return decorated

        return decorate

    def off_failure(self, callback: Callback) -> None:
        """Undo `on_failure`."""
        self.callbacks.remove(callback)

    def table(self) -> list[Sight]:
        """How this node sees every other that has not left, sorted by name."""
        known = self._node.network.membership.snapshot()
        others = [each for each in known if each.id != self._node.id and each.state is not MemberState.LEFT]
        return [self.watch.sight(each) for each in sorted(others, key=lambda each: (each.name, each.id))]

    def clock_offset(self, node: Where) -> ClockOffset | None:
        """How far a node's wall clock is ahead of this node's, and within which bound, in seconds.

        From the echoes of the last minutes (see `clock`); None while none was answered. Raises UnknownMember, and
        UsageError for this node itself.
        """
        member = node if isinstance(node, Member) else self._node.member(node)
        if member.id == self._node.id:
            raise UsageError("a node's clock is not ahead of itself")
        return self.watch.clock_offset(member.id)


HEALTH: Service[Health] = Service("health")
"""What the plugin health provides: `node.require(HEALTH)`."""
