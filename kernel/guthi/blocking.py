"""The blocking face, for scripts and notebooks: a node on a loop in a thread of its own, called without async.

Everything that a service offers is offered here under the same name, and of a node what such a program needs. A
coroutine is waited for, an async iterator becomes an iterator, an async context manager a context manager, an object
that says `lives_on_loop` has a blocking face of its own, as have those in a list. Ctrl-C while waiting cancels what is
waited for.

It is for any thread but the node's own, which would wait for itself, and for the process that connected: a fork has
the node's memory, but not its thread.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from guthi.api import Address, NodeId
from guthi.configuration.config import Config
from guthi.errors import GuthiError, NodeClosed, UsageError
from guthi.membership.members import Member
from guthi.messages.requests import Handler
from guthi.node import Node
from guthi.plugins import Plugin
from guthi.services import Service

__all__ = ["BlockingNode", "connect"]

T = TypeVar("T")

LOOPBACK = "127.0.0.1:0"
LOOK_AGAIN_S = 0.5  # a signal that comes just before a wait, or on another thread, does not end the wait


class _LoopThread:
    """An event loop that runs in a thread of its own until it is stopped."""

    def __init__(self) -> None:
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._gate, self._is_stopping = threading.Lock(), False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="guthi", daemon=True)
        self._thread.start()
        self._loop = self._ready.result()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        self._ready.set_result(asyncio.get_running_loop())
        await self._stopped.wait()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return what it returns; Ctrl-C, whenever it comes, cancels it.

        Raises UsageError on the loop's own thread, NodeClosed after `stop` and in a forked process.
        """
        if (refusal := self._refusal()) is not None:
            work.close()
            raise refusal
        errand = _Errand(work, self._loop)
        try:
            with self._gate:  # so that nothing is handed to the loop after the order to stop: it would wait for ever
                if self._is_stopping:
                    raise NodeClosed("the node is closed; connect again")
                self._loop.call_soon_threadsafe(errand.begin)
            return errand.result()
        except CancelledError:
            raise NodeClosed("the node was closed before the answer came") from None
        except BaseException:
            errand.cancel()
            raise

    def _refusal(self) -> GuthiError | None:
        """Why the caller would wait for ever, if it would."""
        if os.getpid() != self._process:
            return NodeClosed("this process was forked, and the node stayed in the other; connect here again")
        if threading.current_thread() is self._thread:
            return UsageError(
                "this would block the node's own thread, on which handlers, inline and coroutine functions and the "
                'inputs of maps run; register the function with run="thread", call with asyncio.to_thread, or give '
                "map a list"
            )
        return None

    def stop(self) -> None:
        """End the loop and its thread; nothing where `wait_for` is refused."""
        if self._refusal() is not None:
            return
        with self._gate:
            if not self._is_stopping:
                self._is_stopping = True
                self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()


class _Errand(Generic[T]):
    """A coroutine that one thread wants to be run on another's loop. It can be cancelled at any moment.

    asyncio.run_coroutine_threadsafe makes its future and hands the coroutine over in one call: an interrupt within it
    would leave the coroutine running with nobody to cancel it.
    """

    def __init__(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self.outcome: Future[T] = Future()
        self._work, self._loop = work, loop
        self._task: asyncio.Task[T] | None = None
        self._is_cancelled = False

    def result(self) -> T:
        """Wait for what the coroutine returns, and let Python look for a Ctrl-C now and then."""
        while True:
            try:
                return self.outcome.result(LOOK_AGAIN_S)
            except TimeoutError:
                if self.outcome.done():
                    return self.outcome.result()  # the coroutine's own TimeoutError, or it has ended just now

    def begin(self) -> None:
        """On the loop: run the coroutine."""
        if self._is_cancelled:
            self._work.close()
            return
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.cancel()
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())

    def cancel(self) -> None:
        """From any thread: run it no more, or never."""
        self._is_cancelled = True
        try:
            self._loop.call_soon_threadsafe(self._stop)
        except RuntimeError:  # the loop is closed, and all that ran on it has ended
            self._work.close()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        else:
            self._work.close()


