"""Finds what a path of the one tree means: `/node/NAME/…` is the tree of one node, all else the merged view.

What the merged view shows is decided in `merging`. Nodes that cannot be reached are left out of it, as those that have
failed are; `/node/NAME/…` of such a node raises SourceGone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from guthi import NodeId, UnknownMember
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.errors import AmbiguousName, FileChanged, NotFound, PermissionDenied, SourceGone, WrongKind
from guthi_gutfs.paths import ROOT, child_of, name_of, names_of, parent_of, tree_path
from guthi_gutfs.tree.catalogue import Catalogue
from guthi_gutfs.tree.local import LocalTree
from guthi_gutfs.tree.merging import MARK, Seen, lacking_roots, merged, merged_name
from guthi_gutfs.tree.peers import PeerTrees
from guthi_gutfs.tree.remote import RemoteTree
from guthi_gutfs.vectors import VersionVector

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["NODES", "Found", "Tree", "View"]

NODES = "node"
"""The folder of the root in which each node's own tree is."""

Tree: TypeAlias = LocalTree | RemoteTree


@dataclass(frozen=True, slots=True)
class Found:
    """What a path means: the entry of `nodes[0]`, whose content all of `nodes` have. Made-up folders have no nodes."""

    path: str
    entry: Entry
    nodes: tuple[NodeId, ...]


