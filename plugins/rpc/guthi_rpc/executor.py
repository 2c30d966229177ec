"""The store as a `concurrent.futures.Executor`: for plain threads, and for libraries that take any executor.

What is submitted is the name of a function, a function that this node has in the store, or, where nodes accept code
(see `shipping`), any other. A call that no node has begun can be cancelled; one that has begun cannot, as with threads.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from guthi import NodeClosed, UsageError
from guthi_rpc.answers import MapAnswers
from guthi_rpc.errors import UnknownFunction
from guthi_rpc.functions import Run
from guthi_rpc.options import Options
from guthi_rpc.promises import Promise, is_on, refuse_on
from guthi_rpc.shipping import STYLES, capability, pack, refusal, unpack
from guthi_rpc.window import Job, Window

if TYPE_CHECKING:
    from guthi import Node
    from guthi_rpc.mapping import MapRun
    from guthi_rpc.service import Rpc

__all__ = ["RpcExecutor"]

T = TypeVar("T")


class RpcExecutor(Executor):
    """What `rpc.executor` returns. Its methods may be called in any thread; those that wait, not in the node's own."""

    def __init__(
        self,
        rpc: Rpc,
        node: Node,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[], Awaitable[None]],
        options: Options,
        run: Run | str,
        max_workers: int | None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        self._rpc, self._node, self._loop, self._options = rpc, node, loop, options
        self._calls = rpc.options(
            on=options.on, timeout=options.timeout, idempotent=options.idempotent, priority=options.priority
        )
        self._capability = capability(_style(run))
        self._unfinished: set[Future[Any]] = set()
        self._is_shut_down = False
        self._window = Window(node, loop, lambda: max_workers or rpc.places(options.on), changed, max_workers or 1)
        weakref.finalize(self, self._window.close).atexit = False

    def submit(self, fn: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a function called on any node; see concurrent.futures.Executor.submit.

        The future raises what a call raises, and CodeRefused where no node accepts code. Raises NotEncodable for a
        function that cannot be sent, RuntimeError after `shutdown`, NodeClosed.
        """
        self._refuse_after_shutdown()
        calls, name, future = self._calls, self._name_of(fn), Promise(self._loop)
        if name is not None:
            job = Job(lambda: calls.call(name, *args, **kwargs), _same, future)
        else:
            capable, code = self._capability, pack(fn, args, kwargs)
            job = Job(lambda: _accepted(calls.call(capable, code)), unpack, future)
        self._window.put(job)
        self._expect(future)
        return future

    def map(
        self,
        fn: Callable[..., Any] | str,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Generator[Any, None, None]:
        """The results in the order of the items; see concurrent.futures.Executor.map.

        It is `rpc.map`: an item whose node is lost is computed again by another. Items travel in chunks that adapt; a
        `chunksize` above 1 sets their length. The work begins at once; leaving the iterator ends it.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        self._refuse_after_shutdown()
        ends_at = None if timeout is None else self._loop.time() + timeout
        name, items = self._name_of(fn), list(zip(*iterables, strict=False))
        if name is None:
            items = [(pack(fn, item, {}),) for item in items]
        answers = MapAnswers(self._loop)
        self._on_loop(lambda: self._begin_map(name, items, None if chunksize == 1 else chunksize, answers))
        self._expect(answers.over)
        return answers.read(unpack if name is None else _same, ends_at)

    def _begin_map(self, name: str | None, items: list[Any], chunk: int | None, answers: MapAnswers) -> None:
        options = self._options

        def begin() -> MapRun:
            return self._rpc.map(
                name or self._capability,
                items,
                star=True,
                on=options.on,
                timeout=options.timeout,
                ordered=True,
                idempotent=options.idempotent,
                errors="return",
                chunk=chunk,
                priority=options.priority,
            )

        answers.follow(self._node.start(answers.fill(begin, _as_it_is if name else refusal)))

    def workers(self, function: str | None = None) -> int:
        """How many calls of a function, or of code that is sent, all nodes run at a time.

        Raises UnknownFunction, or CodeRefused, if no node is found that does so.
        """
        refuse_on(self._loop)
        count = self._rpc.workers(function or self._capability, on=self._options.on)
        return asyncio.run_coroutine_threadsafe(count if function else _accepted(count), self._loop).result()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; see concurrent.futures.Executor.shutdown.

        `cancel_futures` cancels the calls that no node has begun, and every map as a whole.
        """
        self._is_shut_down = True
        if cancel_futures:
            for future in list(self._unfinished):
                future.cancel()
        self._window.close()
        if not wait:
            return
        for future in list(self._unfinished):
            with suppress(CancelledError):
                future.exception()
        if not is_on(self._loop):
            self._window.join()

    def _name_of(self, function: Callable[..., Any] | str) -> str | None:
        """None for a function that has to be sent."""
        return function if isinstance(function, str) else self._rpc.name_of(function)

    def _expect(self, future: Future[Any]) -> None:
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)

    def _refuse_after_shutdown(self) -> None:
        if self._is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _on_loop(self, work: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:
            raise NodeClosed("the node of this executor is closed") from None


def _style(run: Run | str) -> Run:
    if run not in (*STYLES, *(each.value for each in STYLES)):
        raise UsageError(f'run={run!r}: code that is sent runs in a "thread" or in a "process"')
    return Run(run)


def _same(value: Any) -> Any:
    return value


def _as_it_is(error: Exception) -> Exception:
    return error


async def _accepted(work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except UnknownFunction as error:
        raise refusal(error) from error
