"""What a node's logs need not keep; and that all logs, each compacted, in any order, still are the same board."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.apps.whiteboard.drawing import ANNE, BEN, CLEO, Pen
from tests.apps.whiteboard.test_board import board_of, operations

from guthi_whiteboard import Board, Operation
from guthi_whiteboard.compaction import CLEARED_S, SEGMENT_BYTES, is_due, is_worth, kept, left_bytes

LOGS = st.lists(st.lists(operations, max_size=8), min_size=3, max_size=3)


def compacted(logs: list[list[Operation]], mine: int, now_s: float) -> list[Operation]:
    """The log of one of three nodes, which are in order, after all have met."""
    board = board_of([each for log in logs for each in log])
    in_files = {each.key for log in logs for each in log}
    before_us = {each.key for log in logs[:mine] for each in log}
    return kept(logs[mine], board, in_files, before_us, now_s)


@given(LOGS, st.permutations([0, 1, 2, 0, 1, 2]), st.sampled_from([0.0, CLEARED_S + 1]))
@settings(max_examples=100)
def test_compacting_changes_no_board(logs: list[list[Operation]], order: list[int], now_s: float) -> None:
    """Also one after the other, each looking at what the one before has left."""
    before = board_of([each for log in logs for each in log])
    for mine in order:
        logs[mine] = compacted(logs, mine, now_s)
        after = board_of([each for log in logs for each in log])
        assert after.visible() == before.visible()


@given(LOGS)
def test_what_may_still_be_undone_is_kept(logs: list[list[Operation]]) -> None:
    before = board_of([each for log in logs for each in log])
    for mine in (0, 1, 2):
        logs[mine] = compacted(logs, mine, 0.0)
    after = board_of([each for log in logs for each in log])
    assert after.winners() == before.winners()


@given(LOGS, st.sampled_from([0.0, CLEARED_S + 1]))
@settings(max_examples=50)
def test_what_will_be_left_is_told_without_reading(logs: list[list[Operation]], now_s: float) -> None:
    """Two values with one stamp, which no honest page makes, are told apart only by reading."""
    board = board_of([each for log in logs for each in log])
    in_files = {each.key for log in logs for each in log}
    assume(len(in_files) == len({(stamp, birth) for stamp, birth, _ in in_files}))
    before_us = {each.key for each in logs[0]}
    sizes = {each.key: each.size for each in logs[1]}
    left = kept(logs[1], board, in_files, before_us, now_s)
    assert left_bytes(sizes.items(), board, before_us, in_files, now_s) == sum(each.size for each in left)


def test_what_was_changed_or_deleted_goes() -> None:
    board = Board()
    anne = Pen(ANNE, board)
    first = anne.add(1)
    board.apply(first)
    changes = [anne.change(first.birth, x) for x in range(5)]
    for each in changes:
        board.apply(each)
    last = anne.delete(first.birth)
    board.apply(last)
    log = [first, *changes, last]
    assert kept(log, board, {each.key for each in log}, set(), 0) == [last]
    assert kept(log, board, {each.key for each in log[:-1]}, set(), 0) == log, "the last is in no file yet"


def test_of_what_was_cleared_a_day_ago_only_names_stay() -> None:
    board = Board()
    anne, ben, cleo = Pen(ANNE, board), Pen(BEN, board), Pen(CLEO, board)
    stroke = anne.add()
    board.apply(stroke)
    clear = ben.clear(at_s=1000)
    board.apply(clear)
    log, keys = [stroke, clear], {stroke.key, clear.key}
    assert kept(log, board, keys, set(), 1000 + CLEARED_S - 1) == log
    assert kept(log, board, keys, set(), 1000 + CLEARED_S) == [stroke._replace(value=None), clear]
    assert kept(log, board, {stroke.key}, set(), 1000 + CLEARED_S) == log, "the clear is in no file yet"
    board.apply(cleo.delete(clear.birth))
    assert stroke in kept(log, board, keys, set(), 1000 + CLEARED_S), "the clear was undone"


def test_two_nodes_that_have_the_same_do_not_both_drop_it() -> None:
    board = Board()
    stroke = Pen(ANNE, board).add()
    board.apply(stroke)
    assert kept([stroke], board, {stroke.key}, set(), 0) == [stroke]
    assert kept([stroke], board, {stroke.key}, {stroke.key}, 0) == []


def test_when_to_look_and_when_to_rewrite() -> None:
    assert not is_due([1000], 0)
    assert is_due([SEGMENT_BYTES], 0)
    assert not is_due([SEGMENT_BYTES, 1000], SEGMENT_BYTES)
    assert is_due([SEGMENT_BYTES] * 2, SEGMENT_BYTES)
    assert is_due([100] * 20, 0), "one for each life of a node that restarts often"
    assert not is_worth([900, 100], 900)
    assert is_worth([900, 100], 500)
