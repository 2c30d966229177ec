"""The kinds of call that an app can make, with one set of options."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from guthi import NodeId, UsageError
from guthi_rpc.asking import Asking
from guthi_rpc.calling import Calling, deadline_after, time_left
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.finding import Finder
from guthi_rpc.gathering import Gathered, Mode, gather
from guthi_rpc.handles import Call
from guthi_rpc.options import Options, Where
from guthi_rpc.questions import Answer, Question
from guthi_rpc.streaming import stream_values

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["CAST", "Calls"]

CAST = "rpc.cast"


class Calls:
    """What `rpc.options` returns: calls that are made as its options say."""

    lives_on_loop: ClassVar[bool] = True

    def __init__(
        self,
        node: Node,
        calling: Calling,
        asking: Asking,
        dispatch: Dispatch,
        finder: Finder,
        options: Options,
    ) -> None:
        self._node, self._calling, self._asking = node, calling, asking
        self._dispatch, self._finder = dispatch, finder
        self._options = options

    def having(self, options: Options) -> Calls:
        """The same, with other options."""
        return Calls(self._node, self._calling, self._asking, self._dispatch, self._finder, options)

    async def call(self, name: str, /, *arguments: Any, **named: Any) -> Any:
        """Call a function by name, and return its value; see Rpc.call."""
        return await self.run(self.question(name, arguments, named))

    def question(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Question:
        """A new call, for `run`."""
        return self._calling.question(name, arguments, named, self._options)

    async def run(self, question: Question) -> Any:
        """Make a call, and return its value."""
        try:
            answer, _ = await self._calling.call(question, self._options)
        finally:
            self._calling.done(question)
        return answer.value

    def submit(self, name: str, /, *arguments: Any, **named: Any) -> Call:
        """Begin a call and go on; see Rpc.submit."""
        question = self.question(name, arguments, named)
        return Call((self._node.id, question.number), name, self.run(question))

    async def cast(self, name: str, /, *arguments: Any, **named: Any) -> None:
        """Have a function called without waiting; see Rpc.cast. Only `on`, `affinity` and `priority` matter."""
        question = self._calling.question(name, arguments, named, self._options)
        node = await self._calling.provider(question, self._options)
        span = self._asking.span(question, node)
        try:
            await self._node.cast(node, CAST, question.to_wire())
        finally:
            if span is not None:
                span.end()

    def stream(
        self,
        name: str,
        /,
        *arguments: Any,
        inputs: Iterable[Any] | AsyncIterable[Any] | None = None,
        **named: Any,
    ) -> AsyncGenerator[Any, None]:
        """The values that a generator of the store yields; see Rpc.stream."""
        question = self._calling.question(name, arguments, named, self._options)
        return stream_values(self._node, self._asking, self._calling, self._dispatch, question, self._options, inputs)

    async def gather(
        self, name: str, /, *arguments: Any, on: Sequence[Where] | Where | None = None, mode: str = "all", **named: Any
    ) -> Gathered:
        """Call a function on every node that has it, or all of `on`; see Rpc.gather."""
        try:
            chosen = Mode(mode)
        except ValueError:
            raise UsageError(f"mode={mode!r}: choose one of {', '.join(repr(each.value) for each in Mode)}") from None
        deadline = deadline_after(self._options.timeout)
        nodes = await self._nodes(name, self._options.on if on is None else on, deadline)

        async def ask(node: NodeId) -> Answer:
            question = self._calling.question(name, arguments, named, self._options)
            try:
                return await self._asking.ask(node, question, time_left(deadline))
            finally:
                self._calling.done(question)

        return await gather(nodes, ask, self._node.network.name_of, chosen)

    async def _nodes(self, name: str, on: Sequence[Where] | Where | None, deadline: float | None) -> list[NodeId]:
        if on is None:
            await self._finder.search(name, None, deadline)
            return self._dispatch.everybody(name)
        return sorted(self._finder.all_meant(on))
