"""Networks of simulated nodes that share variables."""

from __future__ import annotations

from typing import Any

from guthi.testing import World
from guthi_dvar import DVAR, Dvar, DvarPlugin
from guthi_dvar.table import Table

NAMES = ["alice", "bob", "carol", "dave", "erin"]
TRANSPORT = {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}


async def a_network(world: World, names: list[str] = NAMES[:3], **dvar: Any) -> list[Dvar]:
    """Nodes that know one another, and their services."""
    for name in names:
        await a_node(world, name, join=names[: names.index(name)][:1], **dvar)
    await world.until(world.is_connected)
    return [service(world, name) for name in names]


async def a_node(world: World, name: str, join: list[str], *, role: str = "peer", **dvar: Any) -> Dvar:
    """One more node."""
    await world.start(name, plugins=["dvar"], join=join, dvar=dvar, transport=TRANSPORT, node={"role": role})
    return service(world, name)


def service(world: World, name: str) -> Dvar:
    """The service of a node, as it is now."""
    return world.nodes[name].node.require(DVAR)


def table(world: World, name: str) -> Table:
    """The table of a node, as it is now."""
    plugin = next(each for each in world.nodes[name].node.plugins if isinstance(each, DvarPlugin))
    assert plugin.holding is not None
    return plugin.holding.table


def agree(world: World) -> bool:
    """Whether all running nodes know the same."""
    return len({table(world, node.name).fingerprint for node in world.running()}) == 1
