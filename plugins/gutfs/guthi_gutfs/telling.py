"""Calls the hooks of the plugin: for what changes in this node's files, and in those of others as far as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from guthi import NodeId
from guthi_gutfs.conflicts.naming import original_path
from guthi_gutfs.entries import Change, ChangeKind, Kind
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.tree.peers import PeerTrees

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["telling"]


def telling(node: Node, files: LocalFiles, peers: PeerTrees) -> Callable[[], None]:
    """Call hooks from now on; what is returned ends it."""

    def own(changes: Sequence[Change]) -> None:
        others(node.id, changes)

    def others(owner: NodeId, changes: Sequence[Change] | None) -> None:
        for change in changes or ():
            node.hooks.notify("file_changed", change=change, owner=owner)
            path = original_path(change.entry.path)
            if path is not None and change.kind is ChangeKind.CREATED and change.entry.kind is Kind.FILE:
                node.hooks.notify("file_conflict", path=path, copy=change.entry.path, owner=owner)

    peers.listeners.append(others)
    return files.subscribe(own)
