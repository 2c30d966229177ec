"""Decides what this node keeps of another's tree, and what of it may still be served: attributes, listings, digests.

- What was promised to be told of (see `serving.promises`) is served until a notice says otherwise, and no longer than
  `check_interval_s` after the other last confirmed that no notice was missed.
- A listing is kept as a whole: the attributes that it gave go with it, since a promise is kept only once.
- A valid listing also tells what is not there.
- Digests belong to one version of a file, whose timestamp is never given again: they cannot become stale. Those of the
  version that was read last are kept.

Bounded: what was used longest ago goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from enum import Enum, auto
from math import inf

from guthi_gutfs.entries import Entry
from guthi_gutfs.paths import is_within, parent_of

__all__ = ["Absent", "KeptTree"]

MOST_ENTRIES = 50_000
MOST_LISTED = 100_000
MOST_DIGESTS = 100_000


class Absent(Enum):
    """What is kept says that nothing is there."""

    ABSENT = auto()


class KeptTree:
    """What is kept of one node. `now` is loop time."""

    def __init__(self, check_interval_s: float) -> None:
        self._check_interval_s = check_interval_s
        self._confirmed_at = -inf
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._listings: OrderedDict[str, dict[str, Entry]] = OrderedDict()
        self._listed = 0
        self._digests: OrderedDict[str, tuple[int, dict[int, bytes]]] = OrderedDict()  # with the version's timestamp
        self._digest_count = 0

    # ---- attributes and listings

    def __len__(self) -> int:
        return len(self._entries) + len(self._listings)

    def is_confirmed(self, now: float) -> bool:
        """Whether the other has said lately that nothing was missed."""
        return now - self._confirmed_at <= self._check_interval_s

    def confirmed(self, now: float) -> None:
        """It has said so now."""
        self._confirmed_at = now

    def entry(self, path: str, now: float) -> Entry | Absent | None:
        """What is under a path; None if that is not known, or may be stale."""
        if not self.is_confirmed(now):
            return None
        if (entry := self._entries.get(path)) is not None:
            self._entries.move_to_end(path)
            return entry
        listing = self._listings.get(parent_of(path))
        if listing is None or path == "/":
            return None
        return listing.get(path, Absent.ABSENT)

    def listing(self, path: str, now: float) -> list[Entry] | None:
        """What is in a folder; None if that is not known, or may be stale."""
        if not self.is_confirmed(now) or (listing := self._listings.get(path)) is None:
            return None
        self._listings.move_to_end(path)
        return list(listing.values())

    def keep_entry(self, entry: Entry) -> None:
        """The other has promised to tell when this changes."""
        self._entries[entry.path] = entry
        self._entries.move_to_end(entry.path)
        if len(self._entries) > MOST_ENTRIES:
            self._entries.popitem(last=False)

    def keep_listing(self, path: str, entries: Sequence[Entry]) -> None:
        """The other has promised to tell when anything in this folder changes; these are all that is in it."""
        self._drop_listing(path)
        self._listings[path] = {each.path: each for each in entries}
        self._listed += len(entries)
        while self._listed > MOST_LISTED and len(self._listings) > 1:
            self._drop_listing(next(iter(self._listings)))

    def _drop_listing(self, path: str) -> None:
        self._listed -= len(self._listings.pop(path, ()))

    def changed(self, path: str, *, has_children: bool) -> None:
        """Something has happened under a path; to all below it too, if it is or was a folder."""
        self._entries.pop(path, None)
        self._drop_listing(path)
        self._drop_listing(parent_of(path))
        if has_children:
            for each in [each for each in self._entries if is_within(each, path)]:
                del self._entries[each]
            for each in [each for each in self._listings if is_within(each, path)]:
                self._drop_listing(each)

    def forget(self) -> None:
        """Any of it may be stale."""
        self._entries.clear()
        self._listings.clear()
        self._listed = 0
        self._confirmed_at = -inf

    # ---- digests

    def digests(self, path: str, timestamp: int, first: int, count: int) -> list[bytes] | None:
        """Digests of the chunks from `first` on, of that version of a file; None if one is not known."""
        version, known = self._digests.get(path, (None, {}))
        if version != timestamp or any(index not in known for index in range(first, first + count)):
            return None
        self._digests.move_to_end(path)
        return [known[index] for index in range(first, first + count)]

    def keep_digests(self, path: str, timestamp: int, first: int, digests: Sequence[bytes]) -> None:
        """These are the digests of the chunks from `first` on."""
        version, known = self._digests.pop(path, (timestamp, {}))
        self._digest_count -= len(known)
        if version != timestamp:
            known = {}
        known.update(enumerate(digests, first))
        self._digests[path] = timestamp, known
        self._digest_count += len(known)
        while self._digest_count > MOST_DIGESTS and len(self._digests) > 1:
            _, (_, dropped) = self._digests.popitem(last=False)
            self._digest_count -= len(dropped)
