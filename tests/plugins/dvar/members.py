"""Networks of simulated nodes with coherent variables: all run the plugins mutex and dvar."""

from __future__ import annotations

from typing import Any

from tests.plugins.dvar.network import NAMES, TRANSPORT, service

from guthi.testing import World
from guthi_dvar import Dvar
from guthi_mutex import VIEWS, View

PLUGINS = ["mutex", "dvar"]
LEASE_S = 1.0


async def a_member(world: World, name: str, join: list[str] | None = None, **tables: Any) -> Dvar:
    """One more node."""
    join = [each for each in world.nodes if each != name][:1] if join is None else join
    tables = {"mutex": {"lease": f"{LEASE_S:g}s"}, "transport": TRANSPORT, **tables}
    await world.start(name, plugins=PLUGINS, join=join, **tables)
    return service(world, name)


async def a_client(world: World, name: str, **tables: Any) -> Dvar:
    """A node that is in no view."""
    await a_member(world, name, ["alice"], node={"role": "client"}, **tables)
    await world.until(world.is_connected)
    return service(world, name)


async def members(world: World, names: list[str] = NAMES, **tables: Any) -> list[Dvar]:
    """Nodes that know one another, and their services."""
    for name in names:
        await a_member(world, name, names[: names.index(name)][:1], **tables)
    await world.until(world.is_connected)
    return [service(world, name) for name in names]


def view_of(world: World, name: str) -> View | None:
    """The view that a node is in, as it knows."""
    return world.nodes[name].node.require(VIEWS).view
