"""Decides what one folder of the merged tree shows, of what each node has under the same path.

| under one name                                            | shown as                                              |
|-----------------------------------------------------------|-------------------------------------------------------|
| folders only                                              | one folder, whose content is merged likewise          |
| one file, or several of the same content                  | one file under its name                               |
| replicas of one file in exports that are in sync          | one file under its name: the newest version           |
| files of different content                                | each as `name@NODE`                                   |
| a folder, and files                                       | the folder under its name, each file as `name@NODE`   |

A content is the same if size and root digest are. What is the same on several nodes can be fetched from all of them.
`name@NODE` always finds the file of that node, whether it is shown so or not; if NODE is not the name of one that
exports the folder, it is a name like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from guthi import NodeId
from guthi_gutfs.entries import Entry, Kind
from guthi_gutfs.paths import name_of
from guthi_gutfs.vectors import Order

__all__ = ["MARK", "Seen", "lacking_roots", "merged", "merged_name"]

MARK = "@"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is shown under a name: the entry, and the nodes that have it, the first of which the entry is from."""

    name: str
    entry: Entry
    nodes: tuple[NodeId, ...]


def merged(
    found: Mapping[NodeId, Iterable[Entry]],
    name_of_node: Callable[[NodeId], str],
    is_replica: Callable[[NodeId, str], bool],
) -> list[Seen]:
    """What a folder shows, sorted by name. `is_replica` tells whether a path of a node is in sync with others."""
    if len(found) == 1:
        ((node, entries),) = found.items()
        return sorted((Seen(name_of(each.path), each, (node,)) for each in entries), key=lambda seen: seen.name)
    by_name: dict[str, dict[NodeId, Entry]] = defaultdict(dict)
    for node in sorted(found):
        for entry in found[node]:
            by_name[name_of(entry.path)][node] = entry
    shown = [seen for each in by_name.values() for seen in merged_name(each, name_of_node, is_replica)]
    return sorted(shown, key=lambda seen: seen.name)


def merged_name(
    entries: Mapping[NodeId, Entry],
    name_of_node: Callable[[NodeId], str],
    is_replica: Callable[[NodeId, str], bool],
) -> list[Seen]:
    """What is shown of entries that are all under one name."""
    folders = {node: entry for node, entry in entries.items() if entry.kind is Kind.FOLDER}
    files = {node: entry for node, entry in entries.items() if entry.kind is Kind.FILE}
    groups = _groups(files, is_replica)
    seen = [Seen(name_of(entry.path), entry, tuple(sorted(folders))) for entry in list(folders.values())[:1]]
    if not folders and len(groups) == 1:
        return [_shown(groups[0], "")]
    return seen + [_shown(group, MARK + name_of_node(min(group, key=name_of_node))) for group in groups]


def _shown(group: Mapping[NodeId, Entry], mark: str) -> Seen:
    """A group whose first is the newest; the rest have the same content, or will have."""
    first, *rest = group
    same = [node for node in rest if _content(group[node]) == _content(group[first])]
    return Seen(name_of(group[first].path) + mark, group[first], (first, *sorted(same)))


def _groups(files: Mapping[NodeId, Entry], is_replica: Callable[[NodeId, str], bool]) -> list[dict[NodeId, Entry]]:
    groups: dict[object, dict[NodeId, Entry]] = defaultdict(dict)
    for node in sorted(files):
        entry = files[node]
        if is_replica(node, entry.path):
            groups["replicas"][node] = entry
        else:
            groups[_content(entry) if entry.root is not None else node][node] = entry
    if "replicas" in groups:
        groups["replicas"] = _newest_first(groups["replicas"])
    return list(groups.values())


def _content(entry: Entry) -> tuple[int, bytes | None]:
    return entry.size_bytes, entry.root


def _newest_first(replicas: Mapping[NodeId, Entry]) -> dict[NodeId, Entry]:
    newest, *others = replicas
    for node in others:
        order = replicas[node].version.vector.compared(replicas[newest].version.vector)
        if order is Order.NEWER or (order is Order.CONCURRENT and _later(replicas[node], replicas[newest])):
            newest = node
    return {newest: replicas[newest], **{node: entry for node, entry in replicas.items() if node != newest}}


def _later(one: Entry, other: Entry) -> bool:
    return (one.version.timestamp, one.version.writer) > (other.version.timestamp, other.version.writer)


def lacking_roots(
    found: Mapping[NodeId, Iterable[Entry]], is_replica: Callable[[NodeId, str], bool]
) -> list[tuple[NodeId, Entry]]:
    """The files whose root digests would tell whether they are the same as others of their name and size."""
    if len(found) < 2:
        return []
    alike: dict[tuple[str, int], list[tuple[NodeId, Entry]]] = defaultdict(list)
    for node in sorted(found):
        for entry in found[node]:
            if entry.kind is Kind.FILE and not is_replica(node, entry.path):
                alike[entry.path, entry.size_bytes].append((node, entry))
    return [each for some in alike.values() if len(some) > 1 for each in some if each[1].root is None]
