"""Many writes that go out together: one message to each node that keeps copies, one invalidation to all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from guthi import UsageError
from guthi_dvar.bodies import Write

__all__ = ["Batch"]


class Batch(AbstractAsyncContextManager["Batch"]):
    """Collects writes, and makes them when its context is left; `check` and `write` are the service's."""

    def __init__(
        self,
        check: Callable[[str, Any, Any], Awaitable[list[Write]]],
        write: Callable[[Sequence[Write]], Awaitable[None]],
    ) -> None:
        self._check, self._write = check, write
        self._sets: list[tuple[str, Any, Any]] = []
        self._is_open = False

    def set(self, name: str, value: Any, at: Any = None) -> None:
        """Write this as well; it is checked, and read, when the context is left."""
        if not self._is_open:
            raise UsageError("a batch is written to inside its `async with`")
        self._sets.append((name, value, at))

    async def __aenter__(self) -> Batch:
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        if error is None:
            writes = [each for one in self._sets for each in await self._check(*one)]
            await self._write(writes)
        self._sets = []
