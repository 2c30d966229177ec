"""What one node did for a picture, as the report tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

__all__ = ["Share"]


@dataclass(frozen=True, slots=True)
class Share:
    """What one node did for a picture: bands, rows, and the seconds that it spent on them, without the network.

    `taken_over` says of how many bands from which nodes, which were lost at them, and `resumed_rows` how many rows of
    these were done already.
    """

    node: str
    bands: int = 0
    rows: int = 0
    busy_s: float = 0.0
    taken_over: Mapping[str, int] = field(default_factory=dict)
    resumed_rows: int = 0

    def with_band(self, rows: int, seconds: float, lost_on: Sequence[str], resumed_rows: int) -> Share:
        """The share with one more band, which the nodes `lost_on` had before; the last of them was at work on it."""
        taken_over = dict(self.taken_over)
        if lost_on:
            taken_over[lost_on[-1]] = taken_over.get(lost_on[-1], 0) + 1
        return Share(
            self.node,
            self.bands + 1,
            self.rows + rows,
            self.busy_s + seconds,
            taken_over,
            self.resumed_rows + resumed_rows,
        )

    def with_time(self, seconds: float) -> Share:
        """The share with time for a band that another had computed sooner."""
        return replace(self, busy_s=self.busy_s + seconds)
