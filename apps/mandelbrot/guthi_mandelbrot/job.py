"""What all nodes have to know of a picture in order to go on with it, and the names of the variables that hold it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from guthi import MalformedMessage, NodeId, UsageError
from guthi_mandelbrot.bands import Band
from guthi_mandelbrot.kernel import Region, View

__all__ = ["Job", "contribution_name", "contributions_in", "job_name", "pictures_in", "times_name", "view_numbers"]

_PREFIX: Final = "mandelbrot/"


@dataclass(frozen=True, slots=True)
class Job:
    """A picture: what it shows, the rows of a band, and the ids and names of those that have led, the present one last.

    `failure` says why it cannot be finished; it is empty as long as it can.
    """

    view: View
    band_rows: int
    leaders: tuple[tuple[NodeId, str], ...]
    is_finished: bool = False
    failure: str = ""

    @property
    def leader(self) -> NodeId:
        """Whoever gives out the bands."""
        return self.leaders[-1][0]

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to lead any more."""
        return self.is_finished or bool(self.failure)

    @property
    def bands(self) -> list[Band]:
        """The bands, from top to bottom: all of `band_rows` rows but the last."""
        height = self.view.height
        return [(start, min(self.band_rows, height - start)) for start in range(0, height, self.band_rows)]

    @classmethod
    def first(cls, view: View, bands: int, leader: NodeId, name: str) -> Job:
        """That of a picture which is to be begun, in at most so many bands; raises UsageError."""
        if bands < 1:
            raise UsageError(f"the number of bands is {bands}; it must be 1 or more")
        return cls(view, -(-view.height // bands), ((leader, name),))

    def led_by(self, node: NodeId, name: str) -> Job:
        """The same job in other hands."""
        return replace(self, leaders=(*self.leaders, (node, name)))

    def to_wire(self) -> list[Any]:
        """As the variable holds it."""
        leaders = [[bytes(node), name] for node, name in self.leaders]
        return [list(view_numbers(self.view)), self.band_rows, leaders, self.is_finished, self.failure]

    @classmethod
    def from_wire(cls, wire: Any) -> Job:
        """Read it; raises MalformedMessage."""
        match wire:
            case [[*numbers], int(rows), [*leaders], bool(is_finished), str(failure)] if rows >= 1 and leaders:
                try:
                    left, right, bottom, top, width, height, iterations = numbers
                    view = View(Region(left, right, bottom, top), width, height, iterations)
                    led = tuple((NodeId(node), str(name)) for node, name in leaders)
                except (TypeError, ValueError, UsageError) as error:
                    raise MalformedMessage(f"this is no picture's job: {error}") from error
                return cls(view, rows, led, is_finished, failure)
        raise MalformedMessage("a picture's job is a view, rows of a band, leaders, whether it is finished, a failure")


def view_numbers(view: View) -> tuple[float | int, ...]:
    """The view as plain numbers, so that any language can send it."""
    region = view.region
    return (region.left, region.right, region.bottom, region.top, view.width, view.height, view.iterations)


def job_name(picture: str) -> str:
    """The variable that holds the job."""
    return _PREFIX + picture


def times_name(picture: str) -> str:
    """The array that holds the escape times."""
    return f"{_PREFIX}{picture}/times"


def contribution_name(picture: str, node: NodeId) -> str:
    """The variable in which a node says what it has done."""
    return f"{_PREFIX}{picture}/by/{node.hex()}"


def contributions_in(names: Iterable[str], picture: str) -> list[str]:
    """Those of these variables that are contributions to a picture, sorted."""
    return sorted(name for name in names if name.startswith(f"{_PREFIX}{picture}/by/"))


def pictures_in(names: Iterable[str]) -> list[str]:
    """The pictures of which these variables hold the jobs, sorted."""
    found = (name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
    return sorted(name for name in found if "/" not in name)
