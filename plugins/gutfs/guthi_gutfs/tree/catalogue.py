"""Decides what this node knows of the others' exports: the newest announcement of each node, and whose tree has a path.

A node announces its exports with a revision, the time of its start, when it starts; whoever has missed that gets it by
comparing catalogues with another node (see `announcing`). Announcements may come by way of others and in any order: of
each node the one with the greatest revision counts. Only members that are present count; that bounds the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from guthi import MalformedMessage, NodeId
from guthi_gutfs.errors import BadPath
from guthi_gutfs.paths import is_within, tree_path
from guthi_gutfs.timestamps import TIMESTAMP_LIMIT

__all__ = ["Announcement", "Catalogue", "Exported", "announcements_from_wire"]

MOST_EXPORTS = 1024
MOST_ANNOUNCEMENTS = 10_000


class Exported(NamedTuple):
    """A folder that a node exports at a path of its tree."""

    at: str
    is_writable: bool
    is_sync: bool


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node exports, from the start of it that `revision` (an NTP timestamp) tells."""

    node: NodeId
    revision: int
    exports: tuple[Exported, ...]

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.node, self.revision, [list(each) for each in self.exports]]

    @classmethod
    def from_wire(cls, wire: object) -> Announcement:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [bytes(node), int(revision), list(exports)] if (
                len(node) == NodeId.SIZE and 0 <= revision < TIMESTAMP_LIMIT and len(exports) <= MOST_EXPORTS
            ):
                return cls(NodeId(node), revision, tuple(_exported(each) for each in exports))
        raise MalformedMessage("an announcement is a node, a revision and exports")


def _exported(wire: object) -> Exported:
    match wire:
        case [str(at), bool(is_writable), bool(is_sync)]:
            try:
                return Exported(tree_path(at), is_writable, is_sync)
            except BadPath as error:
                raise MalformedMessage(str(error)) from None
    raise MalformedMessage("an export is a path, and whether it is writable and in sync")


def announcements_from_wire(wire: object) -> list[Announcement]:
    """Read what a peer says; raises MalformedMessage."""
    if not isinstance(wire, list) or len(wire) > MOST_ANNOUNCEMENTS:
        raise MalformedMessage("announcements are a list, not too long")
    return [Announcement.from_wire(each) for each in wire]


class Catalogue:
    """The exports of all nodes, this one's included."""

    def __init__(self) -> None:
        self._newest: dict[NodeId, Announcement] = {}

    def merge(self, announcements: Iterable[Announcement], present: Iterable[NodeId]) -> list[NodeId]:
        """Take what is newer than what is known; returns of whom. `present` are those that may have exports."""
        may, news = set(present), []
        for each in announcements:
            known = self._newest.get(each.node)
            if each.node in may and (known is None or known.revision < each.revision):
                self._newest[each.node] = each
                news.append(each.node)
        return news

    def lost(self, node: NodeId) -> None:
        """It failed or left: its tree is not there."""
        self._newest.pop(node, None)

    @property
    def all(self) -> list[Announcement]:
        """Sorted by node."""
        return [self._newest[node] for node in sorted(self._newest)]

    @property
    def fingerprint(self) -> bytes:
        """Equal in two nodes that know the same."""
        digest = blake2b(digest_size=16)
        for each in self.all:
            digest.update(each.node + each.revision.to_bytes(9, "big"))
        return digest.digest()

    def exports(self, node: NodeId) -> tuple[Exported, ...]:
        """What a node exports; nothing if it is not known."""
        known = self._newest.get(node)
        return known.exports if known is not None else ()

    def revision(self, node: NodeId) -> int:
        """Of the announcement that is known of a node; -1 without one."""
        known = self._newest.get(node)
        return known.revision if known is not None else -1

    def covering(self, node: NodeId, path: str) -> Exported | None:
        """The export of a node that a path is in."""
        return next((each for each in self.exports(node) if is_within(path, each.at)), None)

    def has(self, node: NodeId, path: str) -> bool:
        """Whether a path may be in a node's tree: in an export, or above one."""
        return path == "/" or any(is_within(path, each.at) or is_within(each.at, path) for each in self.exports(node))

    def nodes_with(self, path: str) -> list[NodeId]:
        """Those in whose tree a path may be, sorted."""
        return [node for node in sorted(self._newest) if self.exports(node) and self.has(node, path)]
