"""Syncs between two nodes: both tables become equal, a first one is tried until it succeeds, nonsense does no harm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

import pytest
from tests.kernel.membership.test_sync import member
from tests.kernel.messages.test_requests import End

from guthi.errors import MalformedMessage
from guthi.membership.machine import Membership
from guthi.membership.members import Member
from guthi.membership.records import encode_records
from guthi.network import syncing
from guthi.network.syncing import RECORDS_TOPIC, SYNC_TOPIC, Syncing

NOTHING = encode_records([])


class Station:
    """A node as far as syncs need one."""

    def __init__(self, me: Member, others: Iterable[Member] = ()) -> None:
        self.me = me
        self.membership = Membership(me, Random(0))
        self._merge(list(others))
        self.end = End(me.id, "the other")
        self.syncing = Syncing(self.end.requests, self.membership.comparing, self._merge)

    def _merge(self, records: Sequence[Member]) -> None:
        self.membership.merge(records, 0.0)


def pair(of_alice: Iterable[int] = (), of_bob: Iterable[int] = ()) -> tuple[Station, Station]:
    """Alice is member 1 and Bob member 2; besides they know the members of these numbers."""
    alice, bob = Station(member(1), map(member, of_alice)), Station(member(2), map(member, of_bob))
    alice.end.other, bob.end.other = bob.end, alice.end
    return alice, bob


async def within_reason(work: Any) -> None:
    async with asyncio.timeout(5):
        await work


async def test_both_tables_become_equal_and_both_have_joined() -> None:
    alice, bob = pair([3, 4], [4, 5])
    await within_reason(alice.syncing.sync(bob.me))
    everybody = sorted((member(number) for number in range(1, 6)), key=lambda each: each.id)
    assert alice.membership.snapshot() == bob.membership.snapshot() == everybody
    assert alice.syncing.joined.is_set() and bob.syncing.joined.is_set()


@pytest.mark.parametrize(("of_bob", "requests"), [([1, 3], 1), ([3], 2)])
async def test_there_is_a_second_round_trip_only_if_something_is_wanted(of_bob: list[int], requests: int) -> None:
    alice, bob = pair([], of_bob)
    await within_reason(alice.syncing.sync(bob.me))
    assert len(alice.end.posts) == requests
    assert alice.membership.snapshot() == bob.membership.snapshot()


async def test_a_nodes_first_sync_is_tried_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "RETRY_S", 0.0)
    alice, bob = pair([3])
    alice.end.lost = True
    first = asyncio.create_task(alice.syncing.sync(bob.me))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not first.done() and not alice.syncing.joined.is_set()
    alice.end.lost = False
    await within_reason(first)
    assert alice.membership.snapshot() == bob.membership.snapshot()


async def test_a_later_one_that_fails_is_left_to_the_next_comparison(caplog: pytest.LogCaptureFixture) -> None:
    alice, bob = pair([3])
    alice.syncing.joined.set()
    alice.end.lost = True
    with caplog.at_level(logging.INFO):
        await within_reason(alice.syncing.sync(bob.me))
    assert "no sync with node2" in caplog.text
    assert member(3) not in bob.membership.snapshot()


@pytest.mark.parametrize(
    "answer", [7, [], [NOTHING], [NOTHING, 7], [NOTHING, None], [b"no records", b""], [NOTHING, b"no ids"]]
)
async def test_an_answer_that_is_none_does_no_harm(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    alice, bob = pair()
    bob.end.requests.forget(SYNC_TOPIC)
    bob.end.requests.handle(SYNC_TOPIC, lambda _: answer)
    alice.syncing.joined.set()
    with caplog.at_level(logging.INFO):
        await within_reason(alice.syncing.sync(bob.me))
    assert "no sync with node2" in caplog.text
    assert alice.membership.snapshot() == [alice.me]


@pytest.mark.parametrize("topic", [SYNC_TOPIC, RECORDS_TOPIC])
@pytest.mark.parametrize("value", [7, b"nonsense", None])
async def test_a_question_that_is_none_is_refused_and_joins_nobody(topic: str, value: Any) -> None:
    alice, bob = pair()
    with pytest.raises(MalformedMessage):
        await alice.end.requests.request(bob.me.id, topic, value)
    assert bob.membership.snapshot() == [bob.me]
    assert not bob.syncing.joined.is_set()
