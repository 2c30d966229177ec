"""The hooks that the plugin brings: one that gathers algorithms, three that tell what became of locks on this node."""

from __future__ import annotations

from collections.abc import Iterable

import guthi
from guthi_mutex.algorithm import Algorithm

__all__ = ["MutexHooks"]


class MutexHooks:
    """The hooks of the plugin mutex."""

    @guthi.hookspec
    def mutex_algorithms(self) -> Iterable[type[Algorithm]]:
        """Further algorithms; the plugin that brings them stands before `mutex` in [node] plugins."""
        return ()

    @guthi.hookspec
    def lock_granted(self, lock: str, fence: int) -> None:
        """Somebody on this node, or a client that it serves, holds a lock."""

    @guthi.hookspec
    def lock_released(self, lock: str, fence: int) -> None:
        """A lock that was granted here has been released."""

    @guthi.hookspec
    def lock_lost(self, lock: str, fence: int) -> None:
        """A lock that was granted here has been lost: another may hold it by now."""