class View:
    """The one tree, as this node sees it."""

    def __init__(self, node: Node, own: LocalTree, catalogue: Catalogue, peers: PeerTrees) -> None:
        self._node, self._own, self._catalogue, self._peers = node, own, catalogue, peers
        self._me, self._my_name = node.id, node.name

    def tree(self, node: NodeId) -> Tree:
        """The tree of a node, this one's included."""
        return self._own if node == self._me else self._peers.of(node)

    def node_named(self, name: str) -> NodeId:
        """Who is called so; raises NotFound."""
        try:
            member = self._node.member(name)
        except UnknownMember:
            raise NotFound(f"no node that exports files is called {name!r}; `list('/node')` has them") from None
        return member.id

    def split(self, path: str) -> tuple[NodeId, str] | None:
        """The node and the path in its own tree, of a path below `/node/NAME`; None for one of the merged view."""
        names = names_of(path)
        if len(names) < 2 or names[0] != NODES:
            return None
        return self.node_named(names[1]), ROOT + "/".join(names[2:])

    def global_path(self, node: NodeId, path: str) -> str:
        """Where a path of a node's own tree always is."""
        return tree_path(f"/{NODES}/{self.name(node)}{path}")

    def name(self, node: NodeId) -> str:
        """What people call a node."""
        return self._my_name if node == self._me else self._node.network.name_of(node)

    def is_replica(self, node: NodeId, path: str) -> bool:
        """Whether what a node has under a path is in sync with others."""
        export = self._catalogue.covering(node, path)
        return export is not None and export.is_sync

    # ---- finding

    async def find(self, path: str) -> Found:
        """What is under a path; raises NotFound, AmbiguousName, SourceGone."""
        if path in (ROOT, f"/{NODES}"):
            return Found(path, _made_up(path), ())
        if (split := self.split(path)) is not None:
            node, own = split
            return Found(path, await self.tree(node).stat(own), (node,))
        entries = await self._entries(path)
        if not entries:
            return await self._marked(path)
        shown = await self._told_apart(entries)
        for seen in shown:
            if seen.name == name_of(path):
                return Found(path, seen.entry, seen.nodes)
        if not shown:
            raise SourceGone(f"the nodes that had {path} have just gone")
        names = ", ".join(sorted(child_of(parent_of(path), each.name) for each in shown))
        raise AmbiguousName(f"nodes have different files at {path}; choose one: {names}")

    async def _entries(self, path: str) -> dict[NodeId, Entry]:
        """What each node has there. Raises SourceGone if none has that is reached, and one is not."""
        nodes = self._catalogue.nodes_with(path)
        found = await asyncio.gather(*(self._stat(node, path) for node in nodes))
        entries = {node: entry for node, entry in zip(nodes, found, strict=True) if isinstance(entry, Entry)}
        for each in found:
            if isinstance(each, SourceGone) and not entries:
                raise each
        return entries

    async def _stat(self, node: NodeId, path: str) -> Entry | SourceGone | None:
        try:
            return await self.tree(node).stat(path)
        except SourceGone as gone:
            return gone
        except (NotFound, WrongKind, PermissionDenied):
            return None

    async def _told_apart(self, entries: dict[NodeId, Entry]) -> list[Seen]:
        known = self._still_there(await self._with_roots({node: [entry] for node, entry in entries.items()}))
        return merged_name({node: entry for node, (entry,) in known.items()}, self.name, self.is_replica)

    def _still_there(self, found: dict[NodeId, list[Entry]]) -> dict[NodeId, list[Entry]]:
        """Without the nodes that went while others were asked: of those it is not known any more what they export."""
        return {node: entries for node, entries in found.items() if self._catalogue.exports(node)}

    async def _marked(self, path: str) -> Found:
        """`name@NODE`: what that node has under the name."""
        own, mark, name = path.rpartition(MARK)
        if mark and "/" not in name:
            for node in self._catalogue.nodes_with(parent_of(path)):
                if self.name(node) == name:
                    return Found(path, await self.tree(node).stat(own), (node,))
        raise NotFound(f"{path} is not there")

    # ---- listing

    async def listing(self, path: str) -> list[Found]:
        """What is in a folder, sorted by name; raises NotFound, WrongKind, SourceGone."""
        if path == f"/{NODES}":
            names = {self.name(each.node) for each in self._catalogue.all if each.exports}
            return [Found(child_of(path, name), _made_up(child_of(path, name)), ()) for name in sorted(names)]
        if (split := self.split(path)) is not None:
            node, own = split
            return [
                Found(child_of(path, name_of(each.path)), each, (node,)) for each in await self.tree(node).listing(own)
            ]
        found = await self._listings(path)
        shown = merged(self._still_there(await self._with_roots(found)), self.name, self.is_replica)
        listed = [Found(child_of(path, each.name), each.entry, each.nodes) for each in shown]
        if path != ROOT:
            return listed
        nodes = Found(f"/{NODES}", _made_up(f"/{NODES}"), ())
        return sorted([nodes, *(each for each in listed if each.path != nodes.path)], key=lambda each: each.path)

    async def _listings(self, path: str) -> dict[NodeId, list[Entry]]:
        nodes = self._catalogue.nodes_with(path)
        outcomes = await asyncio.gather(*(self.tree(node).listing(path) for node in nodes), return_exceptions=True)
        found: dict[NodeId, list[Entry]] = {}
        for node, outcome in zip(nodes, outcomes, strict=True):
            if isinstance(outcome, list):
                found[node] = outcome
            elif not isinstance(outcome, NotFound | WrongKind | SourceGone | PermissionDenied):
                raise outcome
        if not found and path != ROOT:
            is_file = (await self.find(path)).entry.kind is Kind.FILE  # raises where nothing is there, or nobody
            raise WrongKind(f"{path} is a file; read it") if is_file else SourceGone(f"{path} cannot be listed now")
        return found

    async def _with_roots(self, found: dict[NodeId, list[Entry]]) -> dict[NodeId, list[Entry]]:
        """Ask for the root digests without which equal files cannot be told from different ones."""
        lacking = lacking_roots(found, self.is_replica)
        if not lacking:
            return found
        roots = await asyncio.gather(*(self._root(node, entry) for node, entry in lacking))
        known = dict(zip(((node, entry.path) for node, entry in lacking), roots, strict=True))
        return {
            node: [_with_root(entry, known.get((node, entry.path))) for entry in entries]
            for node, entries in found.items()
        }

    async def _root(self, node: NodeId, entry: Entry) -> bytes | None:
        try:
            return await self.tree(node).root(entry.path)
        except (FileChanged, NotFound, SourceGone, PermissionDenied):
            return None

    async def caches(self) -> dict[str, dict[str, int]]:
        """What the caches of other nodes hold, by name; those that do not answer are left out."""
        others = [each.node for each in self._catalogue.all if each.node != self._me]
        usages = await asyncio.gather(*(self._peers.of(node).cache_usage() for node in others), return_exceptions=True)
        told = {self.name(node): usage for node, usage in zip(others, usages, strict=True) if isinstance(usage, dict)}
        return dict(sorted(told.items()))

    # ---- writing

    async def place(self, path: str) -> tuple[NodeId, str]:
        """Which node writes what is to be under a path, and where in its own tree.

        The node that has it; else one that has the folder in a writable export, this node before others and those
        before by name. Raises NotFound, AmbiguousName, PermissionDenied.
        """
        if (split := self.split(path)) is not None:
            return split
        try:
            found = await self.find(path)
        except (NotFound, SourceGone):
            return await self._place_for_new(path), path
        writable = [node for node in found.nodes if self._may_write(node, found.entry.path)]
        if not found.nodes or not writable:
            raise PermissionDenied(f"{path} is in no writable export")
        return self._nearest(writable), found.entry.path

    async def place_of_any(self, path: str) -> tuple[NodeId, str]:
        """For a batch, which must not ask twice: as `place`, but also for what cannot be written.

        If only one node can have it, it is not asked whether it does. Raises NotFound, AmbiguousName.
        """
        if (split := self.split(path)) is not None:
            return split
        nodes = self._catalogue.nodes_with(path)
        if len(nodes) == 1:
            return nodes[0], path
        try:
            found = await self.find(path)
        except NotFound:
            return await self._place_for_new(path), path
        if not found.nodes:
            raise NotFound(f"{path} is on no node; list it by itself")
        return self._nearest(found.nodes), found.entry.path

    async def _place_for_new(self, path: str) -> NodeId:
        writable = [node for node in self._catalogue.nodes_with(path) if self._may_write(node, path)]
        if not writable:
            raise PermissionDenied(f"no node exports a writable folder for {path}")
        parents = await asyncio.gather(*(self._stat(node, parent_of(path)) for node in writable))
        reached = [
            (node, each) for node, each in zip(writable, parents, strict=True) if not isinstance(each, SourceGone)
        ]
        if not reached:
            raise SourceGone(f"no node that exports a writable folder for {path} can be reached")
        having = [node for node, each in reached if each is not None and each.kind is Kind.FOLDER]
        return self._nearest(having or [node for node, _ in reached])

    def _may_write(self, node: NodeId, path: str) -> bool:
        export = self._catalogue.covering(node, path)
        return export is not None and export.is_writable

    def _nearest(self, nodes: Sequence[NodeId]) -> NodeId:
        return min(nodes, key=lambda node: (node != self._me, self.name(node)))


def _made_up(path: str) -> Entry:
    return Entry(path, Kind.FOLDER, 0, 0.0, Version(VersionVector(), 0, ""), 0)


def _with_root(entry: Entry, root: bytes | None) -> Entry:
    if root is None:
        return entry
    return Entry(
        entry.path, entry.kind, entry.size_bytes, entry.modified_s, entry.version, entry.sequence, entry.root or root
    )
