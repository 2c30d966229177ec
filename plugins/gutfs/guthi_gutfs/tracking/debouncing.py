"""Decides when what was noticed is looked at: a burst of notices once, a debounce interval after its first.

The interval begins with the first notice and is not prolonged by further ones, so a file that is written all the time
is looked at once an interval, and no change waits for longer. A notice says only that something may have changed under
a path; what it was, comparing shows. More paths than are worth a look each, or notices that were lost, become a look
at everything.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Debouncer", "Look"]

MOST_PATHS = 4096


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be looked at: some paths, or everything."""

    paths: tuple[str, ...]
    at_all: bool


class Debouncer:
    """Gathers notices; `now` is loop time in seconds."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._paths: dict[str, None] = {}
        self._at_all = False
        self.deadline: float | None = None

    def noticed(self, path: str, now: float) -> None:
        """Something may have changed under a path."""
        if not self._at_all:
            self._paths[path] = None
            if len(self._paths) > MOST_PATHS:
                self._give_up_paths()
        self._begin(now)

    def overflowed(self, now: float) -> None:
        """Notices were lost."""
        self._give_up_paths()
        self._begin(now)

    def _give_up_paths(self) -> None:
        self._at_all = True
        self._paths.clear()

    def _begin(self, now: float) -> None:
        if self.deadline is None:
            self.deadline = now + self._interval_s

    def due(self, now: float) -> Look | None:
        """What is to be looked at now, each path after the folders that it is in; None before the deadline."""
        if self.deadline is None or now < self.deadline:
            return None
        look = Look(tuple(sorted(self._paths)), self._at_all)
        self._paths.clear()
        self._at_all, self.deadline = False, None
        return look
