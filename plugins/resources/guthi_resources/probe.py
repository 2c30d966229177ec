"""Where samples come from, as the service sees it; `system` has the real one."""

from __future__ import annotations

from typing import Protocol

from guthi_resources.sample import Sample

__all__ = ["Probe"]


class Probe(Protocol):
    """Takes samples. It is called in a thread, by one caller at a time."""

    def sample(self, now: float) -> Sample:
        """The machine as it is; `now` is loop time in seconds, for rates."""
