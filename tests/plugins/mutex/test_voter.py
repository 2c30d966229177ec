"""A voter has one vote, tells those who come too late, and asks for it back when an earlier request comes."""

from __future__ import annotations

import pytest

from guthi import MalformedMessage, NodeId
from guthi_mutex.voter import Answer, Request, Voter

A, B, C, D = (Request(stamp, NodeId(bytes([stamp] * 16))) for stamp in (1, 2, 3, 4))


def test_the_first_to_come_has_the_vote() -> None:
    assert Voter(None).requested(B) == [(Answer.GRANT, B)]


def test_a_later_request_fails_and_gets_the_vote_when_it_is_free() -> None:
    voter = Voter(None)
    voter.requested(A)
    assert voter.requested(B) == [(Answer.FAILED, B)]
    assert voter.queue == (B.node,)
    assert voter.released(A) == [(Answer.GRANT, B)]


def test_an_earlier_request_has_the_vote_asked_back_once() -> None:
    voter = Voter(None)
    voter.requested(D)
    assert voter.requested(B) == [(Answer.INQUIRE, D)]
    assert voter.requested(C) == [(Answer.FAILED, C)]
    assert voter.yielded(D) == [(Answer.GRANT, B)]
    assert voter.queue == (C.node, D.node)


def test_who_was_first_among_the_waiting_is_told_that_it_is_not_any_more() -> None:
    """Sanders' correction: C waits in hope of the vote of D, and would never learn that B comes before it."""
    voter = Voter(None)
    voter.requested(D)
    voter.requested(C)
    assert voter.requested(B) == [(Answer.FAILED, C)]


def test_who_yields_knows_that_it_failed() -> None:
    voter = Voter(None)
    voter.requested(C)
    voter.requested(B)
    voter.yielded(C)
    assert voter.requested(A) == [(Answer.INQUIRE, B)]
    assert voter.yielded(B) == [(Answer.GRANT, A)]


def test_a_request_that_is_withdrawn_is_forgotten() -> None:
    voter = Voter(None)
    voter.requested(C)
    voter.requested(B)
    assert voter.released(B) == []
    assert voter.yielded(C) == [(Answer.GRANT, C)]  # it had been inquired in vain
    assert voter.released(C) == []
    assert voter.queue == ()


def test_who_is_inside_from_the_start_has_the_vote() -> None:
    holder = Request(0, A.node)
    voter = Voter(holder)
    assert voter.requested(B) == [(Answer.FAILED, B)]
    assert voter.released(holder) == [(Answer.GRANT, B)]


def test_what_a_candidate_cannot_say_is_a_breach() -> None:
    voter = Voter(None)
    voter.requested(A)
    voter.requested(B)
    with pytest.raises(MalformedMessage):
        voter.requested(Request(9, A.node))
    with pytest.raises(MalformedMessage):
        voter.yielded(B)
    with pytest.raises(MalformedMessage):
        voter.released(C)
