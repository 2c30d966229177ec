"""The service `RPC`: what an app does with the global function store.

On `rpc.call` a node sends `[name, arguments, named arguments]`. The answer is `[value, seconds]`, or null where the
node does not have the function, or not any more; an exception is always the function's own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from guthi import (
    DeadlineExceeded,
    GuthiError,
    Incoming,
    MalformedMessage,
    Member,
    NodeId,
    NotEncodable,
    PeerLost,
    Role,
    Service,
    UsageError,
)
from guthi_rpc.announcing import Announcer
from guthi_rpc.directory import MAX_FUNCTIONS, Directory
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.errors import NoProvider, UnknownFunction, WorkerDied
from guthi_rpc.execution import Answer, Execution
from guthi_rpc.functions import Function, Run, describe_function
from guthi_rpc.mapping import PATIENCE_S, MapResult, MapRun, NotComputed

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["RPC", "FunctionInfo", "Rpc"]

TOPIC = "rpc.call"
INTRODUCTION_TIMEOUT_S = 5.0  # how long a call waits for nodes that have not said yet what they have
LOOKUP_GRACE_S = 0.5  # how long it waits when all have, in case the announcement of a new function is on its way

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
Where: TypeAlias = str | NodeId | Member


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """A function of the store, as `functions` lists it; `providers` are names of nodes."""

    name: str
    signature: str
    doc: str
    run: Run
    providers: tuple[str, ...]


class Rpc:
    """Functions that span the network; one instance a node, got by `node.require(RPC)`."""

    def __init__(self, node: Node, threads: int, processes: int) -> None:
        workers = threads or os.cpu_count() or 1
        self._node = node
        self._functions: dict[str, Function] = {}
        self._change = asyncio.Event()
        self._execution = Execution(node.host, node.name, workers, processes or os.cpu_count() or 1)
        self._directory = Directory(self.notice)
        self._dispatch = Dispatch(
            node.me, self._directory, node.network.membership.get, lambda: self._execution.running
        )
        self._announcer = Announcer(node, self._directory, workers)
        for error in (NoProvider, UnknownFunction, WorkerDied):
            node.codec.register(error, f"rpc.{error.__name__}")
        node.handle(TOPIC, self._serve)

    def close(self) -> None:
        """Serve nothing more."""
        self._execution.close()

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
            raise UnknownFunction(f"this node has no function {name!r}; it has: {_listed(self._functions)}")
        self._announcer.unregistered(name)

    def functions(self) -> list[FunctionInfo]:
        """All functions that any node has, sorted by name; where providers differ in signature, one entry for each."""
        infos: dict[tuple[str, str, str, Run], list[str]] = {}
        for name in self._directory.names():
            for node, each in self._directory.descriptions(name):
                key = (each.name, each.signature, each.doc, each.run)
                infos.setdefault(key, []).append(self._node.network.name_of(node))
        return [FunctionInfo(*key, providers=tuple(sorted(names))) for key, names in infos.items()]

    async def available(self, name: str, *, nodes: int = 1, timeout: float | None = None) -> None:
        """Wait until that many nodes have a function; raises DeadlineExceeded after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while len(self._directory.providers(name)) < nodes:
                    await self._next_change()
        except TimeoutError:
            found = len(self._directory.providers(name))
            raise DeadlineExceeded(f"{found} of {nodes} nodes have {name!r} after {timeout:g} s") from None

    # ---- calls

    async def call(
        self, name: str, /, *arguments: Any, on: Where | None = None, timeout: float | None = None, **named: Any
    ) -> Any:
        """Call a function by name, wherever it is, and return its value.

        `on` chooses the node. Without it an idle provider is asked, this node first, then one in this node's zone;
        if none is idle, the least loaded. `timeout` is in seconds. The function runs once at most. Raises what it
        raised, with the remote traceback in a note; UnknownFunction, UnknownMember, DeadlineExceeded, PeerLost,
        NotEncodable.
        """
        node = self._dispatch.choose(name) if on is None else self._holder(name, on)
        if node is None:
            node, timeout = await self._search(name, on, timeout)
        value, _ = await self._ask(node, name, arguments, named, timeout)
        return value

    def map(
        self,
        name: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        star: bool = False,
        on: Sequence[Where] | Where | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[MapResult, None]:
        """Call a function once for each item, on all nodes that have it, and give the results as they come.

        Each result unpacks into `item, value`. With `star` an item is a tuple or list of arguments. `on` limits the
        nodes; `timeout` is for one item, in seconds from when a node was given it. Items are taken from the input as
        nodes have room, so it may be endless; if it is no asynchronous one, it should not block. An item whose node
        is lost is computed again by another, so the function should be one that may run twice. An exception of the
        function ends the map. Raises UnknownFunction, NoProvider, and PeerLost for an item that nodes are lost with
        again and again.
        """
        return self._map(name, items, star, on, timeout)

    async def _map(
        self,
        name: str,
        items: Iterable[Any] | AsyncIterable[Any],
        star: bool,
        on: Sequence[Where] | Where | None,
        timeout: float | None,
    ) -> AsyncGenerator[MapResult, None]:
        chosen = await self._limited_to(name, on)

        async def call(node: NodeId, item: Any) -> Answer:
            arguments = _starred(item) if star else (item,)
            try:
                return await self._ask(node, name, arguments, {}, timeout)
            except (PeerLost, UnknownFunction) as error:
                if _came_by_wire(error):
                    raise
                raise NotComputed(error) from error

        def providers() -> dict[NodeId, int]:
            usable = self._dispatch.usable(name)
            return {node: self._directory.workers(node) + 1 for node in usable if chosen is None or node in chosen}

        run = MapRun(items, call, providers, self._next_change, self._name_of, PATIENCE_S)
        async with aclosing(run.results()) as results:
            async for result in results:
                yield result

    async def _limited_to(self, name: str, on: Sequence[Where] | Where | None) -> set[NodeId] | None:
        if on is None:
            if not self._directory.providers(name):
                await self._search(name, None, None)
            return None
        several = [on] if isinstance(on, str | NodeId | Member) else list(on)
        if not several:
            raise UsageError("on= names no node; leave it out, and every node that has the function is asked")
        return {self._holder(name, each) or (await self._search(name, each, None))[0] for each in several}

    async def _ask(
        self, node: NodeId, name: str, arguments: Sequence[Any], named: dict[str, Any], timeout: float | None
    ) -> Answer:
        self._dispatch.began(node)
        try:
            answer = await self._node.request(node, TOPIC, [name, list(arguments), named], timeout_s=timeout)
        except NotEncodable as error:
            raise self._blamed(error, node, name, arguments, named) from error
        finally:
            self._dispatch.ended(node)
        match answer:
            case [value, float() | int() as seconds]:
                return value, seconds
            case None:
                raise UnknownFunction(f"{self._name_of(node)} has no function {name!r} any more; call it again")
        raise MalformedMessage(f"{self._name_of(node)} answered a call with something that is no answer")

    def _blamed(
        self, error: NotEncodable, node: NodeId, name: str, arguments: Sequence[Any], named: dict[str, Any]
    ) -> NotEncodable:
        """The error with the argument at fault, or with the function whose result is."""
        if _came_by_wire(error):
            what = str(error).replace("value[0]", "its result", 1)
            return NotEncodable(f"{name!r} ran on {self._name_of(node)}, but {what}")
        for label, value in [*enumerate(arguments, 1), *named.items()]:
            try:
                self._node.codec.encode(value)
            except NotEncodable as found:
                return NotEncodable(f"argument {label} of {name!r}: {str(found).removeprefix('value: ')}")
        return error

    # ---- finding a provider

    def _holder(self, name: str, on: Where) -> NodeId | None:
        """The node that is meant, if it is known to have the function; raises UnknownMember."""
        node = self._meant(on)
        return node if self._directory.has(node, name) else None

    def _meant(self, on: Where) -> NodeId:
        return self._node.member(on.id if isinstance(on, Member) else on).id

    async def _search(self, name: str, on: Where | None, timeout: float | None) -> tuple[NodeId, float | None]:
        """Wait a moment for a function that nobody is known to have, and give its node and the time that is left.

        A node may not have said yet what it has, or have just got it. Raises UnknownFunction, DeadlineExceeded.
        """
        only = None if on is None else self._meant(on)
        clock = asyncio.get_running_loop().time
        started_at = clock()

        def is_found() -> bool:
            return bool(self._directory.providers(name)) if only is None else self._directory.has(only, name)

        while not is_found():
            peers = [peer for peer in self._announcer.peers() if only is None or peer == only]
            patience_s = INTRODUCTION_TIMEOUT_S if self._directory.missing(peers) else LOOKUP_GRACE_S
            try:
                async with asyncio.timeout_at(started_at + min(patience_s, patience_s if timeout is None else timeout)):
                    await self._next_change()
            except TimeoutError:
                if is_found():  # the loop was busy, and the news came with the end of our patience
                    break
                if timeout is not None and timeout < patience_s:
                    raise DeadlineExceeded(f"nobody had a function {name!r} within {timeout:g} s") from None
                raise self._unknown(name, only) from None
        node = self._dispatch.choose(name) if only is None else only
        assert node is not None
        return node, None if timeout is None else max(timeout - (clock() - started_at), 0.0)

    def _unknown(self, name: str, only: NodeId | None) -> UnknownFunction:
        providers = self._directory.providers(name)
        if providers and only is not None:
            others = _listed(map(self._name_of, providers))
            return UnknownFunction(f"{self._name_of(only)} has no function {name!r}; these nodes have it: {others}")
        close = get_close_matches(name, self._directory.names(), n=1)
        mend = f"did you mean {close[0]!r}?" if close else f"known are: {_listed(self._directory.names())}"
        return UnknownFunction(f"no node has a function {name!r}; {mend}")

    def _name_of(self, node: NodeId) -> str:
        return self._node.network.name_of(node)

    # ---- serving

    def _serve(self, incoming: Incoming) -> Answer | Awaitable[Answer] | None:
        match incoming.value:
            case [str(name), list(arguments), dict(named)]:
                function = self._functions.get(name)
                if function is None or self._execution.is_closed:
                    return None
                return self._execution.run(function, arguments, named)
        raise MalformedMessage("a call is a name, a list of arguments and a map of named ones")

    # ---- comings and goings

    def introduce(self, member: Member) -> None:
        """Tell a member what this node has."""
        self._announcer.introduce(member)

    def forget(self, member: Member) -> None:
        """A member is gone."""
        self._directory.forget(member.id)

    def notice(self) -> None:
        """The providers or the members have changed: who waits for a provider looks again."""
        self._dispatch.changed()
        self._change.set()
        self._change = asyncio.Event()

    async def _next_change(self) -> None:
        await self._change.wait()


RPC: Service[Rpc] = Service("rpc")


def _came_by_wire(error: GuthiError) -> bool:
    """Whether the function raised it: then it has the remote traceback as a note, while ours is new and has none."""
    return bool(getattr(error, "__notes__", None))


def _starred(item: Any) -> Sequence[Any]:
    if isinstance(item, tuple | list):
        return item
    raise UsageError(f"with star=True an item is a tuple or a list of arguments, not {type(item).__name__}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
