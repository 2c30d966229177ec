"""Decides whom this node tells of a change: those that were promised it (AFS callbacks).

Howard and others, "Scale and Performance in a Distributed File System", 1988: who fetches something is promised to be
told when it changes, and until then need not ask. Promises are made for

| a peer that has fetched      | is told when                                                                |
|------------------------------|-----------------------------------------------------------------------------|
| the attributes or the digests of a path  | what is under the path changes                                  |
| the listing of a folder      | anything in the folder changes, for a listing has attributes too            |
| nothing, but watches a path  | anything at or below the path changes                                       |

When a folder goes, or is moved, promises of all below it are broken. A promise is kept once: who is told fetches anew,
if it wants to know, and is promised anew. Watching goes on until the peer says otherwise, or is lost.

A peer is told with the numbers of the changes between which nothing else concerned it (`Notice`), so that it notices
when a notice is lost. When there are more promises than `most` or watches than `MOST_WATCHES`, the peer that has most
of them is told of everything instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from guthi import NodeId
from guthi_gutfs.entries import Change, Kind
from guthi_gutfs.paths import is_within, parent_of, parents_of

__all__ = ["Notice", "Promises"]

MOST_WATCHES = 256


class Notice(NamedTuple):
    """Tell this peer these changes; there are no others for it after `before` up to `after`."""

    peer: NodeId
    before: int
    after: int
    changes: tuple[Change, ...]


class _Promise(NamedTuple):
    path: str
    is_listing: bool


@dataclass(slots=True)
class _Holder:
    """What one peer was promised; `told` is the number of the last change that it need not ask for."""

    told: int
    promises: set[_Promise] = field(default_factory=set)
    watches: frozenset[str] = frozenset()
    wants_all: bool = False


class Promises:
    """The promises of one node."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._holders: dict[NodeId, _Holder] = {}
        self._peers: dict[_Promise, set[NodeId]] = defaultdict(set)

    def __len__(self) -> int:
        return self._count

    def told_of(self, peer: NodeId) -> int | None:
        """The number of the last change that a peer was told of, as far as that concerned it."""
        holder = self._holders.get(peer)
        return holder.told if holder is not None else None

    # ---- promising

    def promise(self, peer: NodeId, path: str, sequence: int, *, is_listing: bool = False) -> None:
        """A peer is given what is under a path as of the change with that number."""
        holder = self._holders.setdefault(peer, _Holder(sequence))
        promise = _Promise(path, is_listing)
        if holder.wants_all or promise in holder.promises:
            return
        holder.promises.add(promise)
        self._peers[promise].add(peer)
        self._count += 1
        if self._count > self._most:
            self._generalize(max(self._holders, key=lambda each: (len(self._holders[each].promises), each)))

    def watch(self, peer: NodeId, paths: Iterable[str], sequence: int) -> None:
        """From now on a peer wants to hear of these paths and all below them, and of no others that it watched."""
        holder = self._holders.setdefault(peer, _Holder(sequence))
        holder.watches = frozenset(paths)
        if len(holder.watches) > MOST_WATCHES:
            self._generalize(peer)

    def _generalize(self, peer: NodeId) -> None:
        holder = self._holders[peer]
        for promise in sorted(holder.promises):
            self._withdraw(peer, promise)
        holder.wants_all, holder.watches = True, frozenset()

    def _withdraw(self, peer: NodeId, promise: _Promise) -> None:
        self._holders[peer].promises.discard(promise)
        peers = self._peers[promise]
        peers.discard(peer)
        if not peers:
            del self._peers[promise]
        self._count -= 1

    def caught_up(self, peer: NodeId, sequence: int) -> None:
        """A peer has asked for all changes up to this one, and been told."""
        if (holder := self._holders.get(peer)) is not None:
            holder.told = max(holder.told, sequence)

    def lost(self, peer: NodeId) -> None:
        """It is gone, and what it kept counts no more."""
        holder = self._holders.get(peer)
        if holder is None:
            return
        for promise in sorted(holder.promises):
            self._withdraw(peer, promise)
        del self._holders[peer]

    # ---- keeping promises

    def changed(self, changes: Sequence[Change], sequence: int) -> list[Notice]:
        """These changes have been made, the last of which has that number: whom to tell, sorted by peer."""
        told: dict[NodeId, list[Change]] = defaultdict(list)
        broken: dict[_Promise, None] = {}
        below = self._below(changes)
        for change in changes:
            ends = self._ended_by(change, below)
            broken |= dict.fromkeys(ends)
            for peer in self._watchers(change).union(*(self._peers[each] for each in ends)):
                told[peer].append(change)
        for promise in broken:  # not before all changes are told to those who had it
            for peer in sorted(self._peers[promise]):
                self._withdraw(peer, promise)
        notices = []
        for peer in sorted(told):
            holder = self._holders[peer]
            notices.append(Notice(peer, holder.told, sequence, tuple(told[peer])))
            holder.told = max(holder.told, sequence)
        return notices

    def _watchers(self, change: Change) -> set[NodeId]:
        return {
            peer
            for peer, holder in self._holders.items()
            if holder.wants_all or any(is_within(path, each) for each in holder.watches for path in _paths(change))
        }

    def _below(self, changes: Sequence[Change]) -> dict[str, list[_Promise]]:
        """The promises of all below each folder that is changed: in one look at all, however many folders change."""
        folders = {path for change in changes if change.entry.kind is not Kind.FILE for path in _paths(change)}
        below: dict[str, list[_Promise]] = defaultdict(list)
        for promise in self._peers if folders else ():
            for parent in parents_of(promise.path):
                if parent in folders:
                    below[parent].append(promise)
        return below

    def _ended_by(self, change: Change, below: Mapping[str, Sequence[_Promise]]) -> list[_Promise]:
        """The promises that somebody has, and that a change breaks."""
        ends: list[_Promise] = []
        for path in _paths(change):
            ends += [_Promise(path, False), _Promise(path, True), _Promise(parent_of(path), True)]
            if change.entry.kind is not Kind.FILE:
                ends += below.get(path, ())
        return [each for each in dict.fromkeys(ends) if each in self._peers]


def _paths(change: Change) -> list[str]:
    return [change.entry.path] if change.moved_from is None else [change.entry.path, change.moved_from]
