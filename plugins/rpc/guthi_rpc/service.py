"""The service `RPC`: what an app does with the global function store."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast, overload

from guthi import DeadlineExceeded, GuthiError, Incoming, Member, MemberState, NodeId, Role, Service, UsageError
from guthi_rpc.directory import Announcement, Directory
from guthi_rpc.errors import UnknownFunction
from guthi_rpc.execution import Execution
from guthi_rpc.functions import Function, Run, describe_function
from guthi_rpc.mapping import Answer, MapResult, MapRun

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["RPC", "FunctionInfo", "Rpc"]

CALL_TOPIC = "rpc.call"
ANNOUNCE_TOPIC = "rpc.announce"
ANNOUNCE_TIMEOUT_S = 10.0
ANNOUNCE_RETRY_S = 1.0
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
        self._node = node
        self._workers = threads or os.cpu_count() or 1
        self._execution = Execution(node.host, node.name, self._workers, processes or os.cpu_count() or 1)
        self._functions: dict[str, Function] = {}
        self._revision = int(node.host.wall_time_s() * 1e6)  # beyond what this node announced before a restart
        self._directory = Directory(self._changed)
        self._change = asyncio.Event()
        self._outstanding: Counter[NodeId] = Counter()
        self._announcing = False
        node.handle(CALL_TOPIC, self._serve)
        node.handle(ANNOUNCE_TOPIC, self._announced)
        self._announce()

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
        thread. Raises UsageError if this node has another function of that name.
        """
        entry = describe_function(function, name, run)
        name = entry.description.name
        if name in self._functions:
            raise UsageError(f"this node has a function {name!r} already; unregister it first, or choose another name")
        self._functions[name] = entry
        self._announce()

    def unregister(self, name: str) -> None:
        """Take a function of this node out of the store; raises UnknownFunction."""
        if self._functions.pop(name, None) is None:
            raise UnknownFunction(f"this node has no function {name!r}; it has: {_listed(self._functions)}")
        self._announce()

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

        `on` chooses the node. Without it an idle provider is asked, this node first, then the least loaded, then one
        in this node's zone. `timeout` is in seconds. Raises what the function raised, with the remote traceback in a
        note; UnknownFunction, DeadlineExceeded, PeerLost, NotEncodable.
        """
        node = await self._choose(name, on)
        value, _ = await self._call(node, name, arguments, named, timeout)
        return value

    def map(
        self,
        name: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        star: bool = False,
        on: Sequence[Where] | Where | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[MapResult]:
        """Call a function once for each item, on all nodes that have it, and give the results as they come.

        Each result unpacks into `item, value`. With `star` an item is a tuple of arguments. `on` limits the nodes;
        `timeout` is for one item, in seconds. Items are taken from the input as nodes have room, so it may be
        endless. An item whose node is lost is computed again by another, so the function should be one that may run
        twice. An exception of the function ends the map. Raises UnknownFunction, NoProvider.
        """
        return self._map(name, items, star, on, timeout)

    async def _map(
        self,
        name: str,
        items: Iterable[Any] | AsyncIterable[Any],
        star: bool,
        on: Sequence[Where] | Where | None,
        timeout: float | None,
    ) -> AsyncIterator[MapResult]:
        chosen = await self._chosen(name, on)

        async def call(node: NodeId, item: Any) -> Answer:
            return await self._call(node, name, item if star else (item,), {}, timeout)

        def start(work: Awaitable[Answer]) -> asyncio.Task[Answer]:
            return self._node.start(cast(Coroutine[Any, Any, Answer], work))

        def providers() -> dict[NodeId, int]:
            allowed = self._usable(name) if chosen is None else [node for node in self._usable(name) if node in chosen]
            return {node: self._directory.workers(node) + 1 for node in allowed}

        run = MapRun(items, call, providers, self._next_change, self._node.network.name_of, start)
        async for result in run.results():
            yield result

    async def _chosen(self, name: str, on: Sequence[Where] | Where | None) -> set[NodeId] | None:
        await self._introductions(name)
        if on is None:
            self._known(name)
            return None
        several = [on] if isinstance(on, str | NodeId | Member) else on
        return {await self._choose(name, each) for each in several}

    async def _call(
        self, node: NodeId, name: str, arguments: Sequence[Any], named: dict[str, Any], timeout: float | None
    ) -> Answer:
        self._outstanding[node] += 1
        try:
            value, seconds = await self._node.request(
                node, CALL_TOPIC, [name, list(arguments), named], timeout_s=timeout
            )
        finally:
            self._outstanding[node] -= 1
            if not self._outstanding[node]:
                del self._outstanding[node]
        return value, seconds

    # ---- choosing a provider

    async def _choose(self, name: str, on: Where | None) -> NodeId:
        if on is not None:
            node = on if isinstance(on, NodeId) else self._node.member(on.id if isinstance(on, Member) else on).id
            await self._introductions(name, node)
            if not self._directory.has(node, name):
                names = _listed(self._node.network.name_of(each) for each in self._directory.providers(name))
                raise UnknownFunction(f"{self._node.network.name_of(node)} has no function {name!r}; {names} has it")
            return node
        if not self._directory.providers(name):
            await self._introductions(name)
        self._known(name)
        return min(self._usable(name) or self._directory.providers(name), key=self._cost)

    def _cost(self, node: NodeId) -> tuple[float, bool, bool, NodeId]:
        """Least loaded; then this node; then one in its zone; then the lowest id, so that a choice can be repeated."""
        load = self._outstanding[node] / self._directory.workers(node)
        member = self._node.network.membership.get(node)
        far = member is None or member.zone != self._node.me.zone
        return load, node != self._node.id, far, node

    def _usable(self, name: str) -> list[NodeId]:
        """Providers that answer, as far as is known; if none does, those that are suspected have to try."""
        providers = self._directory.providers(name)
        members = self._node.network.membership
        return [
            node
            for node in providers
            if (member := members.get(node)) is not None and member.state is MemberState.ALIVE
        ]

    def _known(self, name: str) -> None:
        if not self._directory.providers(name):
            close = get_close_matches(name, self._directory.names(), n=1)
            mend = f"did you mean {close[0]!r}?" if close else f"known are: {_listed(self._directory.names())}"
            raise UnknownFunction(f"no node has a function {name!r}; {mend}")

    async def _introductions(self, name: str, only: NodeId | None = None) -> None:
        """Wait a moment for a name that nobody has: a node may not have said yet what it has, or have just got it."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        while not (self._directory.providers(name) if only is None else self._directory.has(only, name)):
            silent = self._directory.missing(self._peers() if only is None else [only])
            patience_s = INTRODUCTION_TIMEOUT_S if silent else LOOKUP_GRACE_S
            try:
                async with asyncio.timeout_at(started_at + patience_s):
                    await self._next_change()
            except TimeoutError:
                return

    def _peers(self) -> list[NodeId]:
        return [
            member.id
            for member in self._node.members
            if member.state is MemberState.ALIVE and any(name == "rpc" for name, _ in member.plugins)
        ]

    # ---- serving

    def _serve(self, incoming: Incoming) -> Any:
        match incoming.value:
            case [str(name), list(arguments), dict(named)]:
                pass
            case _:
                raise UsageError("a call is a name, a list of arguments and a map of named ones")
        function = self._functions.get(name)
        if function is None:
            raise UnknownFunction(f"{self._node.name} has no function {name!r}; it has: {_listed(self._functions)}")
        clock = asyncio.get_running_loop().time
        started_at = clock()
        value = self._execution.run(function, arguments, named)
        if not isinstance(value, Awaitable):
            return [value, clock() - started_at]
        return self._finish(value, started_at)

    @staticmethod
    async def _finish(value: Awaitable[Any], started_at: float) -> list[Any]:
        result = await value
        return [result, asyncio.get_running_loop().time() - started_at]

    # ---- announcing

    def _announce(self) -> None:
        """Say what this node has; to the others at the end of this turn, so that many registrations are one message."""
        self._revision += 1
        self._directory.announced(self._node.id, self._announcement())
        if not self._announcing:
            self._announcing = True
            asyncio.get_running_loop().call_soon(self._announce_now)

    def _announce_now(self) -> None:
        self._announcing = False
        for member in self._node.members:
            self.introduce(member)

    def _announcement(self) -> Announcement:
        is_client = self._node.me.role is Role.CLIENT
        functions = () if is_client else tuple(each.description for each in self._functions.values())
        return Announcement(self._revision, self._workers, functions)

    def introduce(self, member: Member) -> None:
        """Tell a member what this node has."""
        if any(name == "rpc" for name, _ in member.plugins):
            self._node.start(self._introduce(member.id, self._revision))

    async def _introduce(self, peer: NodeId, revision: int) -> None:
        """Tell until it is heard; a newer announcement or the member's end makes this one needless."""
        while revision == self._revision:
            member = self._node.network.membership.get(peer)
            if member is None or not member.is_present:
                return
            try:
                await self._node.request(
                    peer, ANNOUNCE_TOPIC, self._announcement().to_wire(), timeout_s=ANNOUNCE_TIMEOUT_S
                )
            except GuthiError:
                await asyncio.sleep(ANNOUNCE_RETRY_S)
            else:
                return

    def _announced(self, incoming: Incoming) -> None:
        self._directory.announced(incoming.peer, Announcement.from_wire(incoming.value))

    def forget(self, member: Member) -> None:
        """A member is gone."""
        self._directory.forget(member.id)

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    def notice(self) -> None:
        """The members have changed: who waits for a provider looks again."""
        self._changed()

    async def _next_change(self) -> None:
        await self._change.wait()


RPC: Service[Rpc] = Service("rpc")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
