"""How far functions have come: what they pass to `checkpoint` goes to the caller and to one more node, the keeper.

Of checkpoints that follow one another faster than `interval_s` only the newest is sent. They are sent one-way and may
be lost: a later attempt then goes on from an older one. What is received is kept until the caller has its result, and
at most MAX_KEPT of them, the newest.

On `rpc.checkpoint` goes `[caller, number, revision, state]`: state is an encoded value, null when the call has ended.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi_rpc.context import CallId, Context

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Checkpoints"]

TOPIC = "rpc.checkpoint"
MAX_KEPT = 4096
MAX_KEPT_BYTES = 256 << 20


@dataclass(slots=True)
class _Publishing:
    """A call that runs here and has passed a checkpoint."""

    function: str
    revision: int = 0
    newest: bytes | None = None  # not sent yet
    timer: asyncio.TimerHandle | None = None


class Checkpoints:
    """The checkpoints of one node, in both roles; `keeper` chooses the further node for a call of a function."""

    def __init__(self, node: Node, keeper: Callable[[str, CallId], NodeId | None], interval_s: float) -> None:
        self._node, self._keeper, self._interval_s = node, keeper, interval_s
        self._loop = asyncio.get_running_loop()
        self._publishing: dict[CallId, _Publishing] = {}
        self._kept: OrderedDict[CallId, tuple[NodeId, int, bytes]] = OrderedDict()
        self._kept_bytes = 0
        node.handle(TOPIC, self._heard)

    # ---- where the function runs

    def report(self, context: Context, state: Any) -> None:
        """From whatever thread runs the function; raises NotEncodable."""
        encoded = b"".join(self._node.codec.encode(state))
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            self._take(context, encoded)
        else:
            self._loop.call_soon_threadsafe(self._take, context, encoded)

    def _take(self, context: Context, encoded: bytes) -> None:
        entry = self._publishing.setdefault(context.call, _Publishing(context.function))
        entry.newest = encoded
        if entry.timer is None:
            self._publish(context.call, entry)

    def _publish(self, call: CallId, entry: _Publishing) -> None:
        entry.timer = None
        if entry.newest is None:
            return
        entry.revision += 1
        for node in {call[0]: None, self._keeper(entry.function, call): None}:
            self._tell(node, call, entry.revision, entry.newest)
        entry.newest = None
        entry.timer = self._loop.call_later(self._interval_s, self._publish, call, entry)

    def _tell(self, node: NodeId | None, call: CallId, revision: int, state: bytes | None) -> None:
        if node is not None:
            self._node.start(self._cast(node, [*call, revision, state]))

    async def _cast(self, node: NodeId, word: list[Any]) -> None:
        try:
            await self._node.cast(node, TOPIC, word)
        except GuthiError:
            return  # the next one may arrive

    def ended(self, call: CallId) -> None:
        """The function is done with the call."""
        entry = self._publishing.pop(call, None)
        if entry is not None:
            if entry.timer is not None:
                entry.timer.cancel()
            keeper = self._keeper(entry.function, call)
            self._loop.call_soon(self._tell, keeper, call, entry.revision + 1, None)  # this may be the end of the node

    def close(self) -> None:
        """Publish nothing more."""
        for entry in self._publishing.values():
            if entry.timer is not None:
                entry.timer.cancel()
        self._publishing.clear()

    # ---- where it is kept

    def _heard(self, incoming: Incoming) -> None:
        match incoming.value:
            case [bytes(caller), int(number), int(revision), bytes() | None as state] if len(caller) == NodeId.SIZE:
                call = NodeId(caller), number
            case _:
                raise MalformedMessage("a checkpoint is a caller, a number, a revision, and a state or null")
        known = self._kept.get(call)
        if state is None:
            self.forget(call)
        elif known is None or known[0] != incoming.peer or known[1] < revision:  # each attempt counts anew
            self._keep(call, incoming.peer, revision, state)

    def _keep(self, call: CallId, source: NodeId, revision: int, state: bytes) -> None:
        self.forget(call)
        self._kept[call] = source, revision, state
        self._kept_bytes += len(state)
        while len(self._kept) > MAX_KEPT or self._kept_bytes > MAX_KEPT_BYTES:
            self.forget(next(iter(self._kept)))

    def state(self, call: CallId) -> Any:
        """The newest checkpoint of the call that has reached this node; None if there is none."""
        kept = self._kept.get(call)
        return None if kept is None else self._node.codec.decode(kept[2])

    def forget(self, call: CallId) -> None:
        """Nobody will ask for it any more."""
        kept = self._kept.pop(call, None)
        if kept is not None:
            self._kept_bytes -= len(kept[2])
