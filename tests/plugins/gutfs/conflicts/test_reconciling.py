"""Replicas in a model: whatever they write, and however they hear of it, they become the same, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi import NodeId
from guthi_gutfs.conflicts.naming import conflict_path
from guthi_gutfs.conflicts.reconciling import Action, decide
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.paths import is_within, parent_of
from guthi_gutfs.vectors import VersionVector

NAMES = ["alice", "bob", "carol"]
PATHS = ["/a", "/b", "/b/x", "/b/y", "/b/x/z"]


class Replica:
    """What a node has at each path; contents are texts, in place of roots."""

    def __init__(self, name: str) -> None:
        self.name, self.node = name, NodeId(name.encode().ljust(16))
        self.entries: dict[str, Entry] = {"/": entry("/", Kind.FOLDER, VersionVector(), 0, "")}
        self.given_up: set[bytes] = set()

    def live(self, path: str) -> Entry | None:
        found = self.entries.get(path)
        return found if found is not None and not found.is_gone else None

    def children(self, path: str) -> list[str]:
        return [each for each in self.entries if each != path and is_within(each, path) and self.live(each)]

    def put(self, path: str, kind: Kind, version: Version, root: bytes | None = None) -> None:
        if kind is not Kind.GONE:
            assert self.live(parent_of(path)) is not None, f"{path} has no folder"
        self.entries[path] = Entry(path, kind, 0, 0.0, version, 0, root)

    def next_version(self, path: str, at: int, base: VersionVector | None = None) -> Version:
        known = self.entries.get(path)
        vector = base or VersionVector()
        if known is not None:
            vector = vector.merged(known.version.vector)
        return Version(vector.bumped(self.node, at), at, self.name)

    # ---- what users do

    def write(self, path: str, at: int) -> bytes | None:
        parent, there = self.live(parent_of(path)), self.live(path)
        if parent is None or parent.kind is not Kind.FOLDER or (there is not None and there.kind is Kind.FOLDER):
            return None
        root = sha256(f"{self.name} {path} {at}".encode()).digest()
        if there is not None and there.root is not None:
            self.given_up.add(there.root)
        self.put(path, Kind.FILE, self.next_version(path, at), root)
        return root

    def make_folder(self, path: str, at: int) -> None:
        parent = self.live(parent_of(path))
        if self.live(path) is None and parent is not None and parent.kind is Kind.FOLDER:
            self.put(path, Kind.FOLDER, self.next_version(path, at))

    def delete(self, path: str, at: int) -> None:
        for each in sorted([path, *self.children(path)], reverse=True):
            there = self.live(each)
            if there is not None and each != "/":
                if there.root is not None:
                    self.given_up.add(there.root)
                self.put(each, Kind.GONE, self.next_version(each, at))

    # ---- what `syncing` does

    def hear(self, theirs: Entry, at: int) -> bool:
        """One entry of another replica; whether it changed anything."""
        path, mine = theirs.path, self.entries.get(theirs.path)
        decision = decide(mine, theirs, has_children=bool(self.children(path)))
        if decision.action is Action.NOTHING:
            return False
        if not theirs.is_gone and decision.action is not Action.JOIN:
            self._make_parents(path, at)
        if decision.action in (Action.REVIVE, Action.PUT_BESIDE):
            if decision.action is Action.PUT_BESIDE:
                self.hear(replace(theirs, path=conflict_path(path, theirs.version)), at)
            self.put(path, Kind.FOLDER, self.next_version(path, at, decision.version.vector))
        elif decision.action is Action.JOIN:
            assert mine is not None
            self.put(path, mine.kind, decision.version, mine.root)
        else:
            if decision.action is Action.KEEP_BOTH:
                assert mine is not None and mine.kind is Kind.FILE
                self.hear(replace(mine, path=conflict_path(path, mine.version)), at)
            self.put(path, theirs.kind, decision.version, theirs.root)
        return True

    def _make_parents(self, path: str, at: int) -> None:
        parent = parent_of(path)
        there = self.live(parent)
        if there is not None and there.kind is Kind.FOLDER:
            return
        self._make_parents(parent, at)
        if there is not None:  # a file: what is below it shows that it is a folder elsewhere
            self.hear(replace(there, path=conflict_path(parent, there.version)), at)
        self.put(parent, Kind.FOLDER, self.next_version(parent, at))


def entry(path: str, kind: Kind, vector: VersionVector, at: int, root: str) -> Entry:
    return Entry(path, kind, 0, 0.0, Version(vector, at, "x"), 0, sha256(root.encode()).digest() if root else None)


def exchange(source: Replica, target: Replica, order: list[int], at: int) -> bool:
    entries = sorted(source.entries.values(), key=lambda each: each.path)
    shuffled = [entries[number % len(entries)] for number in order] + entries
    return sum(target.hear(each, at) for each in shuffled) > 0


def all_the_same(replicas: list[Replica], at: int) -> None:
    """Exchange until nothing changes any more; soon."""
    for _ in range(12):
        at += 1
        changed = [exchange(one, other, [], at) for one in replicas for other in replicas if one is not other]
        if not any(changed):
            return
    raise AssertionError("they change for ever")


ACTS = st.tuples(
    st.integers(0, 2), st.sampled_from(["write", "write", "folder", "delete", "tell"]), st.sampled_from(PATHS)
)
HEARD = st.tuples(st.integers(0, 2), st.lists(st.integers(0, 100), max_size=6))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(ACTS, HEARD), max_size=25))
def test_all_become_the_same_and_nothing_is_lost(
    acts: list[tuple[tuple[int, str, str], tuple[int, list[int]]]],
) -> None:
    replicas = [Replica(name) for name in NAMES]
    written: set[bytes] = set()
    for at, ((number, act, path), (other, order)) in enumerate(acts, start=1):
        replica = replicas[number]
        if act == "write":
            written |= {root for root in [replica.write(path, at)] if root is not None}
        elif act == "folder":
            replica.make_folder(path, at)
        elif act == "delete":
            replica.delete(path, at)
        elif other != number:
            exchange(replica, replicas[other], order, at)
    all_the_same(replicas, len(acts) + 1)
    assert replicas[0].entries == replicas[1].entries == replicas[2].entries
    kept = {each.root for each in replicas[0].entries.values() if not each.is_gone}
    given_up = set().union(*(each.given_up for each in replicas))
    assert written - given_up <= kept
    for each in replicas[0].entries.values():
        parent = replicas[0].live(parent_of(each.path))
        assert each.is_gone or (parent is not None and parent.kind is Kind.FOLDER)


def at(count: int, node: str = "alice") -> VersionVector:
    return VersionVector(((NodeId(node.encode().ljust(16)), count),))


OLD = entry("/a", Kind.FILE, at(1), 1, "old")
NEW = entry("/a", Kind.FILE, at(2), 2, "new")
OTHER = entry("/a", Kind.FILE, at(1, "bob"), 3, "other")
SAME = replace(OTHER, root=OLD.root)
GONE = entry("/a", Kind.GONE, at(2, "carol"), 9, "")
FOLDER = entry("/a", Kind.FOLDER, at(1, "carol"), 0, "")


@pytest.mark.parametrize(
    ("mine", "theirs", "action"),
    [
        (None, OLD, Action.TAKE),
        (OLD, NEW, Action.TAKE),
        (NEW, OLD, Action.NOTHING),
        (NEW, NEW, Action.NOTHING),
        (OLD, SAME, Action.JOIN),
        (OLD, OTHER, Action.KEEP_BOTH),
        (OTHER, OLD, Action.NOTHING),
        (GONE, OLD, Action.TAKE),
        (OLD, GONE, Action.JOIN),
        (OTHER, FOLDER, Action.KEEP_BOTH),
        (FOLDER, OTHER, Action.NOTHING),
    ],
)
def test_the_rule(mine: Entry | None, theirs: Entry, action: Action) -> None:
    assert decide(mine, theirs, has_children=False).action is action


def test_a_folder_with_something_in_it_stays() -> None:
    newer = VersionVector(tuple(sorted((*FOLDER.version.vector.counts, *at(7, "dave").counts))))
    gone = replace(GONE, version=replace(GONE.version, vector=newer))
    file = replace(OTHER, version=replace(OTHER.version, vector=newer))
    assert decide(FOLDER, gone, has_children=True).action is Action.REVIVE
    assert decide(FOLDER, gone, has_children=False).action is Action.TAKE
    assert decide(FOLDER, file, has_children=True).action is Action.PUT_BESIDE
