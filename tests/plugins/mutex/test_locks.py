"""The table of locks: callers, algorithm, lease and view, joined call by call."""

from __future__ import annotations

from random import Random

import pytest
from tests.plugins.mutex.test_view import node

from guthi_mutex.leases import Leases
from guthi_mutex.locks import Locks
from guthi_mutex.suzuki_kasami import SuzukiKasami
from guthi_mutex.tickets import Disagreement, LockGranted, Spoke, TicketLost, TicketRefused
from guthi_mutex.view import FENCE_BITS, Held, Policy, View, ViewId, Voter

POLICY = Policy("suzuki-kasami")
NOW = 100.0


def a_view(epoch: int = 7, held: tuple[Held, ...] = (), other: Policy = POLICY) -> View:
    return View(ViewId(epoch, node(0)), (Voter(node(0), 0, POLICY), Voter(node(1), 0, other)), held)


class Bench:
    """The locks of one of two nodes; the first of them has the token, and its lease is good unless said otherwise."""

    def __init__(self, rank: int = 0, *, leased: bool = True, turn_s: float = 0.0) -> None:
        self.leases = Leases(node(rank), 3.0, 0.0)
        self.locks = Locks(node(rank), POLICY, {SuzukiKasami.name: SuzukiKasami}, self.leases, Random(1), turn_s)
        self.install(a_view())
        if leased:
            self.lease()

    def lease(self) -> None:
        for rank in (0, 1):
            self.leases.consented(node(rank), NOW - 1, NOW)

    def install(self, view: View | None) -> list[object]:
        self.leases.install(view, NOW)
        return list(self.locks.install(view, NOW))


def fence(counter: int, epoch: int = 7) -> int:
    return epoch << FENCE_BITS | counter


def test_a_token_that_is_here_is_granted_at_once() -> None:
    bench = Bench()
    assert bench.locks.acquire(1, "render", NOW) == [LockGranted(1, "render", fence(1))]
    assert bench.locks.acquire(2, "render", NOW) == []
    assert bench.locks.release(1, NOW) == [LockGranted(2, "render", fence(2))]
    assert bench.locks.release(2, NOW) == [] and not bench.locks.is_in_use


def test_a_token_that_is_elsewhere_is_asked_for() -> None:
    bench = Bench(1)
    assert bench.locks.acquire(1, "render", NOW) == [Spoke(node(0), "render", [0, 1])]
    assert bench.locks.receive(node(0), "render", [1, 4, [0, 0], []], NOW) == [LockGranted(1, "render", fence(5))]


def test_callers_of_this_node_go_first_as_long_as_its_turn_lasts() -> None:
    bench = Bench(turn_s=1.0)
    for ticket in (1, 2, 3, 4):
        bench.locks.acquire(ticket, "render", NOW)
    bench.locks.receive(node(1), "render", [0, 1], NOW)
    assert bench.locks.release(1, NOW + 0.5) == [LockGranted(2, "render", fence(2))]
    assert bench.locks.release(2, NOW + 0.9) == [LockGranted(3, "render", fence(3))]  # the turn is no longer for that
    assert bench.locks.release(3, NOW + 1.0) == [Spoke(node(1), "render", [1, 3, [3, 0], [0]])]
    back_at = NOW + 1.5
    assert bench.locks.receive(node(1), "render", [1, 4, [3, 1], []], back_at) == [LockGranted(4, "render", fence(5))]
    bench.locks.acquire(5, "render", back_at)
    bench.locks.receive(node(1), "render", [0, 2], back_at)
    assert bench.locks.release(4, back_at + 0.9) == [LockGranted(5, "render", fence(6))]  # that is another turn


def test_nobody_here_wants_it_so_the_turn_is_over() -> None:
    bench = Bench(turn_s=1.0)
    bench.locks.acquire(1, "render", NOW)
    bench.locks.receive(node(1), "render", [0, 1], NOW)
    assert bench.locks.release(1, NOW) == [Spoke(node(1), "render", [1, 1, [1, 0], []])]


def test_without_a_lease_there_is_no_turn() -> None:
    bench = Bench(1, turn_s=10.0)
    for ticket in (1, 2):
        bench.locks.acquire(ticket, "render", NOW)
    bench.locks.receive(node(0), "render", [1, 4, [0, 0], []], NOW)
    bench.locks.receive(node(0), "render", [0, 1], NOW)
    lost, passed_on = bench.locks.lose(NOW + 5)
    assert lost == TicketLost(1, "render", fence(5))
    assert passed_on == Spoke(node(0), "render", [1, 5, [0, 1], [1]])


def test_without_a_lease_the_grant_waits_for_it() -> None:
    bench = Bench(1, leased=False)
    bench.locks.acquire(1, "render", NOW)
    assert bench.locks.receive(node(0), "render", [1, 4, [0, 0], []], NOW) == []
    bench.lease()
    assert bench.locks.leased(NOW) == [LockGranted(1, "render", fence(5))]


def test_who_gives_up_while_the_grant_waits_passes_it_on() -> None:
    bench = Bench(1, leased=False)
    bench.locks.acquire(1, "render", NOW)
    bench.locks.receive(node(0), "render", [1, 4, [0, 0], []], NOW)
    assert bench.locks.release(1, NOW) == []
    bench.lease()
    assert bench.locks.leased(NOW) == []
    assert bench.locks.receive(node(0), "render", [0, 1], NOW) == [Spoke(node(0), "render", [1, 5, [0, 1], []])]


