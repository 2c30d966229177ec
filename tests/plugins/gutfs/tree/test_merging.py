"""What one folder of the merged tree shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.plugins.gutfs.entries import ALICE, BOB, CAROL, NAMES, a_file, a_folder

from guthi import NodeId
from guthi_gutfs.entries import Entry
from guthi_gutfs.tree.merging import lacking_roots, merged
from guthi_gutfs.vectors import VersionVector


def shown(found: Mapping[NodeId, Iterable[Entry]], replicas: bool = False) -> dict[str, list[str]]:
    seen = merged(found, NAMES.__getitem__, lambda node, path: replicas)
    return {each.name: [NAMES[node] for node in each.nodes] for each in seen}


def test_folders_of_one_name_are_one() -> None:
    assert shown({ALICE: [a_folder("/p/x")], BOB: [a_folder("/p/x"), a_folder("/p/y")]}) == {
        "x": ["alice", "bob"],
        "y": ["bob"],
    }


def test_the_same_content_is_one_file_that_several_have() -> None:
    assert shown({BOB: [a_file("/p/a", "cat")], ALICE: [a_file("/p/a", "cat")]}) == {"a": ["alice", "bob"]}


def test_different_content_is_told_apart_by_node() -> None:
    found = {ALICE: [a_file("/p/a", "cat")], BOB: [a_file("/p/a", "dog")], CAROL: [a_file("/p/a", "cat")]}
    assert shown(found) == {"a@alice": ["alice", "carol"], "a@bob": ["bob"]}


def test_a_folder_keeps_its_name_beside_files() -> None:
    assert shown({ALICE: [a_file("/p/a")], BOB: [a_folder("/p/a")]}) == {"a": ["bob"], "a@alice": ["alice"]}


def test_of_replicas_the_newest_is_shown() -> None:
    old = VersionVector(((ALICE, 1),))
    found = {
        ALICE: [a_file("/p/a", "old", vector=old)],
        BOB: [a_file("/p/a", "new", vector=old.bumped(BOB, 5))],
        CAROL: [a_file("/p/a", "new", vector=old.bumped(BOB, 5))],
    }
    assert shown(found, replicas=True) == {"a": ["bob", "carol"]}


def test_of_replicas_written_at_once_all_nodes_show_the_same() -> None:
    one = a_file("/p/a", "one", writer=ALICE, sequence=1)
    two = a_file("/p/a", "two", writer=BOB, sequence=2)
    assert shown({ALICE: [one], BOB: [two]}, replicas=True) == {"a": ["bob"]}


def test_unknown_content_is_not_taken_for_the_same_and_is_asked_for() -> None:
    found = {ALICE: [a_file("/p/a", None)], BOB: [a_file("/p/a", None)], CAROL: [a_file("/p/a", "longer")]}
    assert sorted(shown(found)) == ["a@alice", "a@bob", "a@carol"]
    assert [node for node, _ in lacking_roots(found, lambda node, path: False)] == [ALICE, BOB]
    assert lacking_roots(found, lambda node, path: True) == []
