"""What the cable does to frames: nothing, until it is told."""

from __future__ import annotations

from random import Random

from tests.chaos.cable import Cable, Condition

ALICE, OTHERS = frozenset({"alice"}), frozenset({"bob", "carol"})


def test_a_cut_is_one_way_and_ends() -> None:
    cable = Cable(Random(1))
    cut = Condition(ALICE, OTHERS, loss=1.0)
    cable.impose(cut)
    assert cable.delay_s("alice", "bob") is None
    assert cable.delay_s("bob", "alice") == cable.delay_s("bob", "carol") == 0.0
    cable.lift(cut)
    assert cable.delay_s("alice", "bob") == 0.0


def test_conditions_add_up() -> None:
    cable = Cable(Random(1))
    cable.impose(Condition(ALICE, OTHERS, delay_s=0.1))
    cable.impose(Condition(ALICE, OTHERS, delay_s=0.2, jitter_s=0.05))
    delays = [cable.delay_s("alice", "bob") for _ in range(200)]
    assert all(each is not None and 0.3 <= each <= 0.35 for each in delays) and len(set(delays)) > 100


def test_loss_is_as_great_as_it_says() -> None:
    cable = Cable(Random(1))
    cable.impose(Condition(ALICE, OTHERS, loss=0.2))
    lost = sum(cable.delay_s("alice", "bob") is None for _ in range(10_000))
    assert 1_800 < lost < 2_200
