"""swim: the probe step by step, suspicion and its end, and Lifeguard's mechanisms one by one."""

from __future__ import annotations

from random import Random

import pytest
from tests.figures.crowd import id_of
from tests.plugins.health.stage import ME, ids, member, run

from guthi import MalformedMessage, MemberState
from guthi_health import Accuse, Effect, Note, Ping, Relay, Remind, Swim, SwimSettings
from guthi_health.awareness import Awareness
from guthi_health.confirmations import MOST_IN_A_NOTE, Accusation, Confirmations, from_wire, to_wire
from guthi_health.ring import Ring
from guthi_health.suspicion import Suspicion

SECOND = SwimSettings(interval=1.0, timeout=0.5, suspicion=1.0)


def swim(peers: int, settings: SwimSettings = SECOND) -> Swim:
    machine = Swim(ME, settings, Random(0))
    for number in range(1, peers + 1):
        machine.member(member(number), 0.0)
    return machine


def answering(machine: Swim, *dead: int) -> object:
    """All answer but these; relays reach all but these, and say so."""

    def react(effect: Effect, now: float) -> None:
        if isinstance(effect, Ping) and effect.peer not in ids(*dead):
            machine.answered(effect.peer, effect.number, now)
        if isinstance(effect, Relay) and effect.via not in ids(*dead):
            machine.relayed(effect.via, effect.number, effect.peer not in ids(*dead), now)

    return react


def of(effects: list[tuple[float, Effect]], kind: type[Effect]) -> list[tuple[float, Effect]]:
    return [each for each in effects if isinstance(each[1], kind)]


def test_all_are_probed_in_turn_and_once_a_round() -> None:
    machine = swim(8)
    effects = run(machine, 0.0, 40.0, answering(machine))
    assert {type(effect) for _, effect in effects} == {Ping}
    probed = [effect.peer for _, effect in effects]
    for place in range(0, 32, 8):
        assert sorted(probed[place : place + 8]) == sorted(ids(*range(1, 9)))


def test_the_silent_are_pinged_through_others_then_accused() -> None:
    machine = swim(8)
    effects = run(machine, 0.0, 12.0, answering(machine, 3))
    pinged_at = next(at for at, effect in effects if isinstance(effect, Ping) and effect.peer == id_of(3))
    relays = of(effects, Relay)[:3]
    assert [at - pinged_at for at, _ in relays] == pytest.approx([0.5] * 3)
    assert len({effect.via for _, effect in relays}) == 3
    assert all(effect.via not in (ME, id_of(3)) and effect.patience_s < 0.5 for _, effect in relays)
    at, accusation = of(effects, Accuse)[0]
    assert at - pinged_at == pytest.approx(1.0)
    assert (accusation.peer, accusation.state) == (id_of(3), MemberState.SUSPECT)
    assert accusation.evidence == "no answer within 1 s"
    assert accusation.path.startswith("direct, via n")


def test_an_answer_through_another_is_enough() -> None:
    machine = swim(8)

    def react(effect: Effect, now: float) -> None:
        if isinstance(effect, Relay):
            machine.relayed(effect.via, effect.number, True, now)

    assert not of(run(machine, 0.0, 20.0, react), Accuse)


def test_an_answer_to_an_earlier_probe_is_too_late() -> None:
    machine = swim(1)
    effects = run(machine, 0.0, 5.0, lambda effect, now: machine.answered(id_of(1), effect.number - 1, now)
                  if isinstance(effect, Ping) else None)  # fmt: skip
    assert of(effects, Accuse)


def test_suspicion_ends_in_failure_unless_refuted() -> None:
    machine = swim(3)
    run(machine, 0.0, 10.0, answering(machine))
    machine.member(member(1, MemberState.SUSPECT, accuser=2), 10.0)
    machine.member(member(2, MemberState.SUSPECT, accuser=1), 10.0)
    machine.member(member(2, MemberState.ALIVE, incarnation=1), 11.0)
    verdicts = [
        (at, effect.peer)
        for at, effect in of(run(machine, 10.0, 13.9, answering(machine)), Accuse)
        if effect.state is MemberState.FAILED
    ]
    assert verdicts == [(13.0, id_of(1))]  # four nodes are too few for confirmations: 1.0 * 3 * 1 s