class _Face:
    """Stands before an object that lives on the loop, and waits where its methods are asynchronous."""

    def __init__(self, target: Any, thread: _LoopThread) -> None:
        self._target, self._thread = target, thread

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return _faced(attribute, self._thread)
        call = _on_loop(attribute, self._thread)
        call.__name__, call.__doc__ = name, getattr(attribute, "__doc__", None)
        return call

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return _on_loop(self._target, self._thread)(*arguments, **named)

    def __dir__(self) -> Iterable[str]:
        return dir(self._target)

    def __repr__(self) -> str:
        return f"<blocking face of {self._target!r}>"


class _ManagedFace(_Face):
    """The same for what may be entered with `with` as well, and then gives itself."""

    def __enter__(self) -> _ManagedFace:
        self._thread.wait_for(_enter(self._target))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._thread.wait_for(_exit(self._target, kind, error, trace))


def _on_loop(function: Callable[..., Any], thread: _LoopThread) -> Any:
    """The function, to be called from this thread."""

    def call(*arguments: Any, **named: Any) -> Any:
        return thread.wait_for(_call(function, arguments, named, thread))

    return call


async def _call(function: Callable[..., Any], arguments: Any, named: Any, thread: _LoopThread) -> Any:
    """Call on the loop's thread, so that nothing there is touched from another."""
    result = function(*arguments, **named)
    if _lives_on_loop(result):
        return _faced(result, thread)
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterator):
        return _Iterate(result, thread)
    if isinstance(result, AbstractAsyncContextManager):
        return _Enter(result, thread)
    if inspect.isfunction(result) and not any(result is each for each in arguments):
        return _on_loop(result, thread)  # a decorator with arguments
    return _faced(result, thread)


def _lives_on_loop(value: Any) -> bool:
    return getattr(value, "lives_on_loop", False) is True


def _faced(value: Any, thread: _LoopThread) -> Any:
    """What lives on the loop, alone or in a list of such, with a blocking face; all else as it is."""
    if _lives_on_loop(value):
        return (_ManagedFace if isinstance(value, AbstractAsyncContextManager) else _Face)(value, thread)
    if type(value) is list and value and _lives_on_loop(value[0]):
        return [_faced(each, thread) for each in value]
    return value


