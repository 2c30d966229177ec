"""The newest checkpoint of a call is kept, in whatever order they come, and the room for all is bounded."""

from __future__ import annotations

import itertools

import pytest

from guthi.api import NodeId
from guthi_rpc import kept as kept_module
from guthi_rpc.kept import Checkpoint, Kept

CALLER = NodeId(bytes(16))


def test_of_several_the_newest_is_kept_in_whatever_order_they_come() -> None:
    stated = [Checkpoint(0, 1, b"a"), Checkpoint(0, 2, b"b"), Checkpoint(1, 1, b"c")]
    for order in itertools.permutations(stated):
        kept = Kept()
        for each in order:
            kept.offer((CALLER, 1), each)
        assert kept.get((CALLER, 1)) == stated[-1]


def test_one_that_comes_twice_changes_nothing() -> None:
    kept = Kept()
    kept.offer((CALLER, 1), Checkpoint(0, 1, b"first"))
    kept.offer((CALLER, 1), Checkpoint(0, 1, b"again"))
    assert kept.get((CALLER, 1)) == Checkpoint(0, 1, b"first")


def test_the_room_is_bounded_and_the_oldest_calls_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "MAX_KEPT", 3)
    monkeypatch.setattr(kept_module, "MAX_KEPT_BYTES", 100)
    kept = Kept()
    for number in range(5):
        kept.offer((CALLER, number), Checkpoint(0, 1, bytes(10)))
    assert [number for number in range(5) if kept.get((CALLER, number))] == [2, 3, 4]
    kept.offer((CALLER, 5), Checkpoint(0, 1, bytes(85)))
    assert [number for number in range(6) if kept.get((CALLER, number))] == [4, 5]
    kept.offer((CALLER, 6), Checkpoint(0, 1, bytes(101)))
    assert not kept
    assert kept._bytes == 0


def test_what_comes_after_the_end_of_its_attempt_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "MAX_ENDED", 3)
    kept = Kept()
    kept.forget((CALLER, 1), 1)
    kept.forget((CALLER, 1), 0)  # overtaken
    for attempt in (0, 1):
        kept.offer((CALLER, 1), Checkpoint(attempt, 9, b"late"))
    assert not kept
    kept.offer((CALLER, 1), Checkpoint(2, 1, b"tried again"))
    assert kept.get((CALLER, 1)) == Checkpoint(2, 1, b"tried again")
    for number in range(2, 9):
        kept.forget((CALLER, number), 0)
    assert len(kept._ended) == 3