def test_a_newer_suspicion_begins_anew() -> None:
    machine = swim(3)
    run(machine, 0.0, 10.0, answering(machine))
    machine.member(member(1, MemberState.SUSPECT, accuser=2), 10.0)
    run(machine, 10.0, 12.0, answering(machine))
    machine.member(member(1, MemberState.SUSPECT, incarnation=1, accuser=2), 12.0)
    effects = of(run(machine, 12.0, 15.0, answering(machine)), Accuse)
    assert [at for at, _ in effects] == [15.0]


def test_who_is_gone_is_left_alone() -> None:
    machine = swim(3)
    machine.member(member(1, MemberState.SUSPECT, accuser=2), 10.0)
    machine.gone(id_of(1), 11.0)
    effects = run(machine, 11.0, 40.0, answering(machine))
    assert id_of(1) not in {effect.peer for _, effect in effects}
    assert machine.opinion(id_of(1), 40.0) == ""


# ---- Lifeguard


def test_the_node_that_finds_all_silent_doubts_itself() -> None:
    machine = swim(50)
    effects = run(machine, 0.0, 60.0)
    gaps = [later[0] - earlier[0] for earlier, later in zip(of(effects, Ping), of(effects, Ping)[1:], strict=False)]
    assert machine.health == 8
    assert gaps[0] == pytest.approx(1.0) and gaps[-1] == pytest.approx(9.0)
    assert of(effects, Accuse)[-1][1].health == 8
    run(machine, 60.0, 100.0, answering(machine))
    assert machine.health == 0


def test_relays_that_speak_up_acquit_the_node() -> None:
    machine = swim(50)
    dead = range(1, 51)

    def react(effect: Effect, now: float) -> None:
        if isinstance(effect, Relay):
            machine.relayed(effect.via, effect.number, False, now)

    assert len(of(run(machine, 0.0, 20.0, react), Accuse)) > 15
    assert machine.health == 0 and len(dead) == 50


def test_to_refute_lowers_the_trust_in_oneself() -> None:
    machine = swim(5)
    machine.refuted(1.0)
    assert machine.health == 1


def test_confirmations_shorten_a_suspicion() -> None:
    suspicion = Suspicion(0, 100.0, least_s=3.0, most_s=18.0, confirmations=3)
    ends = []
    for accuser in ids(1, 2, 2, 3, 4, 5):
        suspicion.add(accuser)
        ends.append(suspicion.ends_at - 100.0)
    assert ends == pytest.approx([18.0, 10.5, 10.5, 18 - 15 * 0.7924812503605781, 3.0, 3.0])


def test_an_accusation_is_counted_once_and_passed_on() -> None:
    machine = swim(20)
    machine.member(member(1, MemberState.SUSPECT, accuser=2), 10.0)
    wire = to_wire([Accusation(id_of(1), 0, id_of(number)) for number in (2, 3, 4)])
    for _ in range(3):
        machine.noted(id_of(5), wire, 10.0)
    assert machine.opinion(id_of(1), 10.0) == "suspected for 0.0 s by 3, until +8.6 s"
    notes = of(run(machine, 10.0, 20.0, answering(machine)), Note)
    told = [accusation for _, note in notes for accusation in from_wire(note.value)]
    assert {each.accuser for each in told} >= set(ids(3, 4))  # the first accuser is in the record that all have
    assert told.count(Accusation(id_of(1), 0, id_of(3))) == 8  # 4 * ceil(log10(21))


def test_an_accusation_of_what_was_refuted_does_not_count() -> None:
    machine = swim(20)
    machine.member(member(1, MemberState.SUSPECT, incarnation=2, accuser=2), 10.0)
    machine.noted(id_of(5), to_wire([Accusation(id_of(1), 1, id_of(3)), Accusation(id_of(9), 0, id_of(3))]), 10.0)
    assert machine.opinion(id_of(1), 10.0) == "suspected for 0.0 s by 1, until +30.0 s"
    assert machine.opinion(id_of(9), 10.0) == ""


