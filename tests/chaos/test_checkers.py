"""Every checker finds nothing in a good history, and what is wrong with a bad one, which was planted for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chaos.checkers import broadcasting, calling, deadlines, eventual, filing, locking, progress, variables
from tests.chaos.planting import Planted


@pytest.fixture
def planted() -> Planted:
    return Planted()


# ---- work


def test_work_that_gets_on(planted: Planted) -> None:
    for work in progress.WORKS:
        planted.call("alice", work, 1, 0.0, 1.0, 1)
        planted.call("alice", work, 2, 0.0, 1.0, error="PeerLost")
    assert progress.check(planted.entries) == []


def test_work_that_does_not(planted: Planted) -> None:
    for work in progress.WORKS[1:]:
        planted.call("alice", work, 1, 0.0, 1.0, 1)
    for number in range(10):
        planted.call("alice", "dvar", number, 1.0, 2.0, error="Unavailable")
        planted.call("alice", "mutex", number, 1.0, None)
    assert progress.check(planted.entries) == [
        "0 of 0 calls of rpc had a result",
        "1 of 11 calls of dvar had a result",
        "1 of 11 calls of mutex had a result",
    ]


# ---- calls with a key


def test_one_effect_and_one_result_for_all_who_call(planted: Planted) -> None:
    planted.write(1.0, "bob", "effect", "rpc", key="pay")
    planted.call("alice", "rpc", "pay", 0.5, 1.5, ["bob", 1])
    planted.call("carol", "rpc", "pay", 0.6, 3.5, ["bob", 1])
    planted.write(1.0, "bob", "effect", "rpc", key="nobody was told")
    planted.call("alice", "rpc", "never ran", 2.0, 3.0, error="Undecided")
    assert calling.check(planted.entries) == []


def test_an_effect_that_is_there_twice(planted: Planted) -> None:
    for at, node in ((1.0, "bob"), (9.0, "carol")):
        planted.write(at, node, "effect", "rpc", key="pay")
    planted.call("alice", "rpc", "pay", 0.5, 9.5, ["carol", 1])
    assert calling.check(planted.entries) == ["the call 'pay' had its effect 2 times"]


def test_a_result_of_what_never_ran(planted: Planted) -> None:
    planted.call("alice", "rpc", "pay", 0.5, 1.5, ["bob", 1])
    assert calling.check(planted.entries) == ["the call 'pay' has a result, and never ran"]


def test_two_results_of_one_call(planted: Planted) -> None:
    planted.write(1.0, "bob", "effect", "rpc", key="pay")
    planted.call("alice", "rpc", "pay", 0.5, 1.5, 1)
    planted.call("carol", "rpc", "pay", 0.5, 1.5, 2)
    assert calling.check(planted.entries) == ["the call 'pay' gave ['1', '2']"]


# ---- variables


def test_a_history_that_is_linearizable(planted: Planted) -> None:
    planted.call("alice", "dvar", ["write", "x", "a"], 1.0, 2.0)
    planted.call("bob", "dvar", ["read", "x"], 1.5, 1.6, "a")
    planted.call("bob", "dvar", ["compare", "x", "a", "b"], 3.0, 4.0, True)
    planted.call("carol", "dvar", ["write", "x", "c"], 4.5, 5.0, error="Unavailable")
    planted.call("bob", "dvar", ["read", "x"], 6.0, 7.0, "c")  # what failed may have happened
    planted.call("bob", "dvar", ["read", "x"], 7.0, 8.0, error="Unavailable")
    assert variables.check(planted.entries) == ([], [])


@pytest.mark.parametrize(
    "last",
    [
        pytest.param((["read", "x"], ""), id="an-old-value"),
        pytest.param((["compare", "x", "", "b"], True), id="a-lost-update"),
        pytest.param((["read", "x"], "never written"), id="out-of-nowhere"),
    ],
)
def test_a_history_that_is_not(planted: Planted, last: tuple[list[str], Any]) -> None:
    planted.call("alice", "dvar", ["write", "x", "a"], 1.0, 2.0)
    planted.call("bob", "dvar", ["read", "y"], 2.1, 2.2, "")
    planted.call("bob", "dvar", last[0], 2.5, 3.0, last[1])
    wrong, untold = variables.check(planted.entries)
    assert len(wrong) == 1 and "variable 'x' is not linearizable" in wrong[0] and untold == []


def test_what_nobody_can_tell_is_said(planted: Planted) -> None:
    for number in range(9):
        planted.call("alice", "dvar", ["write", "x", str(number)], 1.0, None)
    planted.call("carol", "dvar", ["read", "x"], 9.0, 9.5, "nowhere")
    assert variables.check(planted.entries, most_steps=100) == ([], ["x"])
    assert len(variables.check(planted.entries)[0]) == 1


# ---- eventual variables


def settled(planted: Planted, node: str, at: float, number: int, value: str) -> None:
    planted.write(at, node, eventual.SETTLED, "eventual", seen={"x": [number, "a1", value]})


def with_a_write(planted: Planted) -> None:
    planted.call("alice", "eventual", ["write", "x", "new"], 1.0, 1.5, [5, "a1", "new"])
    planted.call("bob", "eventual", ["read", "x"], 2.0, 2.1, [4, "b2", ""])  # it has not heard of it yet
    planted.call("bob", "eventual", ["read", "x"], 3.0, 3.1, [5, "a1", "new"])
    planted.write(60.0, "alice", "idle")


def test_variables_that_converge(planted: Planted) -> None:
    with_a_write(planted)
    for node in ("alice", "bob"):
        settled(planted, node, 61.0, 5, "new")
    assert eventual.check(planted.entries) == [] and eventual.are_settled(planted.entries, ["alice", "bob"])
    assert not eventual.are_settled(planted.entries, ["alice", "bob", "carol"])


def test_variables_that_differ_in_the_end(planted: Planted) -> None:
    with_a_write(planted)
    settled(planted, "alice", 61.0, 5, "new")
    settled(planted, "bob", 61.0, 6, "new")
    assert eventual.check(planted.entries) == ["alice and bob differ in x"]
    assert not eventual.are_settled(planted.entries, ["alice", "bob"])


def test_a_version_that_is_lost(planted: Planted) -> None:
    with_a_write(planted)
    for node in ("alice", "bob"):
        settled(planted, node, 61.0, 4, "")
    assert eventual.check(planted.entries) == [f"{node} has lost version 5 of 'x'" for node in ("alice", "bob")]


def test_a_version_whose_writer_died_at_once_may_be_lost(planted: Planted) -> None:
    planted.call("alice", "eventual", ["write", "x", "new"], 1.0, 1.5, [5, "a1", "new"])
    planted.write(2.0, "alice", "idle")
    settled(planted, "bob", 61.0, 4, "")
    assert eventual.check(planted.entries) == []


def test_a_reader_that_goes_back_and_a_value_out_of_nowhere(planted: Planted) -> None:
    with_a_write(planted)
    planted.call("bob", "eventual", ["read", "x"], 4.0, 4.1, [4, "b2", "other"])
    assert eventual.check(planted.entries) == [
        "bob had 'x' of version 5, and later of version 4",
        "bob had 'other' in 'x', which nobody has written",
    ]


# ---- locks


def hold(planted: Planted, node: str, fence: int, asked: float, granted: float, until: float) -> None:
    planted.call(node, "mutex", "red", asked, granted, fence)
    for at in (granted, until):
        planted.write(at, node, "valid", "mutex", lock="red", fence=fence)


def test_holders_one_after_the_other(planted: Planted) -> None:
    hold(planted, "alice", 5, 0.0, 1.0, 2.0)
    hold(planted, "bob", 9, 0.5, 2.1, 3.0)
    planted.call("carol", "mutex", "red", 0.2, 3.0, error="DeadlineExceeded")
    planted.call("carol", "mutex", "green", 0.2, 3.0, 1)
    assert locking.check(planted.entries) == []


def test_two_holders_at_once(planted: Planted) -> None:
    hold(planted, "alice", 5, 0.0, 1.0, 2.5)
    hold(planted, "bob", 9, 0.5, 2.0, 3.0)
    assert locking.check(planted.entries) == ["'red' was held with the fences 5 and 9 for 0.500000 s"]


def test_a_fence_that_goes_back(planted: Planted) -> None:
    hold(planted, "alice", 9, 0.0, 1.0, 1.5)
    hold(planted, "bob", 5, 2.0, 3.0, 4.0)
    assert locking.check(planted.entries) == ["bob got 'red' with fence 5 after one with 9"]


def test_a_fence_that_two_have(planted: Planted) -> None:
    hold(planted, "alice", 9, 0.0, 1.0, 1.5)
    hold(planted, "bob", 9, 0.5, 3.0, 4.0)
    assert locking.check(planted.entries) == ["two grants of 'red' have the fence 9"]


# ---- files


def two_writes(planted: Planted) -> None:
    planted.call("alice", "gutfs", ["write", "own-alice", "one"], 1.0, 2.0)
    planted.call("alice", "gutfs", ["write", "own-alice", "two"], 3.0, 4.0)
    planted.call("alice", "gutfs", ["write", "own-alice", "three"], 5.0, 6.0, error="StorageFailed")
    planted.call("bob", "gutfs", ["read", "own-alice"], 5.0, 6.0, 3)


@pytest.mark.parametrize(
    "tree",
    [
        {"own-alice": b"two"},
        {"own-alice": b"three"},  # it failed, and may have happened
        {"own-alice": b"one", "own-alice.conflict-bob": b"two"},
    ],
)
def test_what_was_acknowledged_is_there(planted: Planted, tree: dict[str, bytes]) -> None:
    two_writes(planted)
    assert filing.check(planted.entries, {"alice": tree, "bob": tree}) == []


def test_what_was_acknowledged_is_lost(planted: Planted) -> None:
    two_writes(planted)
    found = filing.check(planted.entries, {"alice": {"own-alice": b"two"}, "bob": {"own-alice": b"one"}})
    assert found == [
        "alice and bob differ in 1 files, as in own-alice",
        "bob has lost the content of own-alice that alice was told is written",
    ]


# ---- broadcasts


def test_everybody_is_told_once(planted: Planted) -> None:
    for node in ("alice", "bob", "carol"):
        planted.lives(node, 0.0, 100.0)
    planted.call("alice", "broadcast", 1, 20.0, 20.1)
    planted.write(20.2, "bob", "told", "broadcast", life="alice", number=1)
    planted.write(45.0, "carol", "told", "broadcast", life="alice", number=1)
    assert broadcasting.check(planted.entries) == []
    planted.write(46.0, "carol", "told", "broadcast", life="alice", number=1)
    assert broadcasting.check(planted.entries) == ["carol was told message 1 of alice 2 times"]


def test_somebody_is_not_told(planted: Planted) -> None:
    planted.lives("alice", 0.0, 100.0)
    planted.lives("bob", 0.0, 100.0)
    planted.lives("carol", 15.0, 100.0)  # new
    planted.lives("dave", 0.0, 40.0)  # and soon gone
    planted.call("alice", "broadcast", 1, 20.0, 20.1)
    assert broadcasting.check(planted.entries) == ["bob was never told message 1 of alice"]


def test_a_broadcaster_that_died_owes_nothing(planted: Planted) -> None:
    planted.lives("alice", 0.0, 21.0)
    planted.lives("bob", 0.0, 100.0)
    planted.call("alice", "broadcast", 1, 20.0, 20.1)
    assert broadcasting.check(planted.entries) == []


# ---- deadlines


def test_a_failure_in_time(planted: Planted) -> None:
    planted.lives("alice", 0.0, 60.0)
    planted.call("alice", "rpc", "x", 10.0, 15.5, error="DeadlineExceeded")
    planted.call("alice", "rpc", "x", 58.0, None)  # it is not due when the node ends
    assert deadlines.check(planted.entries) == []


@pytest.mark.parametrize(
    ("returned_at", "error", "complaint"),
    [
        (21.0, "DeadlineExceeded", "failed with DeadlineExceeded 6.0 s after its deadline"),
        (21.0, "", "ended 6.0 s after its deadline"),
        (25.0, "Hung", "failed with Hung 10.0 s after its deadline"),
        (None, "", "had not ended 45.0 s after its deadline"),
    ],
)
def test_a_call_that_is_late(planted: Planted, returned_at: float | None, error: str, complaint: str) -> None:
    planted.lives("alice", 0.0, 60.0)
    planted.call("alice", "rpc", "x", 10.0, returned_at, error=error)
    assert deadlines.check(planted.entries) == [f"alice: rpc 'x' {complaint}"]


def test_who_was_stopped_may_be_late(planted: Planted) -> None:
    planted.lives("alice", 0.0, 60.0, without=(11.0, 21.0))
    planted.call("alice", "rpc", "x", 10.0, 21.5, error="DeadlineExceeded")
    assert deadlines.check(planted.entries) == []


def test_an_error_that_is_not_of_guthi(planted: Planted) -> None:
    planted.call("alice", "rpc", "x", 10.0, 11.0, error="KeyError", typed=False)
    (complaint,) = deadlines.check(planted.entries)
    assert "failed with KeyError, which is no error of Guthi's" in complaint
