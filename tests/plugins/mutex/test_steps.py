"""Single steps: what a request leaves behind that was given up, and when a vote is yielded."""

from __future__ import annotations

from guthi import NodeId
from guthi_mutex.algorithm import Granted, Send
from guthi_mutex.maekawa import Maekawa
from guthi_mutex.naimi_trehel import NaimiTrehel
from guthi_mutex.raymond import Raymond
from guthi_mutex.ricart_agrawala import RicartAgrawala

A, B, C, D, E = (NodeId(letter.encode() * 16) for letter in "abcde")


def test_ricart_agrawala_takes_no_reply_to_an_old_request_for_one_to_the_new() -> None:
    node = RicartAgrawala(B, [A, B], None, 0)
    assert node.request() == [Send(A, [0, 1])]
    assert node.cancel() == []
    assert node.request() == [Send(A, [0, 2])]
    assert node.receive(A, [1, 1, 7]) == []
    assert node.receive(A, [1, 2, 7]) == [Granted(8)]


def test_ricart_agrawala_replies_to_all_that_it_had_put_off() -> None:
    node = RicartAgrawala(A, [A, B], None, 0)
    node.request()
    assert node.receive(B, [0, 1]) == []  # the same stamp, a greater id
    assert node.cancel() == [Send(B, [1, 1, 0])]


def test_raymond_keeps_a_token_that_comes_in_vain() -> None:
    node = Raymond(B, [A, B], None, 0)
    assert node.request() == [Send(A, [0])]
    assert node.cancel() == []
    assert node.receive(A, [1, 7]) == []
    assert node.request() == [Granted(8)]


def test_naimi_trehel_passes_on_what_it_does_not_want_any_more() -> None:
    node = NaimiTrehel(B, [A, B], None, 0)
    assert node.request() == [Send(A, [0, 1])]
    assert node.receive(A, [0, 0]) == []
    assert node.cancel() == []
    assert node.receive(A, [1, 7]) == [Send(A, [1, 7])]


def test_naimi_trehel_has_kept_its_place_when_it_wants_it_again() -> None:
    node = NaimiTrehel(B, [A, B], None, 0)
    node.request()
    node.cancel()
    assert node.request() == []
    assert node.receive(A, [1, 7]) == [Granted(8)]


def test_maekawa_takes_its_requests_back_and_old_votes_for_nothing() -> None:
    node = Maekawa(B, [A, B], None, 0)
    assert node.request() == [Send(A, [0, 1])]
    assert node.cancel() == [Send(A, [2, 1, 0])]
    assert node.receive(A, [3, 1, 1, 7]) == []
    assert node.request() == [Send(A, [0, 2])]
    assert node.receive(A, [3, 2, 2, 7]) == [Granted(8)]


def waiting_for_a() -> Maekawa:
    """C, whose quorum is A, B and C, has its own vote and that of B."""
    node = Maekawa(C, [A, B, C, D, E], None, 0)
    assert node.request() == [Send(A, [0, 1]), Send(B, [0, 1])]
    assert node.receive(B, [3, 1, 1, 0]) == []
    return node


def test_maekawa_yields_no_vote_while_it_may_get_in() -> None:
    node = waiting_for_a()
    assert node.receive(B, [5, 1]) == []
    assert node.receive(A, [3, 1, 1, 0]) == [Granted(1)]


def test_maekawa_yields_as_soon_as_it_fails_and_gets_in_by_a_second_vote() -> None:
    node = waiting_for_a()
    assert node.receive(B, [5, 1]) == []
    assert node.receive(A, [4, 1]) == [Send(B, [1, 1])]
    assert node.receive(A, [3, 1, 1, 6]) == []
    assert node.receive(B, [3, 1, 1, 7]) == [Granted(8)]


def test_maekawa_yields_at_once_when_it_has_failed() -> None:
    node = waiting_for_a()
    assert node.receive(A, [4, 1]) == []
    assert node.receive(B, [5, 1]) == [Send(B, [1, 1])]