def test_a_suspect_is_reminded_when_it_is_probed() -> None:
    machine = swim(4)
    machine.member(member(1, MemberState.SUSPECT, accuser=2), 0.0)
    effects = [effect for _, effect in run(machine, 0.0, 2.9, answering(machine))]
    ping = next(place for place, effect in enumerate(effects) if isinstance(effect, Ping) and effect.peer == id_of(1))
    assert effects[ping - 1] == Remind(id_of(1))


def test_without_lifeguard_there_is_none_of_it() -> None:
    machine = swim(20, SwimSettings(interval=1.0, timeout=0.5, suspicion=1.0, lifeguard=False))
    machine.member(member(1, MemberState.SUSPECT, accuser=2), 0.0)
    effects = run(machine, 0.0, 20.0)
    assert machine.health == 0
    assert not of(effects, Remind)
    assert (3.0, id_of(1)) in [(at, effect.peer) for at, effect in of(effects, Accuse)]


# ---- its parts


def test_the_score_stays_in_its_bounds() -> None:
    awareness = Awareness(8)
    awareness.note(-1)
    assert (awareness.score, awareness.scaled_s(0.5)) == (0, 0.5)
    awareness.note(100)
    assert (awareness.score, awareness.scaled_s(0.5)) == (8, 4.5)


def test_the_ring_takes_everybody_once_while_some_come_and_go() -> None:
    ring = Ring(Random(4))
    assert ring.take() is None
    for peer in ids(*range(10)):
        ring.add(peer)
    taken = [ring.take() for _ in range(5)]
    gone = next(peer for peer in ids(*range(10)) if peer not in taken)
    ring.remove(gone)
    ring.add(id_of(77))
    taken += [ring.take() for _ in range(4)]
    assert len(set(taken)) == 9 and gone not in taken
    assert len(ring.some(20, but=id_of(77))) == 9 and id_of(77) not in ring.some(20, but=id_of(77))


def test_what_waits_to_be_told_is_bounded() -> None:
    confirmations = Confirmations()
    for number in range(5000):
        confirmations.add(Accusation(id_of(1), number, id_of(2)), 10, 0.0)
    assert len(confirmations.take()) == MOST_IN_A_NOTE
    confirmations.forget(id_of(1))
    assert confirmations.take() == []
    confirmations.round_done(1.0)
    assert confirmations.round_at is None


@pytest.mark.parametrize("wire", [None, [[b"", 0, b""]], [[bytes(16), "0", bytes(16)]], [[]] * 17, [7]])
def test_a_bad_note_is_refused(wire: object) -> None:
    with pytest.raises(MalformedMessage):
        from_wire(wire)


def test_a_node_that_was_stopped_itself_asks_the_relays_and_waits_for_them() -> None:
    machine = swim(4)
    run(machine, 0.0, 5.0, answering(machine))
    machine.on_deadline(machine.deadline or 0.0)  # a ping, and then it is stopped
    woken_at = (machine.deadline or 0.0) + 30.0
    assert {type(effect) for effect in machine.on_deadline(woken_at)} == {Relay}
    assert machine.deadline == woken_at + 0.5


def test_a_node_that_was_stopped_itself_waits_longer_for_a_refutation() -> None:
    machine = swim(4)
    machine.member(member(1, MemberState.SUSPECT, accuser=2), 1.0)
    effects = run(machine, 61.0, 63.0, answering(machine))
    assert of(effects, Accuse) == []
    effects = run(machine, 63.0, 120.0, answering(machine))
    assert {effect.peer for _, effect in of(effects, Accuse)} == set(ids(1))


def test_what_came_while_a_node_was_stopped_is_read_before_it_accuses() -> None:
    """The system has kept what the relays said, but other datagrams may come first."""
    machine = swim(8)
    while not any(isinstance(effect, Relay) for effect in machine.on_deadline(machine.deadline or 0.0)):
        pass
    woken_at = (machine.deadline or 0.0) + 5.0
    effects = run(machine, woken_at, woken_at + 1.0)
    assert of(effects, Accuse)[0][0] - woken_at == pytest.approx(0.5)  # as much as relays have in any case
