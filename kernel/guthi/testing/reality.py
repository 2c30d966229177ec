"""What a simulated world refuses, because it would wait for real time or a real network: with words, not by hanging.

A world has one thread. To start another, or to wait for what only another could bring about, would let the wall clock
into it; sockets, pipes and processes of the event loop would let the real network in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from guthi.errors import UsageError

__all__ = ["one_thread", "refuse_real_input_and_output"]

C = TypeVar("C", bound=type[Any])

_REAL = (
    "add_reader",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
)

_world_runs = threading.Lock()


def refuse_real_input_and_output(loop_type: C) -> C:
    """Let a loop's methods for real sockets, pipes and processes raise UsageError."""
    for name in _REAL:
        setattr(loop_type, name, _refusal(name))
    return loop_type


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(loop: object, *arguments: Any, **named: Any) -> Any:
        raise UsageError(
            f"a simulated world has no {name}: real sockets, pipes and processes are outside of it; give the Node a "
            "machine of the world (`world.start`), or go through `node.host` and `node.request`"
        )

    refuse.__name__ = name
    return refuse


@contextmanager
def one_thread() -> Iterator[None]:
    """While it lasts, this thread starts no other and waits for none: that raises UsageError instead of hanging."""
    if not _world_runs.acquire(blocking=False):
        raise UsageError("another world runs in this process; one at a time, or one in each of several processes")
    world = threading.get_ident()
    start, wait = threading.Thread.start, threading.Condition.wait

    def refuse_start(thread: threading.Thread) -> None:
        if threading.get_ident() == world:
            raise UsageError(
                f"a simulated world has one thread, and something starts another ({thread.name}); use "
                "asyncio.to_thread or `node.host.thread_executor`, which are simulated here, and `await` instead of "
                "the blocking face"
            )
        start(thread)

    def refuse_wait(condition: threading.Condition, timeout: float | None = None) -> bool:
        if threading.get_ident() == world:
            raise UsageError(
                "a simulated world has one thread, and something in it waits for another thread; `await` it instead"
            )
        return wait(condition, timeout)

    threading.Thread.start = refuse_start  # type: ignore[method-assign,assignment]
    threading.Condition.wait = refuse_wait  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        threading.Thread.start, threading.Condition.wait = start, wait  # type: ignore[method-assign]
        _world_runs.release()
