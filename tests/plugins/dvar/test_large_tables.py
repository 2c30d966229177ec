"""Many names: what must not be done with all of them at once."""

from __future__ import annotations

from difflib import get_close_matches

import pytest
from tests.plugins.dvar.network import NAMES, a_network, a_node, service, table

from guthi.testing import World, simulated
from guthi_dvar import UnknownVariable, finding, records, syncing
from guthi_dvar.kinds import kind_of
from guthi_dvar.records import Declaration


@simulated
async def test_a_large_table_is_told_in_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_network(world, NAMES[:1])
    kind = kind_of(0)
    for number in range(300):
        table(world, "alice").declare(f"v{number}", Declaration(kind))
    monkeypatch.setattr(records, "MOST_RECORDS", 100)  # what a node takes in one message
    monkeypatch.setattr(syncing, "MOST_NAMES", 100)
    bob = await a_node(world, "bob", ["alice"])
    await bob.synced()
    assert len(bob.names()) == 300


def test_a_portion_is_not_more_than_a_node_takes() -> None:
    assert syncing.MOST_NAMES <= records.MOST_RECORDS


@simulated
async def test_of_many_names_only_the_nearest_are_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_network(world, NAMES[:1])
    for number in range(2000):
        table(world, "alice").declare(f"room-{number:04}", Declaration(kind_of(0)))
    compared: list[int] = []

    def counted(word: str, possibilities: list[str], n: int) -> list[str]:
        compared.append(len(possibilities))
        return get_close_matches(word, possibilities, n)

    monkeypatch.setattr(finding, "get_close_matches", counted)
    with pytest.raises(UnknownVariable, match="did you mean 'room-1000'"):
        await service(world, "alice").get("room-1000x")
    assert compared == [200]
