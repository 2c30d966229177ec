"""What a node knows of the others' exports."""

from __future__ import annotations

from typing import Any

import pytest
from tests.plugins.gutfs.entries import ALICE, BOB, NODES

from guthi import MalformedMessage
from guthi_gutfs.tree.catalogue import Announcement, Catalogue, Exported, announcements_from_wire

PHOTOS = Exported("/media/photos", True, False)


def test_the_newest_announcement_of_members_counts() -> None:
    catalogue = Catalogue()
    old, new = Announcement(ALICE, 1, ()), Announcement(ALICE, 2, (PHOTOS,))
    assert catalogue.merge([new, old, Announcement(BOB, 1, ())], [ALICE]) == [ALICE]
    assert catalogue.exports(ALICE) == (PHOTOS,) and catalogue.exports(BOB) == ()
    assert catalogue.merge([old], NODES) == []


def test_whose_tree_a_path_may_be_in() -> None:
    catalogue = Catalogue()
    catalogue.merge([Announcement(ALICE, 1, (PHOTOS,)), Announcement(BOB, 1, ())], NODES)
    for path in ("/", "/media", "/media/photos", "/media/photos/a/b"):
        assert catalogue.nodes_with(path) == [ALICE]
    for path in ("/media/photosets", "/med", "/other"):
        assert catalogue.nodes_with(path) == []
    assert catalogue.covering(ALICE, "/media/photos/a") == PHOTOS and catalogue.covering(ALICE, "/media") is None


def test_those_who_know_the_same_have_one_fingerprint() -> None:
    one, other = Catalogue(), Catalogue()
    announcements = [Announcement(node, 3, (PHOTOS,)) for node in NODES]
    one.merge(announcements, NODES)
    other.merge(announcements_from_wire([each.to_wire() for each in reversed(announcements)]), NODES)
    assert one.fingerprint == other.fingerprint
    other.lost(BOB)
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [None],
        [[ALICE, 1]],
        [[b"short", 1, []]],
        [[ALICE, -1, []]],
        [[ALICE, 1, [["/../x", True, True]]]],
        [[ALICE, 1, [["/x", 1, True]]]],
        [[ALICE, 1, [["/x", True, True]] * 1025]],
    ],
)
def test_what_is_no_announcement_is_refused(odd: Any) -> None:
    with pytest.raises(MalformedMessage):
        announcements_from_wire(odd)
