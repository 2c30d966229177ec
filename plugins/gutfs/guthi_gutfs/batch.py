"""Several operations in one round trip a node: what is asked for within the context is done when it is left.

The operations on one node are done in order; when one fails, those after it on that node are not tried, and raise
NotTried, unless the batch goes on. Those on different nodes are done at the same time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

from guthi import GuthiError, NodeId, UsageError
from guthi_gutfs.entries import Entry, Version, Written
from guthi_gutfs.paths import tree_path
from guthi_gutfs.serving.operations import MOST_INLINE_BYTES, MOST_OPERATIONS, fence_to_wire
from guthi_gutfs.tree.results import Listed
from guthi_gutfs.tree.view import View
from guthi_mutex import Fence

__all__ = ["Batch", "Outcome"]

T = TypeVar("T")


Operation: TypeAlias = list[Any]


class Outcome(Generic[T]):
    """What an operation of a batch came to; there when the batch is left."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._result: Any = UsageError("the batch is not done yet; leave its `async with` first")

    def settle(self, result: Any) -> None:
        """For the batch."""
        self._result = result

    @property
    def value(self) -> T:
        """The result; raises what the operation raised."""
        if isinstance(self._result, Exception):
            raise self._result
        result: T = self._result
        return result


Outcomes: TypeAlias = list[Outcome[Any]]


class Batch:
    """A batch under way: `async with fs.batch() as batch: one = batch.stat(path)`, and then `one.value`."""

    def __init__(self, view: View, *, goes_on: bool) -> None:
        self._view, self._goes_on = view, goes_on
        self._outcomes: Outcomes = []

    async def __aenter__(self) -> Batch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._do()

    def _later(self, name: str, path: str, *arguments: Any) -> Outcome[Any]:
        if len(self._outcomes) >= MOST_OPERATIONS - 1:
            raise UsageError(f"a batch has at most {MOST_OPERATIONS - 1} operations; make several")
        outcome: Outcome[Any] = Outcome([name, tree_path(path), *arguments])
        self._outcomes.append(outcome)
        return outcome

    def stat(self, path: str) -> Outcome[Entry]:
        """What is under a path."""
        return self._later("stat", path)

    def list(self, path: str) -> Outcome[Listed]:
        """What is in a folder of one node: the first 10,000 entries."""
        return self._later("list", path)

    def read(self, path: str, offset: int = 0, size: int = MOST_INLINE_BYTES) -> Outcome[bytes]:
        """A part of a file, of at most 8 MiB."""
        return self._later("read", path, offset, min(size, MOST_INLINE_BYTES))

    def write(
        self, path: str, data: bytes, *, base: Version | None = None, fence: Fence | None = None
    ) -> Outcome[Written]:
        """Write a whole file."""
        return self._later("write", path, bytes(data), base and base.to_wire(), fence_to_wire(fence))

    def append(self, path: str, data: bytes, *, fence: Fence | None = None) -> Outcome[Written]:
        """Write at the end of a file."""
        return self._later("append", path, bytes(data), fence_to_wire(fence))

    def rename(self, path: str, to: str, *, replace: bool = False, fence: Fence | None = None) -> Outcome[Entry]:
        """Give a file or folder another path."""
        return self._later("rename", path, tree_path(to), replace, fence_to_wire(fence))

    def delete(self, path: str, *, recursive: bool = False, fence: Fence | None = None) -> Outcome[None]:
        """Delete a file or folder."""
        return self._later("delete", path, recursive, fence_to_wire(fence))

    def mkdir(self, path: str, *, parents: bool = False, fence: Fence | None = None) -> Outcome[Entry]:
        """Make a folder."""
        return self._later("mkdir", path, parents, fence_to_wire(fence))

    # ---- doing

    async def _do(self) -> None:
        by_node: defaultdict[NodeId, Outcomes] = defaultdict(list)
        places: dict[str, tuple[NodeId, str]] = {}
        for outcome in self._outcomes:
            try:
                node = await self._place(outcome.operation, places)
            except GuthiError as error:
                outcome.settle(error)
            else:
                by_node[node].append(outcome)
        await asyncio.gather(*(self._on(node, some) for node, some in by_node.items()))

    async def _place(self, operation: Operation, places: dict[str, tuple[NodeId, str]]) -> NodeId:
        """Whose operation it is; the paths become those of that node's own tree."""
        node, operation[1] = await self._known(operation[1], places)
        if operation[0] == "rename":
            target = self._view.split(operation[2]) or (node, operation[2])
            if target[0] != node:
                raise UsageError(f"{operation[2]} is on another node; copy it, and delete the old one")
            operation[2] = target[1]
        return node

    async def _known(self, path: str, places: dict[str, tuple[NodeId, str]]) -> tuple[NodeId, str]:
        if path not in places:
            places[path] = await self._view.place_of_any(path)
        return places[path]

    async def _on(self, node: NodeId, outcomes: Sequence[Outcome[Any]]) -> None:
        try:
            results = await self._view.tree(node).several([each.operation for each in outcomes], goes_on=self._goes_on)
        except GuthiError as error:
            results = [error] * len(outcomes)
        for outcome, result in zip(outcomes, results, strict=True):
            outcome.settle(result)
