"""What is kept of another's tree, and how long it is served."""

from __future__ import annotations

import pytest
from tests.plugins.gutfs.entries import a_file, a_folder

from guthi_gutfs.tree import kept
from guthi_gutfs.tree.kept import Absent, KeptTree


def a_tree() -> KeptTree:
    tree = KeptTree(10.0)
    tree.confirmed(0.0)
    return tree


def test_attributes_are_served_until_a_change_or_until_they_are_not_confirmed() -> None:
    tree = a_tree()
    tree.keep_entry(a_file("/p/a"))
    assert tree.entry("/p/a", 10.0) == a_file("/p/a")
    assert tree.entry("/p/a", 10.1) is None
    tree.confirmed(20.0)
    tree.changed("/p/a", has_children=False)
    assert tree.entry("/p/a", 20.0) is None


def test_a_listing_tells_what_is_there_and_what_is_not_and_goes_as_a_whole() -> None:
    tree = a_tree()
    tree.keep_listing("/p", [a_file("/p/a"), a_file("/p/b")])
    assert tree.entry("/p/b", 1.0) == a_file("/p/b") and tree.entry("/p/c", 1.0) is Absent.ABSENT
    assert tree.entry("/q/c", 1.0) is None
    tree.changed("/p/a", has_children=False)
    assert tree.listing("/p", 1.0) is None and tree.entry("/p/b", 1.0) is None


def test_with_a_folder_goes_all_below_it() -> None:
    tree = a_tree()
    tree.keep_entry(a_file("/p/x/y/a"))
    tree.keep_entry(a_file("/p/xx"))
    tree.keep_listing("/p/x/y", [a_folder("/p/x/y/z")])
    tree.changed("/p/x", has_children=True)
    assert tree.entry("/p/x/y/a", 1.0) is None and tree.listing("/p/x/y", 1.0) is None
    assert tree.entry("/p/xx", 1.0) is not None


def test_digests_are_of_one_version() -> None:
    tree = a_tree()
    tree.keep_digests("/p/a", 5, 2, [b"c", b"d"])
    assert tree.digests("/p/a", 5, 2, 2) == [b"c", b"d"]
    assert tree.digests("/p/a", 5, 1, 2) is None and tree.digests("/p/a", 6, 2, 2) is None
    tree.forget()
    assert tree.digests("/p/a", 5, 3, 1) == [b"d"]


def test_digests_of_versions_that_nobody_reads_any_more_go() -> None:
    """Found by `make soak` (docs/bugs-found.md): of a file that is written again and again all versions had theirs."""
    tree = KeptTree(60.0)
    for version in range(1000):
        tree.keep_digests("/p/a", version, 0, [b"0", b"1"])
        tree.keep_digests("/p/a", version, 2, [b"2"])
    assert tree.digests("/p/a", 999, 0, 3) == [b"0", b"1", b"2"]
    assert tree.digests("/p/a", 998, 0, 3) is None
    assert (len(tree._digests), tree._digest_count) == (1, 3)


def test_there_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("MOST_ENTRIES", "MOST_LISTED", "MOST_DIGESTS"):
        monkeypatch.setattr(kept, bound, 3)
    tree = a_tree()
    for name in "abcd":
        tree.keep_entry(a_file(f"/p/{name}"))
        tree.keep_listing(f"/{name}", [a_file(f"/{name}/1"), a_file(f"/{name}/2")])
        tree.keep_digests(f"/p/{name}", 1, 0, [b"1", b"2"])
    assert tree.entry("/p/a", 1.0) is None and tree.entry("/p/d", 1.0) is not None
    assert tree.listing("/c", 1.0) is None and tree.listing("/d", 1.0) is not None
    assert tree.digests("/p/c", 1, 0, 2) is None and tree.digests("/p/d", 1, 0, 2) is not None
