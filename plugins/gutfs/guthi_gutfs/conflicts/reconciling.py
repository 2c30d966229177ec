"""Decides what a replica does with a version that another replica has: a pure rule that makes all of them the same.

Replicas are the exports with `sync` that nodes have at one path. Each tells the others of its entries, in any order, as
often as it likes, also of those that are gone. For each path the rule compares the version here (*mine*) with the one
there (*theirs*) by their vectors:

| mine is                 | what is done here                                                                    |
|-------------------------|--------------------------------------------------------------------------------------|
| unknown, older          | TAKE theirs                                                                          |
| newer                   | NOTHING; they will take mine                                                         |
| the same content        | JOIN: the version that is as new as both; nothing is moved                           |
| concurrent, one is gone | what is there stays: who has deleted did not know of it. TAKE or JOIN                |
| concurrent, theirs wins | KEEP_BOTH: mine gets the name of a copy, and stays the version that it is; take theirs |
| concurrent, mine wins   | NOTHING; who has theirs keeps both, and then has a version that is newer than mine   |

Of two files the one that was written later wins, of a file and a folder the folder; so all decide alike. Only who has
the loser makes the copy, and before it takes the winner: no content is given up by anybody who is not newer. The name
and the version of the copy follow from the loser, so copies that several replicas make are one.

A folder with something in it cannot go. Where theirs is gone, REVIVE makes mine newer again; where theirs is a file,
PUT_BESIDE does so too, and takes theirs under the name of a copy.

After Syncthing's rules (its documentation, "Understanding Synchronization"), but files that lost are never dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.vectors import Order

__all__ = ["Action", "Decision", "decide"]


class Action(Enum):
    """What a replica does."""

    NOTHING = "nothing"
    TAKE = "take"
    JOIN = "join"
    KEEP_BOTH = "keep both"
    REVIVE = "revive"
    PUT_BESIDE = "put beside"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and the version that the path has here afterwards.

    For REVIVE and PUT_BESIDE it is what the next version of the folder, made by this node, follows on.
    """

    action: Action
    version: Version


def decide(mine: Entry | None, theirs: Entry, *, has_children: bool) -> Decision:
    """What is done here. `has_children`: mine is a folder with something in it. Roots of files have to be known."""
    if mine is None:
        return Decision(Action.TAKE, theirs.version)
    order = mine.version.vector.compared(theirs.version.vector)
    if order is Order.NEWER or mine.version == theirs.version:
        return Decision(Action.NOTHING, mine.version)
    merged = mine.version.vector.merged(theirs.version.vector)
    if _content(mine) == _content(theirs):
        stamp = max(_stamp(mine), _stamp(theirs))
        joined = Version(merged, *stamp)
        return Decision(Action.NOTHING if joined == mine.version else Action.JOIN, joined)
    over = Version(merged, theirs.version.timestamp, theirs.version.writer)
    if order is Order.OLDER:
        return _taken(theirs, over, has_children)
    if theirs.is_gone:
        return Decision(Action.JOIN, Version(merged, mine.version.timestamp, mine.version.writer))
    if mine.is_gone:
        return Decision(Action.TAKE, over)
    if _rank(mine) > _rank(theirs):
        return Decision(Action.NOTHING, mine.version)
    return Decision(Action.KEEP_BOTH, over)


def _taken(theirs: Entry, version: Version, has_children: bool) -> Decision:
    if not has_children or theirs.kind is Kind.FOLDER:
        return Decision(Action.TAKE, version)
    return Decision(Action.REVIVE if theirs.is_gone else Action.PUT_BESIDE, version)


def _content(entry: Entry) -> tuple[Kind, bytes | None]:
    return entry.kind, entry.root if entry.kind is Kind.FILE else None


def _stamp(entry: Entry) -> tuple[int, str]:
    return entry.version.timestamp, entry.version.writer


def _rank(entry: Entry) -> tuple[bool, int, str, bytes]:
    return entry.kind is Kind.FOLDER, *_stamp(entry), entry.root or b""
