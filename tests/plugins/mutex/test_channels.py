"""Channels: whatever a broken session swallows, each message of a view arrives once and in order."""

from __future__ import annotations

from random import Random

import pytest
from tests.plugins.mutex.test_view import a_view, node

from guthi_mutex.channels import ACK_S, MAX_AHEAD, MAX_KEPT, RESEND_S, Channels
from guthi_mutex.messages import Carried, Received

ALICE, BOB = node(1), node(2)


def test_what_is_acknowledged_is_not_sent_again() -> None:
    alice, bob = Channels(a_view().id), Channels(a_view().id)
    first = alice.send(BOB, "render", "a", 0.0)
    assert bob.receive(ALICE, first, 0.1) == [first]
    assert bob.receive(ALICE, first, 0.1) == []  # a copy
    ((to, received),) = bob.on_deadline(0.1 + ACK_S)
    assert to == ALICE and received == Received(a_view().id, 1)
    assert isinstance(received, Received)
    alice.acknowledged(BOB, received, 0.4)
    assert alice.on_deadline(60.0) == [] and alice.deadline is None


def test_a_message_the_other_way_acknowledges() -> None:
    alice, bob = Channels(a_view().id), Channels(a_view().id)
    assert bob.receive(ALICE, alice.send(BOB, "render", "a", 0.0), 0.1)
    assert alice.receive(BOB, bob.send(ALICE, "render", "b", 0.1), 0.2)
    assert bob.on_deadline(0.2 + ACK_S) == []  # it owes no Received
    assert bob.deadline == 0.1 + RESEND_S  # of its own message
    assert alice.deadline == 0.2 + ACK_S


def test_what_comes_before_its_turn_waits_for_it() -> None:
    alice, bob = Channels(a_view().id), Channels(a_view().id)
    first, second, third = (alice.send(BOB, "render", body, 0.0) for body in "abc")
    assert bob.receive(ALICE, third, 0.1) == bob.receive(ALICE, second, 0.1) == bob.receive(ALICE, third, 0.1) == []
    assert bob.on_deadline(0.1 + ACK_S) == [(ALICE, Received(a_view().id, 0))]
    assert bob.receive(ALICE, first, 0.4) == [first, second, third]
    assert bob.on_deadline(0.4 + ACK_S) == [(ALICE, Received(a_view().id, 3))]


def test_what_waits_for_its_turn_is_bounded() -> None:
    alice, bob = Channels(a_view().id), Channels(a_view().id)
    sent = [alice.send(BOB, "render", number, 0.0) for number in range(2 * MAX_AHEAD)]
    for each in sent[1:]:
        assert bob.receive(ALICE, each, 0.1) == []
    assert bob.receive(ALICE, sent[0], 0.2) == sent[:MAX_AHEAD]
    assert bob.receive(ALICE, sent[MAX_AHEAD], 0.3) == [sent[MAX_AHEAD]]


def test_it_is_sent_again_more_and_more_rarely() -> None:
    alice = Channels(a_view().id)
    alice.send(BOB, "render", "a", 0.0)
    moments = []
    for _ in range(6):
        now = alice.deadline
        assert now is not None
        moments.append(now)
        assert [body.body for _, body in alice.on_deadline(now) if isinstance(body, Carried)] == ["a"]
    assert moments == [1.0, 3.0, 7.0, 15.0, 23.0, 31.0]


def test_too_much_is_told() -> None:
    alice = Channels(a_view().id)
    for _ in range(MAX_KEPT):
        alice.send(BOB, "render", None, 0.0)
    assert not alice.is_broken
    alice.send(BOB, "render", None, 0.0)
    assert alice.is_broken


@pytest.mark.parametrize("seed", range(30))
def test_all_arrive_once_and_in_order(seed: int) -> None:
    random = Random(seed)
    ends = {ALICE: Channels(a_view().id), BOB: Channels(a_view().id)}
    other = {ALICE: BOB, BOB: ALICE}
    arrived: dict[object, list[int]] = {ALICE: [], BOB: []}
    sent = {ALICE: 0, BOB: 0}

    def pass_on(source: object, message: Carried | Received, now: float) -> None:
        target = other[source]  # type: ignore[index]
        if random.random() < 0.3:
            return
        for _ in range(2 if random.random() < 0.1 else 1):
            if isinstance(message, Received):
                ends[target].acknowledged(source, message, now)  # type: ignore[arg-type]
            else:
                arrived[target] += [each.body for each in ends[target].receive(source, message, now)]  # type: ignore[arg-type]

    for tick in range(2000):
        now = tick * 0.05
        for end, channels in ends.items():
            if sent[end] < 40 and random.random() < 0.1:
                pass_on(end, channels.send(other[end], "render", sent[end], now), now)
                sent[end] += 1
            for _, message in channels.on_deadline(now):
                pass_on(end, message, now)
    assert arrived == {ALICE: list(range(40)), BOB: list(range(40))}
