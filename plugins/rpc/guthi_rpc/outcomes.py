"""What a node remembers of calls with a key: which have begun, where, and how they ended; bounded in every way.

An entry is never dropped before its time, for then the call could have its effect again: a full table takes none.
A result that is too large to keep is forgotten, but not that there was one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from guthi_rpc.ballot import Home

__all__ = ["Entry", "Name", "Outcomes", "Stage"]

Name: TypeAlias = tuple[str, str]
"""The function and the key."""


class Stage(Enum):
    """How far a call is, as far as this node knows."""

    ASKING = "asking"  # its home is asking the others whether they know it; it has not begun
    BEGUN = "begun"
    DONE = "done"


@dataclass(slots=True)
class Entry:
    """One call: `home` is who runs it, `outcome` an encoded answer or fault, None where it is too large.

    What is noted later has a greater number.
    """

    home: Home
    stage: Stage
    expires_at: float
    number: int
    outcome: bytes | None = None


class Outcomes:
    """The entries of one node; `clock` gives loop time, `is_own` says whether a home is this very node."""

    def __init__(
        self,
        clock: Callable[[], float],
        is_own: Callable[[Home], bool],
        retention_s: float,
        max_entries: int,
        max_bytes: int,
    ) -> None:
        self._clock, self._is_own, self._retention_s = clock, is_own, retention_s
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._entries: dict[Name, Entry] = {}  # in the order of their numbers, in which most expire as well
        self._names: dict[int, Name] = {}  # by number
        self._bytes = self._last = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: Name) -> Entry | None:
        """What is known of the call."""
        self._expire()
        entry = self._entries.get(name)
        if entry is not None and entry.expires_at <= self._clock():  # others knew it first, and so it expires first
            self.drop(name)
            return None
        return entry

    def later_than(self, number: int) -> Iterator[tuple[Name, Entry, float]]:
        """All that was noted after that one, and for how many seconds each is yet remembered."""
        now = self._clock()
        first = max(number + 1, next(iter(self._names), self._last + 1))
        for name in filter(None, map(self._names.get, range(first, self._last + 1))):
            entry = self._entries[name]
            if entry.expires_at > now:
                yield name, entry, entry.expires_at - now

    @property
    def is_full(self) -> bool:
        """Whether no further call can be remembered now."""
        self._expire()
        return len(self._entries) >= self._max_entries

    def note(
        self, name: Name, home: Home, stage: Stage, outcome: bytes | None = None, for_s: float | None = None
    ) -> Entry:
        """Remember, from now on for as long as entries are kept, or for the rest of that."""
        self.drop(name)
        if outcome is not None and self._bytes + len(outcome) > self._max_bytes:
            outcome = None
        self._bytes += len(outcome or b"")
        self._last += 1
        self._names[self._last] = name
        left_s = self._retention_s if for_s is None else min(for_s, self._retention_s)
        entry = self._entries[name] = Entry(home, stage, self._clock() + left_s, self._last, outcome)
        return entry

    def drop(self, name: Name) -> None:
        """Forget a call that has not begun after all."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            del self._names[entry.number]
            self._bytes -= len(entry.outcome or b"")

    def _expire(self) -> None:
        """A call that is still running here is not forgotten."""
        now = self._clock()
        while self._entries:
            name = next(iter(self._entries))
            entry = self._entries[name]
            if entry.expires_at > now:
                return
            if entry.stage is not Stage.DONE and self._is_own(entry.home):
                self.note(name, entry.home, entry.stage)
            else:
                self.drop(name)
