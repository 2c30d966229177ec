"""A call that is under way: to be awaited, watched and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ClassVar

from guthi_rpc.context import CallId

__all__ = ["Call"]


class Call:
    """What `rpc.submit` returns: `await call` gives the value, or raises what the call raises.

    `id` names the call in every attempt; `rpc.state(call)` is its newest checkpoint.
    """

    lives_on_loop: ClassVar[bool] = True

    def __init__(self, call_id: CallId, name: str, work: Coroutine[Any, Any, Any]) -> None:
        self.id, self.name = call_id, name
        self._task = asyncio.ensure_future(work)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._task.__await__()

    def __repr__(self) -> str:
        return f"<call {self.id[1]} of {self.name!r}, {'done' if self.done() else 'under way'}>"

    async def wait(self) -> Any:
        """As `await`; for programs without async."""
        return await self

    def done(self) -> bool:
        """Whether it has ended, whichever way."""
        return self._task.done()

    def result(self) -> Any:
        """Its value; raises what it raised, asyncio.InvalidStateError while it is under way."""
        return self._task.result()

    def cancel(self) -> None:
        """End it here and at the node that works on it."""
        self._task.cancel()

    def add_done_callback(self, callback: Callable[[Call], object]) -> None:
        """Have `callback` called with this call when it has ended; what it raises is logged by the loop."""
        self._task.add_done_callback(lambda _: callback(self))
