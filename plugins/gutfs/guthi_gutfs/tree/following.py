"""Decides whether this node has heard of all changes of another that concern it, or has to ask.

The other numbers its changes within a life of its index, and tells with each notice the number of the last change
before it (see `serving.promises`). A notice that begins later than what has been heard of has one missing before it;
a notice of another life means that everything of the old one is worthless.

What is fetched may cross a notice that makes it old: the notice overtakes the answer. So each fetch is noted, and what
comes is not kept if a notice of a later change has come since the fetch began.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

__all__ = ["Fetch", "Following", "Standing"]


class Standing(Enum):
    """What a notice, or an answer, means for what this node keeps."""

    NEWS = auto()  # it continues what has been heard
    GAP = auto()  # something is missing before it: ask
    OTHER_LIFE = auto()  # forget all, and ask


@dataclass(slots=True, eq=False)
class Fetch:
    """Something that is being fetched; `notified` is the number of the last change told of since."""

    notified: int = 0
    is_void: bool = False


@dataclass(slots=True)
class Following:
    """What has been heard of the changes of one other node."""

    life: bytes | None = None
    heard: int = 0
    _fetches: set[Fetch] = field(default_factory=set)

    def begin(self) -> Fetch:
        """Something is being fetched."""
        fetch = Fetch()
        self._fetches.add(fetch)
        return fetch

    def end(self, fetch: Fetch) -> None:
        """It has come, or will not."""
        self._fetches.discard(fetch)

    def may_keep(self, fetch: Fetch, life: bytes, sequence: int) -> bool:
        """Whether an answer as of that change may be kept; the first of a life begins what is followed."""
        if self.life is None:
            self.life, self.heard = life, sequence
        return life == self.life and not fetch.is_void and fetch.notified <= sequence

    def changed(self, sequence: int) -> None:
        """There is a change of that number: what was fetched before it is not to be kept."""
        for fetch in self._fetches:
            fetch.notified = max(fetch.notified, sequence)

    def told(self, life: bytes, before: int, after: int) -> Standing:
        """A notice has come, whose changes come after one number and up to another."""
        self.changed(after)
        if life != self.life:
            return Standing.OTHER_LIFE
        if before > self.heard:
            return Standing.GAP
        self.heard = max(self.heard, after)
        return Standing.NEWS

    def caught_up(self, life: bytes, sequence: int) -> None:
        """All changes up to that one are known, or all that was kept is forgotten."""
        if life != self.life:
            self.forget()
            self.life, self.heard = life, sequence
        self.heard = max(self.heard, sequence)
        self.changed(sequence)

    def forget(self) -> None:
        """Nothing is known of that node any more, and what is under way is not to be kept."""
        self.life, self.heard = None, 0
        for fetch in self._fetches:
            fetch.is_void = True
