"""One timer on the loop for whatever has a next deadline; it is moved when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Timer"]


class Timer:
    """Calls `ring` at the moment that it is set to, or a little later; never after `set(None)`.

    The moment is kept here, because uvloop gives a handle that does not know it for a moment that has passed already.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop, self._ring = asyncio.get_running_loop(), ring
        self._handle: asyncio.Handle | None = None
        self._moment = 0.0

    def set(self, moment: float | None) -> None:
        """Ring at `moment`, in loop time, and not at what was set before; None: do not ring."""
        if self._handle is not None:
            if moment == self._moment:
                return
            self._handle.cancel()
            self._handle = None
        if moment is not None:
            self._moment, self._handle = moment, self._loop.call_at(moment, self._on_time)

    def _on_time(self) -> None:
        self._handle = None
        self._ring()
