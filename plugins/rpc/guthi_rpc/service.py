"""The service `RPC`: what an app does with the global function store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from guthi import DeadlineExceeded, Role, Service, UnknownMember, UsageError
from guthi_rpc.calling import deadline_after
from guthi_rpc.calls import Calls
from guthi_rpc.context import CallId
from guthi_rpc.directory import MAX_FUNCTIONS
from guthi_rpc.durations import Durations
from guthi_rpc.errors import UnknownFunction
from guthi_rpc.executor import RpcExecutor
from guthi_rpc.finding import listed
from guthi_rpc.functions import Run, describe_function
from guthi_rpc.gathering import Gathered
from guthi_rpc.handles import Call
from guthi_rpc.listing import FunctionInfo, list_functions
from guthi_rpc.mapper import read_errors
from guthi_rpc.mapping import PATIENCE_S, MapRun, MapSettings
from guthi_rpc.options import Options, Where
from guthi_rpc.progress import Progress
from guthi_rpc.reducing import reduce_in_tree
from guthi_rpc.shipping import STYLES, capability, check_can_accept, run_code

if TYPE_CHECKING:
    from guthi_rpc.parts import Parts
    from guthi_rpc.tracing import Tracing

__all__ = ["RPC", "Rpc"]

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


class Rpc:
    """Functions that span the network; one instance a node, got by `node.require(RPC)`."""

    def __init__(self, parts: Parts) -> None:
        self._node, self._loop, self._functions = parts.node, parts.loop, parts.functions
        self._execution, self._directory, self._dispatch = parts.execution, parts.directory, parts.dispatch
        self._announcer, self._finder, self._checkpoints = parts.announcer, parts.finder, parts.checkpoints
        self._calls, self._mapper = parts.calls, parts.mapper
        self._next_change, self._peers, self._trace = parts.next_change, parts.peers, parts.trace

    # ---- the store

    @overload
    def function(self, function: AnyFunction, /) -> AnyFunction: ...

    @overload
    def function(
        self, /, *, name: str | None = None, run: Run | str | None = None
    ) -> Callable[[AnyFunction], AnyFunction]: ...

    def function(
        self, function: AnyFunction | None = None, /, *, name: str | None = None, run: Run | str | None = None
    ) -> AnyFunction | Callable[[AnyFunction], AnyFunction]:
        """A decorator that puts a function into the store: `@rpc.function` or `@rpc.function(run="process")`."""
        if function is not None:
            self.register(function)
            return function

        def decorate(decorated: AnyFunction) -> AnyFunction:
            self.register(decorated, name=name, run=run)
            return decorated

        return decorate

    def register(self, function: Callable[..., Any], *, name: str | None = None, run: Run | str | None = None) -> None:
        """Put a function into the store, so that every node can call it by name.

        `run` is "inline", "thread" or "process" (see Run); without it coroutine functions run inline and others in a
        thread. Raises UsageError if this node has another function of that name, or is a client, which is given no
        work.
        """
        if self._node.me.role is Role.CLIENT:
            raise UsageError(
                'this node is a client, which is given no work; register functions on one with role="peer"'
            )
        entry = describe_function(function, name, run)
        name = entry.description.name
        if name in self._functions:
            raise UsageError(f"this node has a function {name!r} already; unregister it first, or choose another name")
        if len(self._functions) == MAX_FUNCTIONS:
            raise UsageError(f"this node has {MAX_FUNCTIONS} functions, and may have no more; unregister some first")
        self._functions[name] = entry
        self._announcer.registered(entry.description)

    def unregister(self, name: str) -> None:
        """Take a function of this node out of the store; raises UnknownFunction."""
        if self._functions.pop(name, None) is None:
            raise UnknownFunction(f"this node has no function {name!r}; it has: {listed(self._functions)}")
        self._announcer.unregistered(name)

    def functions(self) -> list[FunctionInfo]:
        """All functions that any node has, sorted by name; where providers differ, one entry for each."""
        return list_functions(self._directory, self._node.network.name_of)

    def durations(self) -> dict[str, Durations]:
        """How long the calls of this node's own functions took, whoever made them; see Durations."""
        return {name: function.durations for name, function in sorted(self._functions.items())}

    def sum_of(self, durations: Iterable[tuple[int, int, float, Mapping[int, int]]]) -> Durations:
        """Those of several nodes in one: calls, errors, seconds and counts of each."""
        whole = Durations()
        for each in durations:
            whole.include(*each)
        return whole

    def trace(self, tracing: Tracing) -> None:
        """Follow calls from node to node from now on; for plugins that know how, such as `tracing`."""
        self._trace(tracing)

    async def available(self, name: str, *, nodes: int = 1, timeout: float | None = None) -> None:
        """Wait until that many nodes have a function; raises DeadlineExceeded after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while len(self._directory.providers(name)) < nodes:
                    await self._next_change()
        except TimeoutError:
            found = len(self._directory.providers(name))
            raise DeadlineExceeded(f"{found} of {nodes} nodes have {name!r} after {timeout:g} s") from None

    async def introduced(self, *, timeout: float | None = None) -> None:
        """Wait until all nodes have said what they have, as far as they answer within `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._directory.missing(self._announcer.peers()):
                    await self._next_change()

    async def workers(self, name: str, *, on: Where | None = None) -> int:
        """How many calls of a function all nodes run at a time; raises UnknownFunction, UnknownMember."""
        chosen = await self._finder.limited_to(name, on)
        return sum(map(self._directory.workers, chosen or self._directory.providers(name)))

    async def yields(self, name: str, *, on: Where | None = None, timeout: float | None = None) -> bool:
        """Whether a function gives a stream of values, for `stream`, and not one, for `call`; raises as `call`."""
        only = None if on is None else self._finder.meant(on)
        await self._finder.search(name, only, deadline_after(timeout))
        found = self._directory.descriptions(name)
        return any(description.yields for node, description in found if only in (None, node))

    # ---- calls

    def options(
        self,
        *,
        on: Where | None = None,
        timeout: float | None = None,
        idempotent: bool = False,
        key: str | None = None,
        affinity: str | None = None,
        priority: int = 0,
        state: Any = None,
    ) -> Calls:
        """The calls below with all that a caller may ask for (see Options): `rpc.options(key="x").call("pay", 7)`."""
        return self._calls.having(Options(on, timeout, idempotent, key, affinity, priority, state))

    async def call(
        self, name: str, /, *arguments: Any, on: Where | None = None, timeout: float | None = None, **named: Any
    ) -> Any:
        """Call a function by name, wherever it is, and return its value.

        `on` chooses the node. Without it an idle provider is asked, this node first, then one in this node's zone;
        if none is idle, the least loaded. `timeout` is in seconds; within a function that is itself being called, its
        deadline holds too. The function runs once at most. Raises what it raised, with the remote traceback in a note;
        UnknownFunction, UnknownMember, DeadlineExceeded, PeerLost, Overloaded, NotEncodable.
        """
        calls = self._calls if on is None and timeout is None else self.options(on=on, timeout=timeout)
        return await calls.run(calls.question(name, arguments, named))

    async def cast(self, name: str, /, *arguments: Any, on: Where | None = None, **named: Any) -> None:
        """Have a function called, and do not wait for what comes of it; its failure is logged where it runs."""
        await self.options(on=on).cast(name, *arguments, **named)

    def submit(
        self, name: str, /, *arguments: Any, on: Where | None = None, timeout: float | None = None, **named: Any
    ) -> Call:
        """Begin a call and go on: `await` what is returned for its value."""
        return self.options(on=on, timeout=timeout).submit(name, *arguments, **named)

    async def gather(
        self,
        name: str,
        /,
        *arguments: Any,
        on: Sequence[Where] | Where | None = None,
        mode: str = "all",
        timeout: float | None = None,
        **named: Any,
    ) -> Gathered:
        """Call a function on every node that has it (or all of `on`), and tell what came of each.

        `mode` says whose answers are waited for: "all", "first" (whoever is quickest) or "majority"; the rest are
        cancelled. Nothing of a single node is raised: see Gathered, whose `check` raises PartialResult if too few
        answered.
        """
        return await self.options(timeout=timeout).gather(name, *arguments, on=on, mode=mode, **named)

    def stream(
        self,
        name: str,
        /,
        *arguments: Any,
        inputs: Iterable[Any] | AsyncIterable[Any] | None = None,
        on: Where | None = None,
        timeout: float | None = None,
        **named: Any,
    ) -> AsyncGenerator[Any, None]:
        """The values that a generator of the store yields, as they are made: `async for value in rpc.stream("tail")`.

        With `inputs` the function gets an async iterator of these as its first argument, and takes them as it needs
        them. Whoever is quicker waits for the other. Leaving the loop ends the function. Raises as `call`; a stream
        whose node is lost is not begun again.
        """
        return self.options(on=on, timeout=timeout).stream(name, *arguments, inputs=inputs, **named)

    def map(
        self,
        name: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        star: bool = False,
        on: Sequence[Where] | Where | None = None,
        timeout: float | None = None,
        ordered: bool = False,
        idempotent: bool = False,
        errors: str = "raise",
        chunk: int | None = None,
        priority: int = 0,
        patience: float = PATIENCE_S,
    ) -> MapRun:
        """Call a function once for each item, on all nodes that have it; an asynchronous iterator of the results.

        Each result unpacks into `item, value`; they come as they are ready, or with `ordered` in the order of the
        items. With `star` an item is a tuple or list of arguments. `on` limits the nodes; `timeout` is for one item,
        in seconds from when a node was given it. Items are taken from the input as nodes have room, so it may be
        endless; if it is no asynchronous one, it should not block. Quick items are given out in chunks, whose size
        adapts; `chunk` sets it, and with 1 each item is a call of its own, which can go on from its last checkpoint.
        An item whose node is lost is computed again by another, so the function should be one that may run twice; if
        it may even do so at a time (`idempotent`), items that are late at the end are copied to idle nodes. With
        errors="return" an exception of the function is the result's `error`; else it ends the map. A map of a higher
        `priority` goes before others at the nodes. When all nodes that have the function are gone, it waits `patience`
        seconds for another. `progress` of what is returned tells how far it has come.
        Raises UnknownFunction, NoProvider, and PeerLost for an item that nodes are lost with again and again.
        """
        settings = MapSettings(ordered, idempotent, read_errors(errors), chunk, patience)
        return self._mapper.run(name, items, settings, star=star, on=on, timeout_s=timeout, priority=priority)

    def maps(self) -> list[Progress]:
        """How far the maps of this node have come, those that are over of late included; the newest last."""
        return list(self._mapper.progress)

    def in_flight(self) -> tuple[int, int]:
        """How many calls this node is running, for whomever, and for how many it waits."""
        return self._execution.running, self._dispatch.outstanding

    async def reduce(
        self,
        name: str,
        combine: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        star: bool = False,
        on: Sequence[Where] | Where | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Map, and combine all values into one on the nodes, in a tree: `combine` is a function of two values.

        It has to be associative and commutative, and in the store of every node that has `name`. Raises as `map`, and
        UsageError where there is no item.
        """
        async with aclosing(self.map(name, items, star=star, on=on, timeout=timeout)) as results:
            values = (result.value async for result in results)
            return await reduce_in_tree(values, partial(self._mapper.fold, combine))

    def state(self, call: Call | CallId) -> Any:
        """The newest state that a running call passed to `checkpoint`, as far as it has come here; else None.

        It comes to the caller and to one more node.
        """
        return self._checkpoints.state(call if isinstance(call, tuple) else call.id)

    async def recall(self, call: CallId) -> Any:
        """The newest state of a call whose caller is lost, from whichever node has it; None where none has.

        `options(state=…)` begins a call from there.
        """
        return await self._checkpoints.find(call, self._peers())

    # ---- the face of the standard library

    def executor(
        self,
        *,
        on: Where | None = None,
        run: Run | str = Run.THREAD,
        timeout: float | None = None,
        idempotent: bool = False,
        priority: int = 0,
        max_workers: int | None = None,
    ) -> RpcExecutor:
        """A `concurrent.futures.Executor` for names of functions, and, on nodes with `ship_code`, for any function.

        `run` is where such a function runs, in a "thread" or in a "process". `max_workers` is how many calls may be
        under way at a time, by default as many as the nodes can take; the rest is as in `options`.
        """
        options = Options(on, timeout, idempotent, priority=priority)
        return RpcExecutor(self, self._node, self._loop, self._next_change, options, run, max_workers)

    def name_of(self, function: Callable[..., Any]) -> str | None:
        """The name under which this node itself has the function; None if it has not. For any thread."""
        return next((name for name, each in list(self._functions.items()) if each.call is function), None)

    def places(self, on: Where | None = None) -> int:
        """How many calls the nodes can have at a time: one for each worker, and one more that waits."""
        try:
            nodes = self._directory.nodes() if on is None else [self._finder.meant(on)]
        except UnknownMember:  # as the call will say
            return 1
        return sum(self._directory.workers(node) + 1 for node in nodes) or 1

    def accept_code(self) -> None:
        """Run what other members send; raises ConfigError where it could not be read."""
        check_can_accept()
        for style in STYLES:
            self.register(run_code, name=capability(style), run=style)


RPC: Service[Rpc] = Service("rpc")
"""What the plugin rpc provides: `node.require(RPC)`."""
