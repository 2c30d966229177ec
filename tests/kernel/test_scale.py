"""Many nodes: how soon all know all, what rest costs, and that halves meet again. `make scale` has more."""

from __future__ import annotations

import pytest
from tests.scale.membership import grow, halves, live

from guthi.testing import Link, World


def test_sixty_nodes_from_one_address_know_all_and_a_change_reaches_all() -> None:
    figures = live(60, within_s=2.0, rest_s=15.0)
    assert figures.starting_messages < 500
    assert figures.resting_messages < 0.1
    assert figures.busy_messages < 20.0
    assert 14.0 < figures.change_messages < 16.5
    assert figures.spread_s < 1.5
    assert figures.lossy_spread_s < 2.0


@pytest.mark.parametrize("seed", [1, 2])
def test_so_do_they_on_a_bad_network(seed: int) -> None:
    world = World(seed, link=Link(loss=0.25))
    world.run(lambda world: grow(world, 60, 15.0))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_halves_that_gave_each_other_up_are_soon_one_again(seed: int) -> None:
    found = halves(30, within_s=15.0, seed=seed)
    assert found.gone == 15
    assert found.failed_since == 0
