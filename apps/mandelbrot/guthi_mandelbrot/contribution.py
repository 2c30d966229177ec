"""What one node does for a picture: it writes its bands to the array, and beside them what it did, for the report.

Nobody else writes this node's variable, so no entry is lost however many nodes lead. What becomes due while one write
is under way goes out together with the next.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from guthi import GuthiError, MalformedMessage, Node, NodeId
from guthi_dvar import Dvar, UnknownVariable, ValueUnavailable
from guthi_mandelbrot.job import contribution_name, contributions_in, times_name
from guthi_mandelbrot.kernel import EscapeTimes
from guthi_mandelbrot.share import Share
from guthi_rpc.context import CallId

__all__ = ["Contribution", "Contributor", "contributions", "shares"]

log = logging.getLogger("guthi_mandelbrot")


@dataclass(slots=True)
class Contribution:
    """What a node has done: by the first row of a band its rows, the seconds, and the rows that were done before.

    `begun` are the calls that had it begin a band; a lost node's unfinished ones can be recalled.
    """

    node: str
    begun: dict[int, CallId] = field(default_factory=dict)
    done: dict[int, tuple[int, float, int]] = field(default_factory=dict)

    def to_wire(self) -> list[Any]:
        """As the variable holds it."""
        begun = [[row, bytes(caller), number] for row, (caller, number) in self.begun.items()]
        return [self.node, begun, [[row, *entry] for row, entry in self.done.items()]]

    @classmethod
    def from_wire(cls, wire: Any) -> Contribution:
        """Read it; raises MalformedMessage."""
        match wire:
            case [str(node), [*begun], [*done]]:
                try:
                    calls = {int(row): (NodeId(caller), int(number)) for row, caller, number in begun}
                    entries = {int(row): (int(rows), float(seconds), int(old)) for row, rows, seconds, old in done}
                except (TypeError, ValueError) as error:
                    raise MalformedMessage(f"this is no contribution: {error}") from error
                return cls(node, calls, entries)
        raise MalformedMessage("a contribution is a node, the bands that it has begun, and those that it has done")


class Contributor:
    """Writes what this node does for one picture."""

    def __init__(self, node: Node, dvar: Dvar, picture: str) -> None:
        self._node, self._dvar, self._picture = node, dvar, picture
        self._name = contribution_name(picture, node.id)
        self._own = Contribution(node.name)
        self._bands: list[tuple[int, EscapeTimes]] = []
        self._is_dirty = self._is_writing = self._is_created = False

    def begun(self, first_row: int, call: CallId) -> None:
        """This node is at work on a band."""
        self._own.begun[first_row] = call
        self._write_soon()

    def done(self, first_row: int, values: EscapeTimes, seconds: float, resumed_rows: int) -> None:
        """It has computed a band; `values` as the array holds them."""
        self._bands.append((first_row, values))
        self._own.done[first_row] = (len(values), seconds, resumed_rows)
        self._write_soon()

    def _write_soon(self) -> None:
        self._is_dirty = True
        if not self._is_writing:
            self._is_writing = True
            self._node.start(self._write(), f"picture {self._picture}")

    async def _write(self) -> None:
        try:
            await self._ensure_variable()
            while self._is_dirty:
                self._is_dirty = False
                await self._write_once()
        except GuthiError as error:  # most often the picture has been deleted; there may be another of that name
            log.info("what was done for the picture %s is lost, and will be done again: %s", self._picture, error)
            self._own, self._is_created = Contribution(self._node.name), False
        finally:
            self._is_writing = False

    async def _write_once(self) -> None:
        bands, self._bands = self._bands, []
        async with self._dvar.batch() as batch:
            for first_row, values in bands:
                batch.set(times_name(self._picture), values, at=np.s_[first_row : first_row + len(values)])
            batch.set(self._name, self._own.to_wire())

    async def _ensure_variable(self) -> None:
        if self._is_created:
            return
        try:
            earlier = Contribution.from_wire(await self._dvar.get(self._name))  # by an earlier life of this node
            self._own.done = earlier.done | self._own.done
        except UnknownVariable:
            await self._dvar.create(self._name, self._own.to_wire())
        self._is_created = True


async def contributions(dvar: Dvar, picture: str) -> list[Contribution]:
    """What all nodes have done for a picture, as far as it is known."""
    found = []
    for name in contributions_in(dvar.names(), picture):
        try:
            found.append(Contribution.from_wire(await dvar.get(name)))
        except (UnknownVariable, ValueUnavailable):
            continue
    return found


def shares(told: Iterable[Contribution], lost: Container[str] | None = None) -> list[Share]:
    """The share of each node, sorted by name.

    A band counts as taken over from whoever began and did not finish it, if that node is among those that were `lost`
    (None: where that is not known, it counts): one that lives may have been too slow with a band that two had.
    A band that several computed (it was late, or its answer was lost with its node) counts once, for whoever took the
    least time; the time is that of all.
    """
    everybody = sorted(told, key=lambda each: each.node)
    left_by: Mapping[int, str] = {
        row: each.node
        for each in everybody
        if lost is None or each.node in lost
        for row in sorted(each.begun.keys() - each.done.keys())
    }
    quickest = _quickest(everybody)
    result = []
    for each in everybody:
        share = Share(each.node)
        for row, (rows, seconds, resumed_rows) in sorted(each.done.items()):
            if quickest[row] != each.node:
                share = share.with_time(seconds)
                continue
            lost_on = [left_by[row]] if row in left_by and left_by[row] != each.node else []
            share = share.with_band(rows, seconds, lost_on, resumed_rows)
        result.append(share)
    return result


def _quickest(everybody: Sequence[Contribution]) -> dict[int, str]:
    """Who computed each band, by its first row; the quickest of several."""
    tries = sorted((entry[1], each.node, row) for each in everybody for row, entry in each.done.items())
    return {row: node for _, node, row in reversed(tries)}
