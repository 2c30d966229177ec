"""phi-accrual: the arithmetic against the normal distribution, and verdicts that adapt themselves to the peer."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.figures.crowd import id_of
from tests.plugins.health.stage import ME, member, run

from guthi import MemberState
from guthi_health import Accuse, Effect, PhiAccrual, PhiSettings, Ping, Remind
from guthi_health.arrivals import Arrivals


def normal(mean_s: float, deviation_s: float, count: int = 1000) -> Arrivals:
    arrivals = Arrivals(count, mean_s, 0.0, 1e-6)
    random = Random(1)
    for _ in range(count):
        arrivals.add(random.gauss(mean_s, deviation_s))
    return arrivals


@pytest.mark.parametrize("deviations", [-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
def test_phi_is_the_logarithm_of_the_chance_of_a_later_answer(deviations: float) -> None:
    arrivals = normal(1.0, 0.1)
    later = math.erfc(deviations / math.sqrt(2)) / 2
    phi = arrivals.phi(arrivals.mean_s + deviations * arrivals.deviation_s)
    assert 10**-phi == pytest.approx(later, abs=2e-4)


@given(st.floats(0.5, 100.0), st.floats(0.001, 10.0), st.floats(0.0, 1.0))
def test_the_moment_of_a_phi_is_the_inverse(phi: float, mean_s: float, spread: float) -> None:
    arrivals = normal(mean_s, mean_s * spread, 50)
    assert arrivals.phi(arrivals.silence_s(phi)) == pytest.approx(phi, rel=1e-6)


def test_a_window_forgets_and_stays_exact() -> None:
    arrivals = Arrivals(3, 1.0, 0.0, 1e-9)
    for gap_s in [100.0] * 50 + [1.0, 2.0, 3.0]:
        arrivals.add(gap_s)
    assert arrivals.mean_s == pytest.approx(2.0)
    assert arrivals.deviation_s == pytest.approx(math.sqrt(2 / 3))


def machine(**settings: float) -> PhiAccrual:
    made = PhiAccrual(ME, PhiSettings(**settings), Random(0))  # type: ignore[arg-type]
    made.member(member(1), 0.0)
    return made


def verdicts_after(phi: PhiAccrual, delays: Random, spread_s: float, died_at: float) -> list[tuple[float, Accuse]]:
    """Let the peer answer each ping after a random delay up to its death."""

    def react(effect: Effect, now: float) -> None:
        if isinstance(effect, Ping) and now < died_at:
            phi.answered(effect.peer, effect.number, now + spread_s * delays.random())

    effects = run(phi, 0.0, died_at + 60.0, react)
    return [(at, effect) for at, effect in effects if isinstance(effect, Accuse)]


def test_the_dead_are_suspected_then_given_up_with_the_evidence() -> None:
    verdicts = verdicts_after(machine(), Random(2), 0.01, 100.0)
    (suspected_at, suspicion), (failed_at, failure), *again = verdicts
    assert 103.0 < suspected_at < 106.0
    assert failed_at == pytest.approx(suspected_at + 5.0)
    assert (suspicion.state, failure.state) == (MemberState.SUSPECT, MemberState.FAILED)
    assert suspicion.evidence.startswith("silent for ") and suspicion.evidence.endswith("phi 8.0")
    assert all(verdict.state is MemberState.FAILED for _, verdict in again)


def test_who_answers_unevenly_is_given_more_time() -> None:
    even = verdicts_after(machine(pause=0), Random(3), 0.01, 200.0)[0][0]
    uneven = verdicts_after(machine(pause=0), Random(3), 0.95, 200.0)
    assert uneven[0][0] > 200.0  # it was not suspected while it lived
    assert uneven[0][0] - 200.0 > even - 200.0 + 0.5


def test_a_suspected_peer_that_answers_is_reminded_and_trusted() -> None:
    phi = machine()
    pings = [effect for _, effect in run(phi, 0.0, 8.0) if isinstance(effect, Ping)]
    assert phi.answered(id_of(1), pings[-1].number, 8.0) == (Remind(id_of(1)),)
    assert phi.answered(id_of(1), pings[-2].number, 8.1) == ()  # overtaken
    assert phi.opinion(id_of(1), 8.2) == "phi 0.0"


def test_who_is_gone_is_forgotten() -> None:
    phi = machine()
    phi.gone(id_of(1), 1.0)
    assert phi.deadline is None and phi.opinion(id_of(1), 2.0) == ""


def test_a_node_that_was_stopped_itself_suspects_nobody_for_it() -> None:
    machine = PhiAccrual(ME, PhiSettings(), Random(0))
    for number in (1, 2, 3):
        machine.member(member(number), 0.0)

    def answer(effect: Effect, now: float) -> None:
        if isinstance(effect, Ping):
            machine.answered(effect.peer, effect.number, now)

    run(machine, 0.0, 30.0, answer)
    effects = run(machine, 90.0, 120.0, answer)
    assert {type(effect) for _, effect in effects} == {Ping}
    assert all(machine.opinion(id_of(number), 90.0) == "phi 0.0" for number in (1, 2, 3))
    machine.gone(id_of(1), 120.0)
    silent = run(machine, 120.0, 140.0, lambda effect, now: effect.peer == id_of(2) and answer(effect, now))
    assert {effect.peer for _, effect in silent if isinstance(effect, Accuse)} == {id_of(3)}
