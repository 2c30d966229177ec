"""The service `DVAR`: variables and arrays that all nodes share."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from guthi import Service, UsageError
from guthi_dvar.array import DistributedArray
from guthi_dvar.batch import Batch
from guthi_dvar.bodies import Write
from guthi_dvar.coherence import AtVersion, Equal, Strategy
from guthi_dvar.errors import ConstantWritten, SourceUnreachable, UnknownVariable
from guthi_dvar.finding import Finder
from guthi_dvar.grid import Grid
from guthi_dvar.holding import Holding
from guthi_dvar.kinds import ARRAY, kind_of, kind_of_type
from guthi_dvar.readings import Reading, VariableInfo, handed_out
from guthi_dvar.records import MOST_REPLICAS, Coherence, Declaration, is_name
from guthi_dvar.table import Copy, Variable
from guthi_dvar.watching import Change, Lagged
from guthi_mutex import Fence

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["DVAR", "Dvar"]

MISSING = object()
MOST_TRIES = 100
READS_AT_ONCE = 16


class Lease(Protocol):
    """`until` says until when, in loop time, coherent values may be handed out as they are."""

    until: float


class NoLease:
    """That of a node that is in no view."""

    until = -inf


class Dvar:
    """Distributed variables; one instance a node, got by `node.require(DVAR)`."""

    def __init__(
        self,
        node: Node,
        holding: Holding,
        finder: Finder,
        strategies: Mapping[Coherence, Strategy],
    ) -> None:
        self._node, self._holding = node, holding
        self._finder, self._strategies = finder, strategies
        self._ready, self._leased = holding.table.ready, holding.shelf.leased
        self._time = asyncio.get_running_loop().time
        self.lease: Lease = NoLease()
        """What allows coherent values to be handed out as they are; the plugin sets it."""

    # ---- creating and deleting

    async def create(
        self, name: str, value: Any, *, type: Any = None, coherence: str = "eventual", replicas: int = 2
    ) -> None:
        """Create a variable; when this returns, every node can read it.

        Its type is `type`, or that of the value (see `kinds`); of a numpy array the shape and dtype. `replicas` further
        nodes keep each version beside its source. `coherence` is "eventual" or "coherent": then no node reads an old
        value after a write has returned. Raises VariableExists, TypeMismatch, NotEncodable, UsageError.
        """
        if isinstance(value, np.ndarray) and type is None:
            await self.create_array(
                name, value.shape, value.dtype, values=value, coherence=coherence, replicas=replicas
            )
            return
        kind = kind_of(value) if type is None else kind_of_type(type)
        declaration = Declaration(kind, None, False, _coherence(coherence), _replicas(replicas))
        await self._create(name, declaration, {0: self._own(declaration, value)})

    async def constant(self, name: str, value: Any, *, type: Any = None, replicas: int = 2) -> None:
        """Create a variable that cannot be written; arguments and errors as of `create`."""
        if isinstance(value, np.ndarray) and type is None:
            grid = Grid.of(value.shape, value.dtype)
            declaration = Declaration(ARRAY, grid, True, Coherence.EVENTUAL, _replicas(replicas))
            await self._create(name, declaration, grid.select().scatter(value))
            return
        kind = kind_of(value) if type is None else kind_of_type(type)
        declaration = Declaration(kind, None, True, Coherence.EVENTUAL, _replicas(replicas))
        await self._create(name, declaration, {0: self._own(declaration, value)})

    async def create_array(
        self,
        name: str,
        shape: int | tuple[int, ...],
        dtype: Any,
        chunk: int | tuple[int, ...] | None = None,
        *,
        values: Any = None,
        coherence: str = "eventual",
        replicas: int = 2,
    ) -> DistributedArray:
        """Create an array, of zeros unless there are `values`, and return its handle.

        `chunk` is the shape of the chunks in which it is kept, fetched and invalidated, or their length along the first
        axis; by default they have about 1 MiB. Errors as of `create`.
        """
        grid = Grid.of(shape, dtype, chunk)
        declaration = Declaration(ARRAY, grid, False, _coherence(coherence), _replicas(replicas))
        await self._create(name, declaration, grid.select().scatter(values) if values is not None else {})
        return DistributedArray(self, name, grid)

    async def _create(self, name: str, declaration: Declaration, values: Mapping[int, Any]) -> None:
        if not isinstance(name, str) or not is_name(name):
            raise UsageError(f"a variable has a name of 1 to 255 bytes, not {name!r:.80}")
        await self._strategies[declaration.coherence].create(name, declaration, values)

    async def delete(self, name: str) -> None:
        """Delete a variable; a write that is made elsewhere at the same time is lost. Raises UnknownVariable."""
        await (await self._strategy(name)).delete(name)

    # ---- reading

    async def get(self, name: str, at: Any = None) -> Any:
        """The value, of an array a numpy array; with `at` what that numpy index selects of an array.

        A valid copy is returned at once; else the value is fetched. What comes is the caller's own, to change as it
        likes. Raises UnknownVariable, ValueUnavailable.
        """
        if at is None:
            if (value := self._ready.get(name, MISSING)) is not MISSING:
                return value
            if (value := self._leased.get(name, MISSING)) is not MISSING and self._time() < self.lease.until:
                return value
        variable = await self._finder.find(name)
        grid = _grid(variable)
        if grid is not None:
            return await self._get_array(variable, grid, ... if at is None else at)
        if at is not None:
            raise UsageError(f"{name!r} is no array; read it without an index")
        copy = await self._read(variable, 0)
        return handed_out(variable, copy.value)

    async def _get_array(self, variable: Variable, grid: Grid, at: Any) -> Any:
        selection = grid.select(at)
        chunks: dict[int, Any] = {}
        for start in range(0, len(selection.chunks), READS_AT_ONCE):
            some = selection.chunks[start : start + READS_AT_ONCE]
            copies = await asyncio.gather(*(self._read(variable, index) for index in some))
            chunks.update(zip(some, (each.value for each in copies), strict=True))
        return selection.gather(chunks)

    async def _read(self, variable: Variable, index: int) -> Copy:
        return await self._strategy_of(variable).read(variable.name, index)

    async def read(self, name: str, *, max_age_s: float | None = None) -> Reading:
        """The value of a variable that is no array, and how fresh it is.

        If the copy here is older than `max_age_s`, its source is asked whether there is a newer one; 0 asks in any
        case. Raises UnknownVariable, ValueUnavailable; where it asks, SourceUnreachable.
        """
        variable = await self._scalar(name)
        copy = await self._read(variable, 0)
        if max_age_s is not None and self._holding.now - copy.confirmed_at >= max_age_s:
            copy = await self._strategy_of(variable).read_confirmed(name, 0)
        age_s = max(self._holding.now - copy.confirmed_at, 0.0)
        return Reading(handed_out(variable, copy.value), copy.stamp.number, age_s, copy.stamp.node)

    # ---- writing

    async def set(self, name: str, value: Any, at: Any = None, *, fence: Fence | None = None) -> None:
        """Write a new version; with `at` only what that numpy index selects of an array.

        When this returns, the value is on `replicas` further nodes, as far as there are any that answer, and all nodes
        are being told; of a coherent variable no node reads the value before any more. A `fence`, for coherent ones, is
        that of the lock under which this is written: StaleFence if there was a write under a newer one. Raises
        UnknownVariable, TypeMismatch, ConstantWritten, ValueUnavailable; of coherent variables Unavailable.
        """
        await self._write(await self.writes(name, value, at), fence)

    async def writes(self, name: str, value: Any, at: Any = None) -> list[Write]:
        """What a `set` would write, checked; for batches."""
        variable = self._writable(self._holding.table.get(name) or await self._finder.find(name))
        declaration, grid = variable.declaration, _grid(variable)
        if grid is not None:
            changes = grid.select(... if at is None else at).scatter(value)
            return [Write(name, index, change) for index, change in sorted(changes.items())]
        if at is not None:
            raise UsageError(f"{name!r} is no array; write it without an index")
        return [Write(name, 0, self._own(declaration, value))]

    async def _write(self, writes: Sequence[Write], fence: Fence | None = None) -> None:
        if len(writes) == 1:
            await self._strategy_of(self._holding.variable(writes[0].name)).write(writes, fence)
            return
        by_strategy: dict[Coherence, list[Write]] = {}
        for each in writes:
            declaration = self._holding.variable(each.name).declaration
            if declaration is not None:
                by_strategy.setdefault(declaration.coherence, []).append(each)
        for coherence, some in by_strategy.items():
            await self._strategies[coherence].write(some, fence)

    def batch(self) -> Batch:
        """Many writes that are told in one round: `async with dvar.batch() as batch: batch.set(name, value)`.

        They are made when the context is left, and not if it is left by an exception.
        """
        return Batch(self.writes, self._write)

    async def compare_and_set(self, name: str, expected: Any, value: Any, *, fence: Fence | None = None) -> bool:
        """Write `value` if the value is `expected`; whether it was.

        The source of the newest version compares and writes, so of those who compare at the same time one succeeds. A
        plain `set` by another node at the same time is not compared with, and one of the two is lost; not so with a
        coherent variable, all of whose writes its owner makes one after the other. Raises SourceUnreachable, and what
        `set` raises.
        """
        variable = self._writable(await self._scalar(name))
        expected, value = self._own(variable.declaration, expected), self._own(variable.declaration, value)
        return await self._strategy_of(variable).compare_and_set(name, Equal(expected), value, fence)

    async def update(self, name: str, function: Callable[[Any], Any], *, fence: Fence | None = None) -> Any:
        """Replace the value by `function(value)`, a coroutine function or not, and return the new value.

        It reads at the source, applies here, and writes if the version is still the same; else it begins again, so
        `function` may run several times. No update by another is lost; for plain sets see `compare_and_set`.
        """
        for _ in range(MOST_TRIES):
            variable = self._writable(await self._scalar(name))
            strategy = self._strategy_of(variable)
            copy = await strategy.read_confirmed(name, 0)
            value = function(handed_out(variable, copy.value))
            if inspect.isawaitable(value):
                value = await value
            value = self._own(variable.declaration, value)
            if await strategy.compare_and_set(name, AtVersion(copy.stamp), value, fence):
                return handed_out(variable, value)
        raise SourceUnreachable(f"{name!r} was written by others {MOST_TRIES} times during an update; try again")

    # ---- watching and looking

    async def watch(self, name: str, *, queue: int = 256) -> AsyncIterator[Change | Lagged]:
        """The current value and each change after it, until the variable is deleted; of an array, chunk by chunk.

        Where versions were missed, because they were written over at once or because the caller left more than `queue`
        of them waiting, there is a Lagged that says how many. Raises UnknownVariable.
        """
        if queue < 1:
            raise UsageError("the queue of a watcher holds at least 1 change")
        strategy = await self._strategy(name)
        async for each in strategy.watched(name, queue):
            yield each

    async def array(self, name: str) -> DistributedArray:
        """The handle of an array that somebody has created; raises UnknownVariable, UsageError."""
        grid = _grid(await self._finder.find(name))
        if grid is None:
            raise UsageError(f"{name!r} is no array; use get and set")
        return DistributedArray(self, name, grid)

    async def synced(self) -> None:
        """Wait until this node knows what the network knew when it joined."""
        await self._finder.synced()

    def names(self) -> list[str]:
        """The names of all variables that this node knows, sorted."""
        return self._holding.table.names()

    async def info(self, name: str) -> VariableInfo:
        """What a variable is; raises UnknownVariable."""
        return await (await self._strategy(name)).info(name)

    # ---- what all of them need

    async def _strategy(self, name: str) -> Strategy:
        return self._strategy_of(await self._finder.find(name))

    def _strategy_of(self, variable: Variable) -> Strategy:
        if variable.declaration is None:
            raise UnknownVariable(f"there is no variable {variable.name!r} any more")
        return self._strategies[variable.declaration.coherence]

    async def _scalar(self, name: str) -> Variable:
        variable = await self._finder.find(name)
        if _grid(variable) is not None:
            raise UsageError(f"{name!r} is an array; use get and set with an index")
        return variable

    def _writable(self, variable: Variable) -> Variable:
        if variable.declaration is not None and variable.declaration.is_constant:
            raise ConstantWritten(f"{variable.name!r} is a constant; delete it and create it anew to change it")
        return variable

    def _own(self, declaration: Declaration | None, value: Any) -> Any:
        """The value as it is kept: checked, and not shared with the caller. Raises TypeMismatch, NotEncodable."""
        if declaration is None:
            raise UnknownVariable("the variable has been deleted")
        accepted = declaration.kind.accept(value)
        if declaration.kind.is_immutable:
            return accepted
        codec = self._node.codec
        return declaration.kind.accept(codec.decode(b"".join(codec.encode(accepted))), travelled=True)


DVAR: Service[Dvar] = Service("dvar")
"""What the plugin dvar provides: `node.require(DVAR)`."""


def _grid(variable: Variable) -> Grid | None:
    return variable.declaration.grid if variable.declaration is not None else None


def _coherence(name: str) -> Coherence:
    try:
        return Coherence(name)
    except ValueError:
        there = ", ".join(repr(each.value) for each in Coherence)
        raise UsageError(f"there is no coherence {name!r}; there is now: {there}") from None


def _replicas(count: int) -> int:
    if type(count) is not int or not 0 <= count <= MOST_REPLICAS:
        raise UsageError(f"replicas is a number from 0 to {MOST_REPLICAS}, not {count!r}")
    return count
