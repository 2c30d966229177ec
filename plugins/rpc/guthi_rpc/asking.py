"""One question to one node, and what its answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guthi import MalformedMessage, NodeId, NotEncodable, PeerLost
from guthi_rpc.batches import BATCH, Batch, Shape, read_outcomes
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.errors import NotComputed, Overloaded, Undecided, UnknownFunction
from guthi_rpc.questions import OVERLOADED, UNDECIDED, Answer, Question
from guthi_rpc.results import Outcome

if TYPE_CHECKING:
    from guthi import Node
    from guthi_rpc.tracing import Span, Tracing

__all__ = ["CALL", "Asking", "came_by_wire"]

CALL = "rpc.call"


class Asking:
    """The questions of one node."""

    def __init__(self, node: Node, dispatch: Dispatch) -> None:
        self._node, self._dispatch = node, dispatch
        self.tracing: Tracing | None = None

    def span(self, question: Question | Batch, node: NodeId) -> Span | None:
        """One for a call that begins, which takes it along; None where calls are not traced."""
        if self.tracing is None:
            return None
        span = self.tracing.asking(question.name, node)
        question.trace = span.trace
        return span

    async def ask(self, node: NodeId, question: Question, timeout_s: float | None) -> Answer:
        """Have the node call the function once.

        Raises what the function raised, DeadlineExceeded, NotEncodable, and NotComputed where the node, not the
        function, is to blame.
        """
        self._dispatch.began(node)
        span = None if self.tracing is None else self.span(question, node)
        try:
            answer = await self._node.request(node, CALL, question.to_wire(), timeout_s=timeout_s)
        except NotEncodable as error:
            raise self._blamed(error, node, question) from error
        except PeerLost as error:
            if came_by_wire(error):
                raise
            raise NotComputed(error, was_begun=True) from error
        finally:
            self._dispatch.ended(node)
            if span is not None:
                span.end()
        return self._read(answer, node, question.name)

    def _read(self, answer: Any, node: NodeId, name: str) -> Answer:
        if type(answer) is list and len(answer) == 3:  # the ordinary answer; a pattern would cost a microsecond
            value, seconds, running = answer
            if type(seconds) is float and type(running) is int:
                self._dispatch.reported(node, running)
                return Answer(value, seconds)
        match answer:
            case [value, float() | int() as seconds, int() as running]:
                self._dispatch.reported(node, running)
                return Answer(value, seconds)
            case None:
                reason = UnknownFunction(f"{self._name_of(node)} has no function {name!r} any more; call it again")
                raise NotComputed(reason, was_begun=False)
            case str(word) if word == OVERLOADED:
                text = f"{self._name_of(node)} has no room for a call of {name!r}; its queue is full"
                raise NotComputed(Overloaded(text), was_begun=False)
            case str(word) if word == UNDECIDED:
                text = f"{self._name_of(node)} reaches too few nodes to know whether {name!r} has run with this key"
                raise NotComputed(Undecided(f"{text}; it has not run now"), was_begun=False)
        raise MalformedMessage(f"{self._name_of(node)} answered a call with something that is no answer")

    async def ask_batch(self, node: NodeId, batch: Batch, timeout_s: float | None) -> list[Outcome]:
        """Have the node call the function once for each item. Raises as `ask`, but for what the function raised."""
        self._dispatch.began(node)
        span = self.span(batch, node)
        try:
            answer = await self._node.request(node, BATCH, batch.to_wire(), timeout_s=timeout_s)
        except PeerLost as error:
            raise NotComputed(error, was_begun=True) from error
        finally:
            self._dispatch.ended(node)
            if span is not None:
                span.end()
        wire, seconds = self._read(answer, node, batch.name)
        wanted = 1 if batch.shape is Shape.FOLD else len(batch.items)
        if not isinstance(wire, list) or len(wire) != wanted:
            raise MalformedMessage(f"{self._name_of(node)} answered a batch with something that is no answer")
        return read_outcomes(wire, seconds, self._node.codec, self._name_of(node))

    def _blamed(self, error: NotEncodable, node: NodeId, question: Question) -> NotEncodable:
        """The error with the argument at fault, or with the function whose result is."""
        if came_by_wire(error):
            what = str(error).replace("value[0]", "its result", 1)
            return NotEncodable(f"{question.name!r} ran on {self._name_of(node)}, but {what}")
        for label, value in [*enumerate(question.arguments, 1), *question.named.items()]:
            try:
                self._node.codec.encode(value)
            except NotEncodable as found:
                return NotEncodable(f"argument {label} of {question.name!r}: {str(found).removeprefix('value: ')}")
        return error

    def _name_of(self, node: NodeId) -> str:
        return self._node.network.name_of(node)


def came_by_wire(error: Exception) -> bool:
    """Whether the function raised it: then it has the remote traceback as a note, while ours is new and has none."""
    return bool(getattr(error, "__notes__", None))
