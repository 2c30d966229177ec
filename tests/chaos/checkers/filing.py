"""Checks files: no acknowledged write is lost, and in the end all replicas have the same tree.

A file that is made once has its content for ever. Of a file that one node alone overwrites, one write after another,
what is there at the end is the last acknowledged write, or a later one that failed and may have happened all the same.
A copy that was kept because of a conflict counts as the content's being there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.chaos.journal import Call, Entry, calls

__all__ = ["check"]

Tree = Mapping[str, bytes]


def check(entries: Sequence[Entry], trees: Mapping[str, Tree]) -> list[str]:
    """What was wrong; `trees` are the files that each node has, by path."""
    return _differences(trees) + _losses(entries, trees)


def _differences(trees: Mapping[str, Tree]) -> list[str]:
    (first, tree), *others = sorted(trees.items())
    found = []
    for name, other in others:
        paths = sorted(path for path in {*tree, *other} if tree.get(path) != other.get(path))
        if paths:
            found.append(f"{first} and {name} differ in {len(paths)} files, as in {', '.join(paths[:3])}")
    return found


def _losses(entries: Sequence[Entry], trees: Mapping[str, Tree]) -> list[str]:
    writes = defaultdict[str, list[Call]](list)
    for call in calls(entries, "gutfs"):
        if call.input[0] == "write":
            writes[call.input[1]].append(call)
    found = []
    for name, tree in sorted(trees.items()):
        contents = set(tree.values())
        for file, calls_of_file in sorted(writes.items()):
            if (line := _loss(file, calls_of_file, contents)) is not None:
                found.append(f"{name} has lost {line}")
    return found


def _loss(file: str, writes: Sequence[Call], contents: set[bytes]) -> str | None:
    acknowledged = [number for number, each in enumerate(writes) if each.is_ok]
    if not acknowledged:
        return None
    may_be = writes[acknowledged[-1] :]
    if any(each.input[2].encode() in contents for each in may_be):
        return None
    return f"the content of {file} that {writes[acknowledged[-1]].node} was told is written"