def test_frozen_nothing_is_granted_and_all_is_asked_again() -> None:
    bench = Bench()
    bench.locks.acquire(1, "render", NOW)
    assert bench.locks.freeze() == [("render", fence(1))]
    assert bench.locks.acquire(2, "render", NOW) == [] and bench.locks.acquire(3, "backup", NOW) == []
    later = a_view(8, (Held("render", node(0), fence(1)),))
    bench.leases.install(later, NOW, promised_at=NOW - 1)
    assert bench.locks.install(later, NOW) == [LockGranted(3, "backup", fence(1, 8))]
    assert bench.locks.release(1, NOW) == [LockGranted(2, "render", fence(1, 8))]


def test_what_was_released_while_frozen_is_released_in_the_view() -> None:
    bench = Bench()
    bench.locks.acquire(1, "render", NOW)
    bench.locks.freeze()
    assert bench.locks.release(1, NOW) == []
    bench.install(a_view(8, (Held("render", node(0), fence(1)),)))
    assert bench.locks.receive(node(1), "render", [0, 1], NOW) == [Spoke(node(1), "render", [1, 0, [0, 0], []])]


def test_a_view_that_does_not_know_of_a_holder_takes_its_lock() -> None:
    bench = Bench()
    bench.locks.acquire(1, "render", NOW)
    bench.locks.freeze()
    assert bench.install(a_view(8)) == [TicketLost(1, "render", fence(1))]
    assert bench.locks.release(1, NOW) == []


def test_outside_of_the_view_all_is_lost_and_waiters_wait() -> None:
    bench = Bench()
    bench.locks.acquire(1, "render", NOW)
    bench.locks.acquire(2, "render", NOW)
    assert bench.install(None) == [TicketLost(1, "render", fence(1))]
    bench.leases.install(a_view(9), NOW, promised_at=NOW - 1)
    assert bench.locks.install(a_view(9), NOW) == [LockGranted(2, "render", fence(1, 9))]


def test_a_lease_that_has_run_out_loses_all_and_others_are_served() -> None:
    bench = Bench()
    bench.locks.acquire(1, "render", NOW)
    bench.locks.receive(node(1), "render", [0, 1], NOW)
    lost, passed_on = bench.locks.lose(NOW + 5)
    assert lost == TicketLost(1, "render", fence(1))
    assert passed_on == Spoke(node(1), "render", [1, 1, [1, 0], []])
    assert bench.locks.held_count == 0


@pytest.mark.parametrize("counter", [1 << FENCE_BITS, (1 << FENCE_BITS) - 1, -7])
def test_a_counter_that_a_fence_has_no_room_for_is_not_granted_before_a_new_view(counter: int) -> None:
    bench = Bench(1)
    bench.locks.acquire(1, "render", NOW)
    assert bench.locks.receive(node(0), "render", [1, counter, [0, 0], []], NOW) == []
    assert bench.locks.is_full and bench.locks.leased(NOW) == []
    assert bench.locks.freeze() == []
    later = a_view(8)
    bench.leases.install(later, NOW, promised_at=NOW - 1)
    assert bench.locks.install(later, NOW) == [Spoke(node(0), "render", [0, 1])] and not bench.locks.is_full


def test_a_counter_that_nears_the_end_calls_for_a_new_view_in_time() -> None:
    bench = Bench(1)
    bench.locks.acquire(1, "render", NOW)
    high = 1 << (FENCE_BITS - 1)
    granted = bench.locks.receive(node(0), "render", [1, high, [0, 0], []], NOW)
    assert granted == [LockGranted(1, "render", fence(high + 1))] and bench.locks.is_full


def test_an_impatient_ticket_is_refused() -> None:
    bench = Bench(1)
    bench.locks.acquire(1, "render", NOW)
    assert bench.locks.refuse(1, NOW) == [TicketRefused(1, "render")]
    assert bench.locks.refuse(1, NOW) == [] and not bench.locks.is_in_use


@pytest.mark.parametrize("other", [Policy("raymond"), Policy("suzuki-kasami", (("render", "raymond"),))])
def test_a_disagreement_is_told(other: Policy) -> None:
    bench = Bench()
    bench.install(a_view(8, other=other))
    told = Disagreement((node(0), node(1)), ("suzuki-kasami", "raymond"))
    assert bench.locks.acquire(1, "render", NOW) == [TicketRefused(1, "render", told)]
    assert not bench.locks.is_in_use
    assert bench.locks.receive(node(1), "render", ["whatever"], NOW) == []


def test_a_disagreement_comes_with_a_view() -> None:
    bench = Bench(1)
    bench.locks.acquire(1, "render", NOW)
    bench.locks.freeze()
    (refused,) = bench.install(a_view(8, other=Policy("raymond")))
    assert isinstance(refused, TicketRefused) and refused.disagreement is not None


def test_the_report_says_who_holds_and_waits() -> None:
    bench = Bench()
    bench.locks.acquire(1, "render", NOW)
    bench.locks.acquire(2, "render", NOW)
    bench.locks.receive(node(1), "render", [0, 1], NOW)
    (report,) = bench.locks.report(NOW + 2)
    assert (report.lock, report.ticket, report.fence, report.age_s) == ("render", 1, fence(1), 2)
    assert (report.waiting, report.queue) == (1, (node(1),))
