"""Decides which copies a node drops when it keeps too many bytes: the oldest of those that belong elsewhere.

A copy that belongs here (see `places`) is never dropped, but nor does a full node take further ones from others. What
this node writes itself it keeps in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from guthi_dvar.bodies import size_of

__all__ = ["Room"]

Key: TypeAlias = tuple[str, int]


class Room:
    """The bytes of all copies, in the order in which they came."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self.taken_bytes = most_bytes, 0
        self._sizes: dict[Key, int] = {}
        self._indices: dict[str, set[int]] = {}
        self._tolerated_bytes = most_bytes

    def has_room(self, size_bytes: int) -> bool:
        """Whether so much more may be taken from another node."""
        return self.taken_bytes + size_bytes <= self._most_bytes

    def taken(self, key: Key, value: Any) -> None:
        """A copy is kept, in place of an older one."""
        self._forget(key)
        self._sizes[key] = size_bytes = size_of(value)
        self._indices.setdefault(key[0], set()).add(key[1])
        self.taken_bytes += size_bytes
        if self.taken_bytes <= self._most_bytes:
            self._tolerated_bytes = self._most_bytes

    def left(self, name: str) -> None:
        """All copies of a variable are gone."""
        for index in sorted(self._indices.get(name, ())):
            self._forget((name, index))

    def _forget(self, key: Key) -> None:
        size_bytes = self._sizes.pop(key, None)
        if size_bytes is None:
            return
        self.taken_bytes -= size_bytes
        name, index = key
        self._indices[name].remove(index)
        if not self._indices[name]:
            del self._indices[name]

    def to_drop(self, is_needed: Callable[[Key], bool], coming_bytes: int = 0) -> list[Key]:
        """The copies that have to go, where so many bytes are to come; they count as gone."""
        dropped: list[Key] = []
        if self.taken_bytes + coming_bytes <= self._tolerated_bytes:
            return dropped
        for key in list(self._sizes):
            if self.taken_bytes + coming_bytes <= self._most_bytes:
                break
            if not is_needed(key):
                self._forget(key)
                dropped.append(key)
        # Where what is needed takes more than there may be, one does not look through all of it at each write.
        self._tolerated_bytes = max(self._most_bytes, self.taken_bytes + self._most_bytes // 16)
        return dropped
