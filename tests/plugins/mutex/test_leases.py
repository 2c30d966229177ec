"""Leases: a holder stops before a voter lets it be dropped, on clocks that differ."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from tests.plugins.mutex.test_view import a_view, node

from guthi_mutex.leases import DRIFT, Leases
from guthi_mutex.view import Policy, View, ViewId, Voter

LEASE_S = 3.0


def leases(me: int, count: int = 3, now: float = 100.0) -> Leases:
    made = Leases(node(me), LEASE_S, now)
    made.install(a_view(count), now - 60.0)
    return made


def test_without_a_quorum_nothing_is_valid() -> None:
    assert leases(1).valid_until == -inf
    stranger = leases(8)
    assert stranger.valid_until == -inf


def test_valid_from_when_it_was_asked_for() -> None:
    mine = leases(0)
    mine.used(100.0)
    assert mine.renewals(100.0) == [node(1), node(2)]
    mine.consented(node(1), 100.0, 102.0)
    assert mine.valid_until == 100.0 + LEASE_S


def test_the_quorum_counts_not_the_latest() -> None:
    mine = leases(0, count=5)
    for number, sent_at in ((1, 100.0), (2, 101.0), (3, 102.0)):
        mine.consented(node(number), sent_at, 103.0)
    assert mine.valid_until == 101.0 + LEASE_S  # of five, this node and the two latest


def test_who_is_alone_needs_nobody() -> None:
    mine = leases(0, count=2)
    assert mine.valid_until == inf  # the first of two
    assert leases(1, count=2).valid_until == -inf


def test_nothing_is_sent_without_use() -> None:
    mine = leases(0)
    assert mine.renewals(200.0) == []
    mine.used(200.0)
    assert mine.renewals(200.0)
    assert mine.due_at == 200.0 + LEASE_S / 3
    assert mine.renewals(206.0)
    assert mine.renewals(207.0) == []  # two leases after the last use
    assert mine.due_at is None


def test_who_does_not_answer_is_silent_after_a_lease_and_a_quarter() -> None:
    mine = leases(0)
    for tick in range(8):
        now = 100.0 + tick
        mine.used(now)
        mine.renewals(now)
        mine.consented(node(1), now, now)
        assert mine.silent(now) == ([node(2)] if tick > DRIFT * LEASE_S else [])


def test_a_consent_from_the_future_is_ignored() -> None:
    mine = leases(0)
    mine.consented(node(1), 500.0, 101.0)
    assert mine.valid_until == -inf


def test_a_new_voter_waits_as_if_it_had_consented() -> None:
    voter = leases(1, now=50.0)
    assert voter.wait_s(node(0), 50.0) == DRIFT * LEASE_S
    assert voter.wait_s(node(0), 60.0) == 0.0
    voter.consent(node(0), 60.0)
    assert voter.wait_s(node(0), 61.0) == pytest.approx(DRIFT * LEASE_S - 1)
    assert voter.wait_s(node(1), 61.0) == 0.0


@pytest.mark.parametrize("seed", range(50))
def test_the_holder_stops_before_it_may_be_dropped(seed: int) -> None:
    random = Random(seed)
    clocks = [(random.uniform(0.9, 1.1), random.uniform(0, 1000)) for _ in range(2)]

    def local(who: int, real: float) -> float:
        rate, offset = clocks[who]
        return real * rate + offset

    def real(who: int, local_time: float) -> float:
        rate, offset = clocks[who]
        return (local_time - offset) / rate

    holder = leases(0, now=local(0, 0.0))
    voter = leases(1, now=local(1, 0.0))
    sent, heard = 10.0, 10.0 + random.uniform(0, 5)
    voter.consent(node(0), local(1, heard))
    holder.consented(node(1), local(0, sent), local(0, heard + random.uniform(0, 5)))
    dropped = real(1, local(1, heard) + voter.wait_s(node(0), local(1, heard)))
    assert real(0, holder.valid_until) < dropped


def test_to_come_into_a_view_is_to_consent() -> None:
    holder, voter = leases(0), leases(1)
    later = a_view(3, epoch=8)
    voter.install(later, 200.0)
    assert voter.wait_s(node(0), 200.0) == DRIFT * LEASE_S
    holder.install(later, 201.0, promised_at=199.9)
    assert holder.valid_until == 199.9 + LEASE_S
    holder.install(a_view(3, epoch=9), 202.0)
    assert holder.valid_until == 199.9 + LEASE_S  # of those who stay, older consents stand


def test_the_shortest_lease_of_a_view_is_everybodys() -> None:
    """Who is configured to wait for less would else drop a holder that still believes in its own lease."""
    hasty = Voter(node(0), 0, Policy("suzuki-kasami", lease_s=LEASE_S / 3))
    patient = Voter(node(1), 0, Policy("suzuki-kasami", lease_s=LEASE_S))
    voter, holder = Leases(node(0), LEASE_S / 3, 0.0), leases(1)
    view = View(ViewId(8, node(0)), (hasty, patient))
    for each in (holder, voter):
        each.install(view, 200.0)
    voter.consent(node(1), 201.0)
    holder.consented(node(0), 201.0, 201.0)
    assert holder.valid_until == 201.0 + LEASE_S / 3 < 201.0 + voter.wait_s(node(1), 201.0)
    holder.install(a_view(3, epoch=9), 202.0)
    assert holder.lease_s == LEASE_S


def test_a_hasty_voter_waits_as_long_as_the_user_itself_believes() -> None:
    """Frozen after its promise, the user knows the view before, in which all leases were long; or the voter's was."""
    patient = [Voter(node(each), 0, Policy("suzuki-kasami", lease_s=LEASE_S)) for each in (0, 1, 3)]
    hasty = Voter(node(2), 0, Policy("suzuki-kasami", lease_s=LEASE_S / 10))
    holder, voter = Leases(node(0), LEASE_S, 0.0), Leases(node(2), LEASE_S / 10, 0.0)
    holder.install(View(ViewId(8, node(0)), tuple(patient)), 200.0)
    holder.consented(node(1), 201.0, 201.0)
    voter.install(View(ViewId(9, node(0)), (*patient[:2], hasty, patient[2])), 201.0)
    assert holder.valid_until == 201.0 + LEASE_S < 201.0 + voter.wait_s(node(0), 201.0)
    assert voter.wait_s(node(2), 201.0) == pytest.approx(DRIFT * LEASE_S / 10)


def test_a_consent_is_kept_while_its_voter_is_outside() -> None:
    voter = leases(1)
    voter.consent(node(2), 200.0)
    voter.install(None, 200.1)
    voter.install(a_view(2), 200.2)
    assert voter.wait_s(node(2), 201.0) == pytest.approx(DRIFT * LEASE_S - 1)
