"""Decides what an operation's answer may be (see `serving.operations`), and reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from guthi import MalformedMessage, NodeId
from guthi_gutfs.chunks import DIGEST_BYTES
from guthi_gutfs.entries import Entry, Written
from guthi_gutfs.paths import ROOT, is_within, parent_of
from guthi_gutfs.tree.columns import entries_from_wire

__all__ = ["READING", "Digests", "Fetched", "Listed", "result_of"]

READING = frozenset(("stat", "list", "walk", "root", "digests", "fetch", "read"))
"""The operations that change nothing."""


class Listed(NamedTuple):
    """Entries, and whether there are more than fit into one answer."""

    entries: list[Entry]
    has_more: bool


class Fetched(NamedTuple):
    """An entry, and the content of that version; None if it is no file of one chunk or less."""

    entry: Entry
    data: bytes | None


class Digests(NamedTuple):
    """Digests of chunks, and who else may have these."""

    digests: list[bytes]
    holders: list[NodeId]


def result_of(operation: Sequence[Any], wire: object) -> Any:
    """The result of an operation that was done. Raises MalformedMessage."""
    return _READERS[operation[0]](operation, wire)


def _entry(_: Sequence[Any], wire: Any) -> Entry:
    return Entry.from_wire(wire)


def _columns(wire: Any) -> Listed:
    match wire:
        case [list(columns), bool(has_more)]:
            return Listed(entries_from_wire(columns), has_more)
    raise MalformedMessage("a listing is entries, and whether there are more")


def _listed(operation: Sequence[Any], wire: Any) -> Listed:
    listed = _columns(wire)
    if any(parent_of(each.path) != operation[1] or each.path == ROOT for each in listed.entries):
        raise MalformedMessage("a listing is of what is in the folder that was asked for")
    return listed


def _walked(operation: Sequence[Any], wire: Any) -> Listed:
    """What is walked comes on: whoever goes on asking after the last comes to an end."""
    listed, (_, folder, after) = _columns(wire), operation
    paths = [after, *(each.path for each in listed.entries)]
    if any(one >= other for one, other in pairwise(paths)) or not all(is_within(each, folder) for each in paths[1:]):
        raise MalformedMessage("a walk is of what is below a folder, sorted, from a path on")
    if listed.has_more and not listed.entries:
        raise MalformedMessage("a walk that has more has something")
    return listed


def _digests(operation: Sequence[Any], wire: Any) -> Digests:
    match wire:
        case [bytes(joined), list(holders)] if len(joined) == operation[4] * DIGEST_BYTES and all(
            type(each) is bytes and len(each) == NodeId.SIZE for each in holders
        ):
            digests = [joined[at : at + DIGEST_BYTES] for at in range(0, len(joined), DIGEST_BYTES)]
            return Digests(digests, [NodeId(each) for each in holders])
    raise MalformedMessage("digests are so many as were asked for, and nodes")


def _fetched(_: Sequence[Any], wire: Any) -> Fetched:
    match wire:
        case [list(entry), None | bytes() as data]:
            fetched = Fetched(Entry.from_wire(entry), data)
            if data is None or len(data) == fetched.entry.size_bytes:
                return fetched
    raise MalformedMessage("a file is fetched as an entry and its content, or null if that is too long")


def _root(_: Sequence[Any], wire: Any) -> bytes:
    if type(wire) is not bytes or len(wire) != DIGEST_BYTES:
        raise MalformedMessage("a root digest has another length")
    return wire


def _data(operation: Sequence[Any], wire: Any) -> bytes:
    if type(wire) is not bytes or len(wire) > operation[3]:
        raise MalformedMessage("what was read is bytes, no more than were asked for")
    return wire


def _written(_: Sequence[Any], wire: Any) -> Written:
    return Written.from_wire(wire)


def _nothing(_: Sequence[Any], wire: Any) -> None:
    if wire is not None:
        raise MalformedMessage("what is done without a result is answered by null")


_READERS: Mapping[str, Callable[[Sequence[Any], Any], Any]] = MappingProxyType(
    {
        "stat": _entry,
        "list": _listed,
        "walk": _walked,
        "root": _root,
        "digests": _digests,
        "fetch": _fetched,
        "read": _data,
        "write": _written,
        "append": _written,
        "rename": _entry,
        "delete": _nothing,
        "mkdir": _entry,
    }
)
