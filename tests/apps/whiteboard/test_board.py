"""The merge: the same for every order of hearing; the last writer wins; a clear hides what it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.apps.whiteboard.drawing import ANNE, BEN, CLEO, Pen, a_line, op

from guthi_whiteboard import Board, Operation, Stamp


def board_of(operations: Sequence[Operation]) -> Board:
    board = Board()
    for each in operations:
        board.apply(each)
    return board


stamps = st.builds(Stamp, st.integers(1, 6), st.sampled_from([ANNE, BEN, CLEO]))
values = (
    st.none()
    | st.integers(0, 3).map(a_line)
    | st.fixed_dictionaries(
        {
            "kind": st.just("clear"),
            "seen": st.dictionaries(st.sampled_from([ANNE, BEN, CLEO]), st.integers(1, 6)),
            "at_s": st.just(0),
        }
    )
)
operations = st.builds(lambda a, b, value: op(*max(a, b), value, min(a, b)), stamps, stamps, values)


@given(st.lists(operations, max_size=20), st.randoms(use_true_random=False))
def test_every_order_gives_the_same_board(heard: list[Operation], random: Random) -> None:
    """Also when some are heard twice, and when two have one stamp, which a faulty page can bring about."""
    board = board_of(heard)
    other = heard + heard[::3]
    random.shuffle(other)
    again = board_of(other)
    assert again.visible() == board.visible()
    assert again.winners() == board.winners()
    assert (again.time, again.characters, len(again)) == (board.time, board.characters, len(board))


@given(st.lists(operations, max_size=20), st.lists(operations, max_size=20))
def test_two_boards_become_one(one: list[Operation], other: list[Operation]) -> None:
    here, there = board_of(one), board_of(other)
    for operation in there.winners():
        here.apply(operation)
    assert here.visible() == board_of(one + other).visible()


@given(st.lists(operations, min_size=1, max_size=30), st.integers(1, 400))
def test_whoever_takes_what_has_come_since_has_all(heard: list[Operation], characters: int) -> None:
    board, copy, number = Board(), Board(), 0
    for index, operation in enumerate(heard):
        board.apply(operation)
        if index % 4 == 0:
            some, number = board.after(number, characters)
            for each in some:
                copy.apply(each)
    while number < board.number:
        some, number = board.after(number, characters)
        for each in some:
            copy.apply(each)
    assert copy.visible() == board.visible()
    assert board.after(number, characters) == ([], number)


def test_the_last_writer_wins_and_objects_lie_in_the_order_of_their_birth() -> None:
    first, second = op(1, ANNE, a_line(1)), op(2, BEN, a_line(2))
    changed = op(5, BEN, a_line(9), first.birth)
    board = board_of([second, changed, first])
    assert board.visible() == [changed, second]
    assert not board.apply(op(4, CLEO, None, first.birth))
    assert board.apply(op(6, CLEO, None, first.birth))
    assert board.visible() == [second]


def test_of_two_at_one_time_the_author_decides() -> None:
    board = board_of([op(1, ANNE, a_line())])
    birth = Stamp(1, ANNE)
    winner = op(7, max(ANNE, BEN), a_line(1), birth)
    loser = op(7, min(ANNE, BEN), a_line(2), birth)
    assert board_of([*board.visible(), winner, loser]).visible() == [winner]
    assert board_of([*board.visible(), loser, winner]).visible() == [winner]


def test_a_clear_hides_what_it_has_seen_and_is_undone() -> None:
    board = Board()
    anne, ben = Pen(ANNE, board), Pen(BEN, board)
    old = anne.add(1)
    board.apply(old)
    clear = anne.clear()
    unseen = ben.add(2)  # drawn at the same time
    board.apply(clear)
    board.apply(unseen)
    assert board.visible() == [unseen]
    later = ben.add(3)
    board.apply(later)
    board.apply(anne.delete(clear.birth))
    assert board.visible() == [old, unseen, later]
    assert board.clears() == []


def test_what_is_changed_after_a_clear_stays() -> None:
    board = Board()
    anne, ben = Pen(ANNE, board), Pen(BEN, board)
    board.apply(anne.add())
    birth = board.visible()[0].birth
    board.apply(anne.clear())
    changed = ben.change(birth, 4)
    board.apply(changed)
    assert board.visible() == [changed]
