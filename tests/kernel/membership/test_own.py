"""What a node answers to records of itself: refutation, and the signs of a twin."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kernel.membership.test_sync import member

from guthi.membership.members import INCARNATION_LIMIT, Member, MemberState
from guthi.membership.own import TWIN_SIGNS, TWIN_WINDOW_S, Answer, OwnRecord

ME = member(1)


def after(record: Member) -> Member:
    """As a twin says it next."""
    return replace(record, name="twin", incarnation=record.incarnation + 1)


def test_ones_own_words_and_what_they_beat_need_no_answer() -> None:
    own = OwnRecord(replace(ME, incarnation=5))
    for shown in (own.record, replace(ME, incarnation=4), replace(ME, incarnation=4, state=MemberState.FAILED)):
        assert own.answer(shown, 0.0) is Answer.NOTHING


@pytest.mark.parametrize("state", list(MemberState))
def test_what_is_newer_is_overtaken(state: MemberState) -> None:
    own = OwnRecord(ME)
    assert own.answer(replace(ME, incarnation=7, state=state), 0.0) is Answer.REFUTE
    assert (own.record.incarnation, own.record.state) == (8, MemberState.ALIVE)


def test_accusations_without_end_are_refuted_without_end() -> None:
    own = OwnRecord(ME)
    for _ in range(10 * TWIN_SIGNS):
        assert own.answer(replace(own.record, state=MemberState.SUSPECT), 0.0) is Answer.REFUTE


def test_two_with_one_key_both_notice_and_then_make_peace() -> None:
    one, two = OwnRecord(ME), OwnRecord(replace(ME, name="twin"))
    answers: list[Answer] = []
    for turn in range(4 * TWIN_SIGNS):
        own, other = (one, two) if turn % 2 else (two, one)
        answers.append(own.answer(other.record, turn * 0.1))
    assert answers.count(Answer.ALARM) == 2
    assert answers.count(Answer.REFUTE) == 2 * (TWIN_SIGNS - 1)
    assert one.record.incarnation == two.record.incarnation == 2 * TWIN_SIGNS


def test_one_that_is_overtaken_now_and_then_has_no_twin() -> None:
    own = OwnRecord(ME)
    for turn in range(10 * TWIN_SIGNS):
        assert own.answer(after(own.record), turn * TWIN_WINDOW_S) is Answer.REFUTE


def test_after_the_alarm_the_twin_is_followed_and_accusations_are_still_refuted() -> None:
    own = OwnRecord(ME)
    answers = [own.answer(after(own.record), 0.0) for _ in range(TWIN_SIGNS + 2)]
    assert answers == [Answer.REFUTE] * (TWIN_SIGNS - 1) + [Answer.ALARM] + [Answer.FOLLOW] * 2
    before = own.record.incarnation
    assert own.answer(replace(own.record, state=MemberState.FAILED), 1.0) is Answer.REFUTE
    assert own.record.incarnation == before + 1


def test_an_incarnation_that_cannot_be_beaten_is_let_be_and_told_once() -> None:
    own = OwnRecord(ME)
    lie = replace(ME, incarnation=INCARNATION_LIMIT - 1, state=MemberState.FAILED)
    assert [own.answer(lie, 0.0) for _ in range(3)] == [Answer.DESPAIR, Answer.NOTHING, Answer.NOTHING]
    assert own.record == ME
