"""Whom a node asks for what it lacks: one at a time, after some patience, and not for ever."""

from __future__ import annotations

from random import Random

import pytest
from tests.kernel.broadcast.bare import an_id

from guthi.broadcast import missing as module
from guthi.broadcast.messages import MessageId
from guthi.broadcast.missing import Missing
from guthi.broadcast.settings import BroadcastSettings

A, B, C = (an_id(number) for number in range(3))
SETTINGS = BroadcastSettings(graft_s=1.0, graft_again_s=1.0, keep_s=60.0, pace_bytes_s=1000.0)


def a_message(sequence: int = 1) -> MessageId:
    return MessageId(an_id(9), 1, sequence)


def some_missing() -> Missing:
    missing = Missing(SETTINGS, Random(1))
    missing._patience_s = 1.0
    return missing


def test_sources_are_asked_in_turn_with_longer_pauses() -> None:
    missing = some_missing()
    for source in (A, B):
        missing.heard(a_message(), 0, source, 0.0)
    asked = []
    now = 0.0
    while (deadline := missing.deadline) is not None:
        now = deadline
        asked += [(round(now, 3), peer) for peer in missing.due(now)]
    assert asked[:6] == [(1.0, A), (2.0, B), (4.0, A), (6.0, B), (10.0, A), (14.0, B)]
    assert now == 60.0 and len(missing) == 0


def test_what_came_is_not_asked_for() -> None:
    missing = some_missing()
    missing.heard(a_message(), 0, A, 0.0)
    missing.heard(a_message(), 0, B, 0.5)
    assert missing.came(a_message()) == [A, B]
    assert missing.due(10.0) == {} and missing.deadline is None
    assert missing.came(a_message()) == []


def test_a_large_message_is_given_time() -> None:
    missing = some_missing()
    missing.heard(a_message(), 5000, A, 0.0)
    assert missing.due(5.9) == {}
    assert missing.due(6.0) == {A: [a_message()]}


def test_who_offers_again_is_asked_again_soon() -> None:
    missing = some_missing()
    missing.heard(a_message(), 0, A, 0.0)
    for now in (1.0, 3.0, 7.0):  # the next would be at 15
        assert missing.due(now) == {A: [a_message()]}
    missing.heard(a_message(), 0, A, 8.0)
    assert missing.due(9.0) == {A: [a_message()]}


def test_several_are_asked_of_one() -> None:
    missing = some_missing()
    missing.heard(a_message(1), 0, A, 0.0)
    missing.heard(a_message(2), 0, B, 0.0)
    missing.heard(a_message(2), 0, A, 0.1)
    assert missing.due(1.0) == {A: [a_message(1), a_message(2)]}
    assert missing.due(2.0) == {B: [a_message(2)]}
    assert missing.due(3.0)[A][0] == a_message(1)


def test_patience_differs_between_nodes() -> None:
    patience = {Missing(SETTINGS, Random(seed))._patience_s for seed in range(10)}
    assert len(patience) == 10 and 1.0 <= min(patience) < max(patience) <= 2.0


def test_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MISSING", 5)
    missing = some_missing()
    for number in range(50):
        missing.heard(a_message(number + 1), 0, A, 0.0)
        missing.heard(a_message(1), 0, an_id(number), 0.0)
    assert len(missing) == 5
    assert len(missing.came(a_message(1))) == module.MOST_SOURCES