class _Iterate(Iterator[Any]):
    """An async iterator, waited for item by item; closed when it is dropped or left early.

    What else it has, such as a progress, is reached through this one.
    """

    def __init__(self, source: AsyncIterator[Any], thread: _LoopThread) -> None:
        self._source, self._items, self._thread = source, aiter(source), thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __next__(self) -> Any:
        try:
            return self._thread.wait_for(_next(self._items))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Stop the iteration where it is."""
        close = getattr(self._items, "aclose", None)
        if close is not None:
            self._thread.wait_for(close())


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items)


class _Enter:
    """An async context manager, entered and left by `with`."""

    def __init__(self, manager: AbstractAsyncContextManager[Any], thread: _LoopThread) -> None:
        self._manager, self._thread = manager, thread

    def __enter__(self) -> Any:
        return self._thread.wait_for(_enter(self._manager))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._thread.wait_for(_exit(self._manager, kind, error, trace))


async def _enter(manager: AbstractAsyncContextManager[Any]) -> Any:
    return await manager.__aenter__()


async def _exit(
    manager: AbstractAsyncContextManager[Any],
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> bool | None:
    return await manager.__aexit__(kind, error, trace)


class BlockingNode:
    """A running node; `connect` makes it, `with` or `close` ends it."""

    def __init__(self, config: Config, plugins: Sequence[type[Plugin]] = ()) -> None:
        self._thread = _LoopThread()
        self._node = Node(config, plugins=plugins)
        try:
            self._thread.wait_for(self._node.__aenter__())
        except BaseException:
            self._thread.stop()
            raise

    @property
    def id(self) -> NodeId:
        """Follows from the node's key."""
        return self._node.id

    @property
    def name(self) -> str:
        """What people call the node."""
        return self._node.name

    @property
    def address(self) -> Address:
        """The address that the node listens on."""
        return self._node.address

    @property
    def members(self) -> list[Member]:
        """All other members that are present."""

        async def look() -> list[Member]:
            return self._node.members

        return self._thread.wait_for(look())

    def member(self, name_or_id: str | NodeId) -> Member:
        """As Node.member."""

        async def look() -> Member:
            return self._node.member(name_or_id)

        return self._thread.wait_for(look())

    def require(self, service: Service[Any]) -> Any:
        """The blocking face of what a plugin provides; its methods have the same names and arguments."""
        return _Face(self._node.require(service), self._thread)

    def handle(self, topic: str, handler: Handler) -> None:
        """As Node.handle; the handler runs on the node's own thread, which it must not block."""

        async def handle() -> None:
            self._node.handle(topic, handler)

        self._thread.wait_for(handle())

    def request(self, member: Member | NodeId | str, topic: str, value: Any, *, timeout_s: float | None = None) -> Any:
        """As Node.request."""
        return self._thread.wait_for(self._node.request(member, topic, value, timeout_s=timeout_s))

    def cast(self, member: Member | NodeId | str, topic: str, value: Any) -> None:
        """As Node.cast."""
        self._thread.wait_for(self._node.cast(member, topic, value))

    def broadcast(self, topic: str, value: Any) -> None:
        """As Node.broadcast."""
        self._thread.wait_for(self._node.broadcast(topic, value))

    def handle_broadcast(self, topic: str, handler: Handler) -> None:
        """As Node.handle_broadcast; the handler runs on the node's own thread, which it must not block."""

        async def handle() -> None:
            self._node.handle_broadcast(topic, handler)

        self._thread.wait_for(handle())

    def close(self) -> None:
        """Leave the network; a second call does nothing."""
        try:
            self._thread.wait_for(self._node.__aexit__(None, None, None))
        except NodeClosed:
            return
        finally:
            self._thread.stop()

    def __enter__(self) -> BlockingNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    join: Sequence[str | Address] = (),
    *,
    plugins: Sequence[str] = ("rpc",),
    name: str = "",
    listen: str = LOOPBACK,
    cluster_key: str | None = None,
    cluster_key_file: str | Path | None = None,
    role: str = "client",
    toml: str | Path | None = None,
) -> BlockingNode:
    """Join a network from a script or a notebook: `with guthi.connect(join=["10.0.0.5:6969"]) as node: ...`.

    `join` are addresses of the network, of which one has to answer. A `client` sees everything and is given no work;
    with `role="peer"` the functions registered here are called by others. With `toml` the node is as that file says;
    `name`, `listen` and `join` then go before the file's. Raises ConfigError, JoinFailed, AddressUnavailable, and
    UsageError for another argument beside `toml`.
    """
    if toml is not None:
        if cluster_key is not None or cluster_key_file is not None or tuple(plugins) != ("rpc",) or role != "client":
            raise UsageError("connect: plugins, role and the cluster key stand in the TOML file; change them there")
        given = {"name": name, "listen": None if listen == LOOPBACK else listen, "join": [str(each) for each in join]}
        return BlockingNode(Config.from_toml(toml, node={key: value for key, value in given.items() if value}))
    security: dict[str, Any] = {}
    if cluster_key is not None:
        security["cluster_key"] = cluster_key
    if cluster_key_file is not None:
        security["cluster_key_file"] = str(cluster_key_file)
    node = {
        "name": name,
        "listen": listen,
        "join": [str(address) for address in join],
        "plugins": list(plugins),
        "role": role,
    }
    return BlockingNode(Config.from_mapping({"node": node, "security": security}))
