"""Networks of simulated nodes that export folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guthi.testing import World
from guthi_gutfs import GUTFS, Gutfs

NAMES = ["alice", "bob", "carol", "dave", "erin"]
TRANSPORT = {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}


async def a_node(
    world: World, name: str, folder: Path, exports: list[str], join: list[str], *, role: str = "peer", **gutfs: Any
) -> Gutfs:
    """One more node; an export "at:words" is a folder of that name below `folder`/`name`."""
    written = []
    for each in exports:
        at, _, words = each.partition(":")
        own = folder / name / at.strip("/").replace("/", "-")
        own.mkdir(parents=True, exist_ok=True)
        written.append(f"{own}:{at}:{words or 'rw'}" if words != "ro" else f"{own}:{at}")
    table = {"exports": written, "tracking": "off", **gutfs}
    await world.start(name, plugins=["gutfs"], join=join, gutfs=table, transport=TRANSPORT, node={"role": role})
    return service(world, name)


async def a_network(world: World, folder: Path, exports: dict[str, list[str]], **gutfs: Any) -> list[Gutfs]:
    """Nodes that know one another and their exports, and their services."""
    names = list(exports)
    for name in names:
        await a_node(world, name, folder, exports[name], names[: names.index(name)][:1], **gutfs)
    await world.until(world.is_connected)
    for name in names:
        await service(world, name).synced()
    await world.until(lambda: all(len(known(world, name)) == len(names) for name in names))
    return [service(world, name) for name in names]


def service(world: World, name: str) -> Gutfs:
    """The service of a node, as it is now."""
    return world.nodes[name].node.require(GUTFS)


def known(world: World, name: str) -> list[Any]:
    """Whose announcements a node has."""
    return service(world, name)._announcing.catalogue.all


def folder_of(folder: Path, name: str, at: str) -> Path:
    """Where on the disk an export is."""
    return folder / name / at.strip("/").replace("/", "-")
