"""How far functions have come: what they pass to `checkpoint` goes to the caller and to one more node, the keeper.

Of checkpoints that follow one another faster than `interval_s` only the newest is sent. They are sent one-way and may
be lost: a later attempt then goes on from an older one. Before it does, the caller asks the keeper whether it has heard
of a newer one. When the caller itself is lost, the keeper's copy is what is left.

The first two nodes in the call's order are its possible keepers: the first that does not run the function itself is.
The node that ran a function tells the keeper when it has ended; the caller tells both when it wants it no more.

On `rpc.checkpoint` goes `[caller, number, attempt, revision, state]`: state is an encoded value, null when nobody needs
one any more. On `rpc.state` a node asks `[caller, number]`; the answer is `[attempt, revision, state]` or null.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi_rpc.attempts import is_being_cancelled
from guthi_rpc.context import CallId, Context
from guthi_rpc.kept import Checkpoint, Kept

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Checkpoints"]

TOPIC = "rpc.checkpoint"
ASK = "rpc.state"
LAST_ATTEMPT = 0xFFFF_FFFF  # no call is tried more often
ASK_S = 1.0  # a keeper that has not answered within that may be lost too


@dataclass(slots=True)
class _Publishing:
    """A call that runs here and has passed a checkpoint."""

    revision: int = 0
    newest: bytes | None = None  # not sent yet
    timer: asyncio.TimerHandle | None = None


class Checkpoints:
    """The checkpoints of one node, in all roles; `keepers` gives the possible keepers for a call of a function."""

    def __init__(self, node: Node, keepers: Callable[[str, CallId], Sequence[NodeId]], interval_s: float) -> None:
        self._node, self._keepers, self._interval_s = node, keepers, interval_s
        self._loop = asyncio.get_running_loop()
        self._publishing: dict[Context, _Publishing] = {}
        self._kept = Kept()
        node.handle(TOPIC, self._heard)
        node.handle(ASK, self._asked)

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
        if context.is_over:
            return
        entry = self._publishing.setdefault(context, _Publishing())
        entry.newest = encoded
        if entry.timer is None:
            self._publish(context, entry)

    def _publish(self, context: Context, entry: _Publishing) -> None:
        entry.timer = None
        if entry.newest is None:
            return
        entry.revision += 1
        for node in {context.caller: None, **dict.fromkeys(self._keeper(context))}:
            self._tell(node, context.call, context.attempt, Checkpoint(context.attempt, entry.revision, entry.newest))
        entry.newest = None
        entry.timer = self._loop.call_later(self._interval_s, self._publish, context, entry)

    def _keeper(self, context: Context) -> list[NodeId]:
        """Of one node, or none where there is no other."""
        return [node for node in self._keepers(context.function, context.call) if node != self._node.id][:1]

    def _tell(self, node: NodeId, call: CallId, attempt: int, checkpoint: Checkpoint | None) -> None:
        _, revision, state = checkpoint or (attempt, 0, None)
        self._node.start(self._cast(node, [*call, attempt, revision, state]))

    async def _cast(self, node: NodeId, word: list[Any]) -> None:
        try:
            await self._node.cast(node, TOPIC, word)
        except GuthiError:
            return  # the next one may arrive

    @contextmanager
    def following(self, context: Context) -> Iterator[None]:
        """For as long as a task of its own runs the function."""
        try:
            yield
        finally:
            if is_being_cancelled():
                self._stop(context)
            else:
                self.ended(context)

    def _stop(self, context: Context) -> None:
        """Nobody waits for the function here any more; what it has said may be needed elsewhere."""
        context.is_over = True
        entry = self._publishing.pop(context, None)
        if entry is not None and entry.timer is not None:
            entry.timer.cancel()

    def ended(self, context: Context) -> None:
        """The function has ended, and its caller is told so."""
        if context not in self._publishing:  # as a rule: most functions pass none
            context.is_over = True
            return
        self._stop(context)
        for node in self._keeper(context):
            self._loop.call_soon(
                self._tell, node, context.call, context.attempt, None
            )  # this may be the end of the node

    def close(self) -> None:
        """Publish nothing more."""
        for context in list(self._publishing):
            self._stop(context)

    # ---- where it is kept

    def _heard(self, incoming: Incoming) -> None:
        match incoming.value:
            case [bytes(caller), int(number), int(attempt), int(revision), bytes() | None as state] if (
                len(caller) == NodeId.SIZE
            ):
                call = NodeId(caller), number
            case _:
                raise MalformedMessage("a checkpoint is a caller, a number, an attempt, a revision, a state or null")
        if state is None:
            self._kept.forget(call, attempt)
        else:
            self._kept.offer(call, Checkpoint(attempt, revision, state))

    def _asked(self, incoming: Incoming) -> Checkpoint | None:
        match incoming.value:
            case [bytes(caller), int(number)] if len(caller) == NodeId.SIZE:
                return self._kept.get((NodeId(caller), number))
        raise MalformedMessage("the state of a call is asked for by its caller and its number")

    def state(self, call: CallId) -> Any:
        """The newest checkpoint of the call that has reached this node; None if there is none."""
        kept = self._kept.get(call)
        return None if kept is None else self._node.codec.decode(kept.state)

    # ---- where it is needed

    async def newest(self, function: str, call: CallId) -> Any:
        """The newest checkpoint that this node or a keeper has; None if there is none."""
        return await self.find(call, self._keepers(function, call))

    async def find(self, call: CallId, nodes: Sequence[NodeId]) -> Any:
        """The newest checkpoint that this node or one of those has; None if there is none."""
        await asyncio.gather(*(self._fetch(node, call) for node in nodes if node != self._node.id))
        return self.state(call)

    async def _fetch(self, node: NodeId, call: CallId) -> None:
        try:
            answer = await self._node.request(node, ASK, list(call), timeout_s=ASK_S)
        except GuthiError:
            return
        match answer:
            case [int(attempt), int(revision), bytes(state)]:
                self._kept.offer(call, Checkpoint(attempt, revision, state))

    def drop(self, function: str, call: CallId) -> None:
        """This node made the call, and nobody needs its checkpoints any more."""
        if self._kept.forget(call, LAST_ATTEMPT):
            for node in self._keepers(function, call):
                self._tell(node, call, LAST_ATTEMPT, None)
