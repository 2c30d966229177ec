"""echo: who answers is left alone, who does not is accused in time, and polls are spread."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from tests.figures.crowd import id_of
from tests.plugins.health.stage import ME, member, run

from guthi import MemberState
from guthi_health import Accuse, Echo, EchoSettings, Effect, Ping


def echo(peers: int = 1, **settings: float) -> Echo:
    machine = Echo(ME, EchoSettings(**settings), Random(0))  # type: ignore[arg-type]
    for number in range(1, peers + 1):
        machine.member(member(number), 100.0)
    return machine


def test_who_answers_is_asked_once_an_interval() -> None:
    machine = echo()
    effects = run(machine, 100.0, 200.0, lambda effect, now: machine.answered(effect.peer, effect.number, now + 0.01))
    assert [type(effect) for _, effect in effects] == [Ping] * 5
    moments = [at for at, _ in effects]
    assert all(abs(later - earlier - 20.0) < 1e-6 for earlier, later in itertools.pairwise(moments))
    assert machine.opinion(id_of(1), 200.0) == ""


@pytest.mark.parametrize("died_at", [100.0, 107.0, 113.5, 119.9])
def test_who_dies_is_accused_within_interval_and_timeout(died_at: float) -> None:
    machine = echo()

    def react(effect: Effect, now: float) -> None:
        if now < died_at and isinstance(effect, Ping):
            machine.answered(effect.peer, effect.number, now)

    effects = run(machine, 100.0, 160.0, react)
    at, accusation = next((at, effect) for at, effect in effects if isinstance(effect, Accuse))
    assert died_at < at <= died_at + 30.0
    assert accusation == Accuse(id_of(1), MemberState.FAILED, "direct", "no echo within 10 s")


def test_an_echo_is_repeated_within_the_timeout_and_any_answer_counts() -> None:
    machine = echo(tries=5)
    heard: list[int] = []

    def react(effect: Effect, now: float) -> None:
        assert isinstance(effect, Ping)
        heard.append(effect.number)
        if len(heard) == 5:
            assert machine.opinion(id_of(1), now) == "4 of 5 unanswered"
            machine.answered(id_of(1), heard[1], now + 0.5)  # late, but of this poll

    effects = run(machine, 100.0, 100.0 + 29.0, react)
    gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(effects)]
    assert gaps[:4] == pytest.approx([2.0] * 4)
    assert not any(isinstance(effect, Accuse) for _, effect in effects)


def test_an_answer_to_an_earlier_poll_does_not_count() -> None:
    machine = echo(interval=10, timeout=10, tries=1)
    first = run(machine, 100.0, 110.0)[0][1]
    assert isinstance(first, Ping)
    accused = run(machine, 110.0, 129.0, lambda effect, now: machine.answered(effect.peer, first.number, now))
    assert any(isinstance(effect, Accuse) for _, effect in accused)


def test_who_is_gone_is_neither_asked_nor_accused() -> None:
    machine = echo()
    run(machine, 100.0, 121.0)
    machine.gone(id_of(1), 121.0)
    assert machine.deadline is None
    assert machine.answered(id_of(1), 1, 122.0) == ()


def test_polls_are_spread_over_the_interval() -> None:
    machine = echo(peers=400)
    effects = run(machine, 100.0, 120.0, lambda effect, now: machine.answered(effect.peer, effect.number, now))
    by_second = [sum(second <= at - 100 < second + 1 for at, _ in effects) for second in range(20)]
    assert sum(by_second) == 400
    assert max(by_second) < 40  # 20 in the mean; a burst would be 400
    assert effects[0] == run(echo(peers=400), 100.0, 120.0)[0]  # the ids alone decide


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"interval": 5, "timeout": 6}, {"tries": 0}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"timeout|tries"):
        EchoSettings(**settings)  # type: ignore[arg-type]


def test_a_node_that_was_stopped_itself_gives_its_peers_time_to_answer() -> None:
    machine = echo(tries=4, timeout=8.0)
    machine.on_deadline(machine.deadline or 0.0)
    woken_at = (machine.deadline or 0.0) + 60.0
    effects = run(machine, woken_at, woken_at + 7.9)
    assert [type(effect) for _, effect in effects] == [Ping] * 3 + [Accuse]
    assert [at - woken_at for at, _ in effects] == pytest.approx([0.0, 2.0, 4.0, 6.0])


def test_what_came_while_a_node_was_stopped_is_read_before_it_accuses() -> None:
    """The system has kept the answer to the last echo, but other datagrams may come first."""
    machine = echo(tries=4, timeout=8.0)
    run(machine, 100.0, 126.0)
    while machine.opinion(id_of(1), 0.0) != "3 of 4 unanswered":
        machine.on_deadline(machine.deadline or 0.0)
    woken_at = (machine.deadline or 0.0) + 5.0
    effects = run(machine, woken_at, woken_at + 2.1)
    assert [type(effect) for _, effect in effects] == [Ping, Accuse]
    assert effects[1][0] - woken_at == pytest.approx(2.0)
