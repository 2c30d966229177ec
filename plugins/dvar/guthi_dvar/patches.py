"""Decides how a change of some elements of a chunk is told: a box of new values, or single elements by their places.

A chunk that is kept is never written to; to apply a patch gives another chunk. The last patches of a chunk are kept
beside it, so that who has a version of not long ago is sent only what has changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guthi import MalformedMessage
from guthi_dvar.stamps import Stamp

__all__ = ["Patch", "Step", "patch_of", "since", "trimmed"]

MOST_STEPS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """New values of some elements; `places` is where their box begins, or an array of their places in row order."""

    places: tuple[int, ...] | NDArray[Any]
    values: NDArray[Any]

    @property
    def size_bytes(self) -> int:
        """What it takes to send."""
        places = self.places
        return self.values.nbytes + (places.nbytes if isinstance(places, np.ndarray) else 8 * len(places))

    def apply(self, chunk: NDArray[Any]) -> NDArray[Any]:
        """Another chunk, with these elements changed; MalformedMessage where the patch does not fit."""
        if self.values.dtype != chunk.dtype:
            raise MalformedMessage("a patch has another dtype than its array")
        changed = chunk.copy()
        if isinstance(self.places, tuple):
            self._check_box(chunk.shape)
            box = tuple(slice(at, at + size) for at, size in zip(self.places, self.values.shape, strict=True))
            changed[box] = self.values
        else:
            if self.places.size and not (self.places.min() >= 0 and self.places.max() < chunk.size):
                raise MalformedMessage("a patch reaches beyond its chunk")
            changed.reshape(-1)[self.places] = self.values
        changed.flags.writeable = False
        return changed

    def _check_box(self, shape: tuple[int, ...]) -> None:
        sides = zip(self.places, self.values.shape, shape, strict=False)
        if not len(self.places) == self.values.ndim == len(shape) or any(at + n > size for at, n, size in sides):
            raise MalformedMessage("a patch reaches beyond its chunk")

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [list(self.places) if isinstance(self.places, tuple) else self.places, self.values]

    @classmethod
    def from_wire(cls, wire: object) -> Patch:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [list(starts), np.ndarray() as values] if all(type(at) is int and at >= 0 for at in starts):
                return cls(tuple(starts), values)
            case [np.ndarray(ndim=1) as places, np.ndarray(ndim=1) as values] if places.dtype == np.int64 and len(
                places
            ) == len(values):
                return cls(places, values)
        raise MalformedMessage("a patch is places and values")


class Step(NamedTuple):
    """A patch that leads from one version of a chunk to another."""

    base: Stamp
    stamp: Stamp
    patch: Patch


def patch_of(values: NDArray[Any], is_new: NDArray[Any]) -> Patch:
    """The patch that sets those elements of a chunk; there is at least one."""
    places = is_new.nonzero()
    box = tuple(slice(int(each.min()), int(each.max()) + 1) for each in places)
    if is_new[box].all():
        return Patch(tuple(side.start for side in box), values[box].copy())
    return Patch(np.flatnonzero(is_new).astype(np.int64), values[is_new])


def since(steps: Sequence[Step], stamp: Stamp) -> list[Patch] | None:
    """The patches that lead on from a version, or None where that is not known any more."""
    for place, step in enumerate(steps):
        if step.base == stamp:
            return [each.patch for each in steps[place:]]
    return None


def trimmed(steps: Sequence[Step], most_bytes: int) -> tuple[Step, ...]:
    """The last steps, as many as are worth keeping."""
    kept: list[Step] = []
    for step in reversed(steps[-MOST_STEPS:]):
        most_bytes -= step.patch.size_bytes
        if most_bytes < 0:
            break
        kept.append(step)
    return tuple(reversed(kept))
