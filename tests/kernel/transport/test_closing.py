"""The close of one session, call by call; how two of them end on bad lines is in `test_session`."""

from __future__ import annotations

import pytest

from guthi.transport.closing import CLOSE_TRIES, Closing, SessionState
from guthi.transport.wire import PING, Close, CloseCode, decode_frames, encode_close

RETRY_S = 0.5
ANSWER = encode_close(CloseCode.DONE, "")
NONSENSE = b"\xee nonsense"


def closing(code: CloseCode = CloseCode.DONE, reason: str = "bye") -> Closing:
    machine = Closing()
    machine.close(code, reason)
    return machine


def sent(machine: Closing, now: float = 0.0) -> list[Close]:
    """What leaves in one turn."""
    frame = machine.take_frame(now, RETRY_S)
    return [each for each in decode_frames(frame or b"") if isinstance(each, Close)]


def test_an_open_session_has_nothing_to_say() -> None:
    machine = Closing()
    assert (machine.state, machine.deadline) == (SessionState.OPEN, None)
    assert sent(machine) == []


def test_a_close_is_said_once_and_again_when_its_time_has_come() -> None:
    machine = closing()
    assert machine.state is SessionState.CLOSING
    assert sent(machine, 1.0) == [Close(CloseCode.DONE, "bye")]
    assert sent(machine, 1.0) == []
    assert machine.deadline == 1.0 + RETRY_S
    machine.on_deadline(1.0 + RETRY_S / 2)
    assert sent(machine, 1.0 + RETRY_S / 2) == []
    machine.on_deadline(1.0 + RETRY_S)
    assert sent(machine, 1.0 + RETRY_S) == [Close(CloseCode.DONE, "bye")]


def test_without_an_answer_it_is_given_up_after_the_last_try() -> None:
    machine, now = closing(), 0.0
    count = len(sent(machine))
    while machine.deadline is not None:
        now = machine.deadline
        machine.on_deadline(now)
        count += len(sent(machine, now))
    assert count == CLOSE_TRIES
    assert now == CLOSE_TRIES * RETRY_S
    assert machine.state is SessionState.CLOSED


def test_the_first_reason_stands() -> None:
    machine = closing(CloseCode.BREACH, "nonsense")
    machine.close(CloseCode.DONE, "bye")
    assert sent(machine) == [Close(CloseCode.BREACH, "nonsense")]


def test_the_peers_close_ends_ours_without_another_word() -> None:
    machine = closing()
    sent(machine)
    machine.received(PING + ANSWER)
    assert (machine.state, machine.deadline) == (SessionState.CLOSED, None)
    assert sent(machine) == []


@pytest.mark.parametrize("payload", [PING, NONSENSE, ANSWER + NONSENSE])
def test_what_crosses_our_close_neither_ends_nor_hastens_it(payload: bytes) -> None:
    machine = closing()
    sent(machine)
    machine.received(payload)
    assert (machine.state, machine.deadline) == (SessionState.CLOSING, RETRY_S)
    assert sent(machine, 0.1) == []


def test_the_peers_close_is_answered_without_waiting_for_more() -> None:
    machine = Closing()
    machine.closed_by_peer()
    assert machine.state is SessionState.CLOSED
    assert sent(machine) == [Close(CloseCode.DONE, "")]
    assert machine.deadline is None


def test_a_closed_session_tells_who_goes_on_but_not_for_ever() -> None:
    machine = Closing()
    machine.closed_by_peer()
    answers = sent(machine)
    for _ in range(10):
        machine.received(PING)
        answers += sent(machine)
    assert answers == [Close(CloseCode.DONE, "")] * CLOSE_TRIES


def test_two_closed_ends_do_not_answer_one_another_for_ever() -> None:
    ends = closing(), closing()
    for end in ends:
        sent(end)
        end.received(ANSWER)
    ends[0].received(ANSWER)  # a copy of it sets them off
    exchanged = 0
    while frame := ends[exchanged % 2].take_frame(0.0, RETRY_S):
        ends[(exchanged + 1) % 2].received(frame)
        exchanged += 1
    assert exchanged == 2 * (CLOSE_TRIES - 1)  # each had used one try for its own CLOSE


def test_who_ended_without_a_word_stays_silent() -> None:
    machine = Closing()
    machine.finish()
    machine.received(PING)
    machine.close(CloseCode.DONE, "bye")
    assert machine.state is SessionState.CLOSED
    assert sent(machine) == []


def test_finishing_an_unanswered_close_stops_its_repetition() -> None:
    machine = closing()
    sent(machine)
    machine.finish()
    machine.on_deadline(RETRY_S)
    assert (machine.state, machine.deadline) == (SessionState.CLOSED, None)
    assert sent(machine, RETRY_S) == []
