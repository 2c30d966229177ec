"""Who is told of a change."""

from __future__ import annotations

import pytest
from tests.plugins.gutfs.entries import ALICE, BOB, CAROL, a_change, a_folder_gone

from guthi_gutfs.entries import ChangeKind
from guthi_gutfs.paths import parents_of
from guthi_gutfs.serving import promises as serving
from guthi_gutfs.serving.promises import MOST_WATCHES, Promises


def told(promises: Promises, *changes: object, sequence: int = 9) -> list[object]:
    return [notice.peer for notice in promises.changed(changes, sequence)]  # type: ignore[arg-type]


def test_a_promise_is_kept_once() -> None:
    promises = Promises(100)
    promises.promise(BOB, "/p/a", 3)
    promises.promise(CAROL, "/p/b", 3)
    (notice,) = promises.changed([a_change("/p/a")], 7)
    assert (notice.peer, notice.before, notice.after) == (BOB, 3, 7)
    assert told(promises, a_change("/p/a")) == []
    promises.promise(BOB, "/p/a", 8)
    (notice,) = promises.changed([a_change("/p/a")], 9)
    assert notice.before == 7


def test_a_listing_is_broken_by_what_is_in_it_and_by_no_other() -> None:
    promises = Promises(100)
    promises.promise(BOB, "/p", 1, is_listing=True)
    assert told(promises, a_change("/p/x/y")) == []
    assert told(promises, a_change("/p/x")) == [BOB]


def test_where_something_was_moved_from_counts_too() -> None:
    promises = Promises(100)
    promises.promise(BOB, "/p", 1, is_listing=True)
    promises.promise(CAROL, "/p/a", 1)
    assert told(promises, a_change("/q/a", ChangeKind.MOVED, "/p/a")) == [BOB, CAROL]


def test_a_folder_that_goes_breaks_what_was_promised_below_it() -> None:
    promises = Promises(100)
    promises.promise(BOB, "/p/x/y/z", 1)
    promises.promise(CAROL, "/p/xx", 1)
    assert told(promises, a_folder_gone("/p/x")) == [BOB]


def test_many_folders_that_go_at_once_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of folders is deleted: that must not take the loop for as many looks at all promises."""
    promises, looks = Promises(10_000), 0
    for number in range(200):
        promises.promise(BOB, f"/p/{number}/in/a", 1)

    def counted(path: str) -> list[str]:
        nonlocal looks
        looks += 1
        return parents_of(path)

    monkeypatch.setattr(serving, "parents_of", counted)
    gone = [a_folder_gone(f"/p/{number}{below}") for number in range(200) for below in ("/in", "")]
    (notice,) = promises.changed([*gone, a_folder_gone("/p")], 9)
    assert set(notice.changes) == {*gone, a_folder_gone("/p")}
    assert looks == 200 and len(promises) == 0


def test_watching_goes_on() -> None:
    promises = Promises(100)
    promises.watch(BOB, ["/p"], 1)
    assert told(promises, a_change("/p/x/y")) == told(promises, a_change("/p")) == [BOB]
    assert told(promises, a_change("/q")) == []
    promises.watch(BOB, [], 9)
    assert told(promises, a_change("/p/x/y")) == []


def test_beyond_the_bound_who_has_most_is_told_of_everything() -> None:
    promises = Promises(10)
    promises.promise(ALICE, "/a", 1)
    for number in range(10):
        promises.promise(BOB, f"/b/{number}", 1)
    assert len(promises) == 1
    assert told(promises, a_change("/elsewhere")) == [BOB]
    assert told(promises, a_change("/a")) == [ALICE, BOB]
    promises.watch(CAROL, [f"/{number}" for number in range(MOST_WATCHES + 1)], 1)
    assert told(promises, a_change("/elsewhere")) == [BOB, CAROL]


def test_who_is_lost_is_told_no_more() -> None:
    promises = Promises(10)
    promises.promise(BOB, "/a", 1)
    promises.watch(BOB, ["/"], 1)
    promises.lost(BOB)
    assert told(promises, a_change("/a")) == [] and len(promises) == 0 and promises.told_of(BOB) is None


def test_several_changes_are_one_notice() -> None:
    promises = Promises(10)
    promises.promise(BOB, "/p", 1, is_listing=True)
    (notice,) = promises.changed([a_change("/p/a"), a_change("/q/b"), a_change("/p/c")], 5)
    assert [change.entry.path for change in notice.changes] == ["/p/a", "/p/c"]
