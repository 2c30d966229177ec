"""The store converges whatever the order of announcements, forgets who is gone, and takes no nonsense."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import NodeId
from guthi.errors import MalformedMessage
from guthi_rpc import Run
from guthi_rpc.directory import Announcement, Directory
from guthi_rpc.functions import Description

A, B = NodeId(b"a" * 16), NodeId(b"b" * 16)
LIFE = b"life 001"


def announcement(revision: int, *names: str, workers: int = 2, life: bytes = LIFE) -> Announcement:
    return Announcement(life, revision, workers, tuple(Description(name, "()", "", Run.THREAD) for name in names))


class Changes:
    count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def directory(changes: Changes) -> Directory:
    return Directory(changes)


def test_what_is_announced_is_known(directory: Directory, changes: Changes) -> None:
    directory.announced(B, announcement(1, "f", "g", workers=8))
    directory.announced(A, announcement(1, "f"))
    assert directory.names() == ["f", "g"]
    assert directory.providers("f") == [A, B]
    assert directory.has(B, "g") and not directory.has(A, "g")
    assert [node for node, _ in directory.descriptions("f")] == [A, B]
    assert directory.workers(B) == 8
    assert changes.count == 2


def test_nothing_is_known_of_others(directory: Directory) -> None:
    assert directory.providers("f") == []
    assert directory.descriptions("f") == []
    assert directory.workers(A) == 1
    assert not directory.knows(A)
    directory.announced(A, announcement(1))
    assert directory.knows(A)
    assert directory.missing([A, B]) == [B]


def test_a_new_announcement_replaces_the_old_one(directory: Directory) -> None:
    directory.announced(A, announcement(1, "f", "g"))
    directory.announced(A, announcement(2, "g", "h"))
    assert directory.names() == ["g", "h"]


def test_a_node_gains_and_loses_functions_between_its_announcements(directory: Directory, changes: Changes) -> None:
    directory.announced(A, announcement(1, "f"))
    gained, lost = announcement(1, "g", "f").functions
    directory.gained(A, gained)
    directory.lost(A, lost.name)
    assert directory.names() == ["g"]
    assert directory.functions(A) == (gained,)
    assert changes.count == 3
    directory.announced(A, announcement(2, "h"))
    assert directory.names() == ["h"]
    directory.forget(A)
    assert directory.functions(A) == ()


def test_an_old_or_repeated_announcement_changes_nothing(directory: Directory, changes: Changes) -> None:
    directory.announced(A, announcement(2, "f"))
    directory.announced(A, announcement(1, "g"))
    directory.announced(A, announcement(2, "h"))
    assert directory.names() == ["f"]
    assert changes.count == 1


def test_a_restarted_node_begins_anew(directory: Directory) -> None:
    directory.announced(A, announcement(7, "f"))
    directory.announced(A, announcement(1, "g", life=b"life 002"))
    assert directory.names() == ["g"]


def test_who_is_forgotten_has_nothing(directory: Directory, changes: Changes) -> None:
    directory.announced(A, announcement(5, "f"))
    directory.announced(B, announcement(1, "f"))
    directory.forget(A)
    directory.forget(A)
    assert directory.providers("f") == [B]
    assert changes.count == 3
    directory.announced(A, announcement(5, "f"))
    assert directory.providers("f") == [A, B]


@given(st.lists(st.lists(st.sampled_from("fgh"), unique=True), min_size=1, max_size=6), st.randoms())
def test_any_order_gives_the_last_picture(parts: list[list[str]], rng: random.Random) -> None:
    directory = Directory(lambda: None)
    said = [announcement(revision, *names) for revision, names in enumerate(parts)]
    rng.shuffle(said)
    for each in said:
        directory.announced(A, each)
    assert directory.names() == sorted(parts[-1])


def test_an_announcement_survives_the_wire() -> None:
    said = announcement(3, "f", "g")
    assert Announcement.from_wire(said.to_wire()) == said


GOOD = announcement(1, "f").to_wire()


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        {},
        GOOD[:3],
        [b"short", *GOOD[1:]],
        ["textlife", *GOOD[1:]],
        [LIFE, "1", *GOOD[2:]],
        [LIFE, 1, 0, []],
        [LIFE, 1, 2**40, []],
        [LIFE, 1, 1, [None]],
        [LIFE, 1, 1, [["f", "()", "", "thread"], ["f", "()", "", "inline"]]],
        [LIFE, 1, 1, [["f", "()", "", "thread"]] * 70_000],
    ],
)
def test_a_bad_announcement_is_a_breach(wire: Any) -> None:
    with pytest.raises(MalformedMessage):
        Announcement.from_wire(wire)
