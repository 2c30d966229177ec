"""How a process runs a node: from its configuration to the signal, or the end of its app, that ends it.

SIGINT and SIGTERM ask the process to end, and so does the end of standard input where a launcher supervises it. What
runs is then cancelled, once: a second request must not cut the goodbye short. One that comes GRACE_S later ends the
process by force, for something in it will not be cancelled. A supervised process that does not end in time, because its
app holds the event loop, is ended by force without being asked again: it must not outlive its launcher.

SIGTERM lets a node finish first what it does for others (see `Node.drain`); any further request ends that. Whoever
presses Ctrl-C sits in front of it, and a launcher that has gone will not wait, so these two do without.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias, TypeVar

from guthi.configuration.config import Config
from guthi.errors import ConfigError
from guthi.node import Node

__all__ = ["end_process", "load_main", "run_loop", "run_node", "until_asked_to_end"]

T = TypeVar("T")

Main: TypeAlias = Callable[[Node], Awaitable[Any]]

GRACE_S = 5.0

log = logging.getLogger("guthi.runner")


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, on uvloop where it is installed, and without waiting for a function in a thread."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        executor = ThreadPoolExecutor(thread_name_prefix="guthi")
        runner.get_loop().set_default_executor(executor)
        try:
            return runner.run(work)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            # The runner waits for the threads of the loop's executor: it is given one that has none.
            runner.get_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="guthi"))


def end_process(code: int) -> NoReturn:
    """End the process with this exit code, also when a function in a thread goes on.

    Python joins its threads at its end, and a thread cannot be interrupted: one that is still busy after GRACE_S ends
    with the process.
    """
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        thread.join(GRACE_S)
        if thread.is_alive():
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    stream.flush()
            os._exit(code)
    sys.exit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def run_node(config: Config, on_ready: Callable[[Node], None], *, supervised: bool = False) -> None:
    """Run a node until the function that its `main` names returns, or else until the process is asked to end.

    `on_ready` is called when it has joined. Raises what Node and the function raise, ConfigError for a bad `main`.
    """
    main = load_main(config)
    running: list[Node] = []

    async def live() -> None:
        async with Node(config) as node:
            running.append(node)
            on_ready(node)
            await (main(node) if main is not None else asyncio.Event().wait())

    async def drain() -> None:
        for node in running:
            await node.drain()

    await until_asked_to_end(live(), supervised=supervised, before=drain)


async def until_asked_to_end(
    work: Coroutine[Any, Any, None],
    *,
    supervised: bool = False,
    before: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> bool:
    """Run `work`; True when it was cut short because the process is asked to end.

    SIGTERM has it cut short only when `before` is done.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    asked, ended = asyncio.Event(), threading.Event()
    asked_at = 0.0
    draining: asyncio.Task[None] | None = None

    def ask(number: int = signal.SIGINT) -> None:
        nonlocal asked_at, draining
        if number == signal.SIGTERM and before is not None and draining is None and not asked.is_set():
            draining = loop.create_task(before())
            draining.add_done_callback(lambda _: end())
        elif not asked.is_set():
            end()
        elif loop.time() - asked_at >= GRACE_S:
            _end_by_force()

    def end() -> None:
        nonlocal asked_at
        if not asked.is_set():
            asked_at = loop.time()
            asked.set()
            task.cancel()

    signals = _on_signals(loop, ask)
    if supervised:
        threading.Thread(target=_end_with_input, args=(loop, ask, ended), name="guthi-stdin", daemon=True).start()
    try:
        await task
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
    finally:
        ended.set()
        if draining is not None:
            await _finish(draining)
        for number in signals:
            loop.remove_signal_handler(number)
    return asked.is_set()


async def _finish(draining: asyncio.Task[None]) -> None:
    """End it, if it has not; a failure is the draining plugin's, and no reason not to leave."""
    draining.cancel()
    await asyncio.wait([draining])
    if not draining.cancelled() and (error := draining.exception()) is not None:
        log.error("what was to be done before the end failed", exc_info=error)


def _on_signals(loop: asyncio.AbstractEventLoop, ask: Callable[[int], None]) -> list[int]:
    numbers: list[int] = []
    with suppress(NotImplementedError):  # Windows: Ctrl-C is a KeyboardInterrupt there
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask, number)
            numbers.append(number)
    return numbers


def _end_with_input(loop: asyncio.AbstractEventLoop, ask: Callable[[], None], ended: threading.Event) -> None:
    """In a thread: not every standard input can be watched by a loop, and a busy loop would not hear its end."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    with suppress(RuntimeError):  # the loop is closed already
        loop.call_soon_threadsafe(ask)
    if not ended.wait(GRACE_S):
        _end_by_force()


def _end_by_force() -> None:
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)  # with the worker processes
    os._exit(1)


def load_main(config: Config) -> Main | None:
    """The function that `main` in [node] names, "module:function"; None where it names none.

    The folder of the configuration file is put on `sys.path`. Raises ConfigError when there is no such async function;
    what importing the module raises is not ours to translate.
    """
    if not config.node.main:
        return None
    module_name, _, function_name = config.node.main.partition(":")
    folder = str(config.source.absolute().parent) if config.source is not None else os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports something that is not
        raise ConfigError(f'main = "{config.node.main}": no module {error.name!r} in {folder}') from None
    function = getattr(module, function_name, None)
    if not inspect.iscoroutinefunction(function):
        raise ConfigError(
            f'main = "{config.node.main}": write `async def {function_name}(node)` in {module.__file__ or module_name}'
        )
    main: Main = function
    return main
