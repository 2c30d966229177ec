"""Pings, their answers, and pings for others; what is on the wire, and what of it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.figures.crowd import id_of

from guthi import MalformedMessage
from guthi_health import exchange
from guthi_health.exchange import Answered, Exchange, Relayed, Send
from guthi_health.messages import Asked, Message, Noted, Pinged, Ponged, Told, from_wire, to_wire

ALICE, BOB, CAROL = (id_of(number) for number in range(3))


def test_a_ping_is_answered_with_the_clock() -> None:
    assert Exchange().receive(ALICE, Pinged(7), 1.0, 1e9) == (Send(ALICE, Ponged(7, 1e9, 1e9)),)


def test_an_answer_gives_the_round_trip_and_four_moments() -> None:
    mine = Exchange()
    ping = mine.ping(BOB, 42, 10.0, 1000.0)
    assert isinstance(ping.message, Pinged)
    (answer,) = mine.receive(BOB, Ponged(ping.message.number, 1005.0, 1005.1), 10.3, 1000.3)
    assert isinstance(answer, Answered)
    assert (answer.peer, answer.number, answer.rtt_s) == (BOB, 42, pytest.approx(0.3))
    assert answer.sample == (1000.0, 1005.0, 1005.1, 1000.3)
    assert mine.receive(BOB, Ponged(ping.message.number, 1005.0, 1005.1), 10.3, 1000.3) == ()  # doubled


def test_an_answer_of_somebody_else_is_none() -> None:
    mine = Exchange()
    ping = mine.ping(BOB, 1, 0.0, 0.0)
    assert isinstance(ping.message, Pinged)
    assert mine.receive(CAROL, Ponged(ping.message.number, 0.0, 0.0), 0.1, 0.1) == ()
    assert mine.receive(BOB, Ponged(999, 0.0, 0.0), 0.1, 0.1) == ()


def test_a_relay_says_that_it_was_answered() -> None:
    relay = Exchange()
    (ping,) = relay.receive(ALICE, Asked(5, CAROL, 0.4), 0.0, 0.0)
    assert isinstance(ping, Send) and ping.peer == CAROL and isinstance(ping.message, Pinged)
    assert relay.receive(CAROL, Ponged(ping.message.number, 0.0, 0.0), 0.1, 0.1) == (Send(ALICE, Told(5, True)),)
    assert list(relay.on_deadline(1.0)) == []
    assert Exchange().receive(BOB, Told(5, True), 0.1, 0.1) == (Relayed(BOB, 5, True),)


def test_a_relay_says_that_it_was_not_answered() -> None:
    relay = Exchange()
    relay.receive(ALICE, Asked(5, CAROL, 0.4), 0.0, 0.0)
    assert relay.deadline == pytest.approx(0.4)
    assert list(relay.on_deadline(0.4)) == [Send(ALICE, Told(5, False))]
    assert relay.deadline is None


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST_WAITING", 10)
    monkeypatch.setattr(exchange, "MOST_RELAYS", 3)
    mine = Exchange()
    relayed = [mine.receive(ALICE, Asked(number, CAROL, 1.0), 0.0, 0.0) for number in range(5)]
    assert [len(each) for each in relayed] == [1, 1, 1, 0, 0]
    for number in range(50):
        mine.ping(BOB, number, 0.0, 0.0)
    assert len(mine._waiting) == 10 and mine.deadline is None


MESSAGES: list[Message] = [
    Pinged(1),
    Ponged(2, 1.5, 2.5),
    Asked(3, ALICE, 0.25),
    Told(4, True),
    Noted("swim", [[b"x", 1]]),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_wire(message: Message) -> None:
    assert from_wire(to_wire(message)) == message


@pytest.mark.parametrize(
    "value",
    [None, [], [9], [0, -1], [0, True], [0, 2**60], [1, 1, float("nan"), 0.0], [1, 1, 1.0, float("inf")],
     [2, 1, b"short", 1.0], [2, 1, bytes(16), 1e9], [2, 1, bytes(16), float("nan")], [3, 1, 1], [4, "x" * 65, 1]],
)  # fmt: skip
def test_what_is_no_message_is_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        from_wire(value)


cbor = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=5),
)


@given(st.lists(cbor, max_size=5) | cbor)
def test_nothing_but_a_breach_escapes_the_decoder(value: object) -> None:
    try:
        from_wire(value)
    except MalformedMessage:
        pass
