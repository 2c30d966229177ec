"""Whole nodes in bad worlds: nothing that was acknowledged is lost, and in the end all nodes see the same tree.

The worlds lose, double and reorder datagrams, crash nodes and restart them with their disks, cut and clog links. For
more: `pytest tests/plugins/gutfs/test_worlds.py --guthi-seeds 500`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.gutfs.network import NAMES, TRANSPORT, service

import guthi
from guthi.testing import Link, PowerLost, World, simulated
from guthi_gutfs import GUTFS, FileChanged, Gutfs, NotFound, SourceGone
from guthi_gutfs.errors import AmbiguousName, PermissionDenied
from guthi_gutfs.tree.remote import TIMEOUT_S

ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)
PASSING = (guthi.PeerLost, guthi.DeadlineExceeded, SourceGone, FileChanged, PowerLost, guthi.NodeClosed, TimeoutError)
OWNERS = NAMES[:3]


async def a_network(world: World, folder: Path) -> None:
    """Three nodes that export a folder each, and two that do not, all with disks."""
    for name in NAMES:
        own = folder / name
        own.mkdir()
        exports = [f"{own}:/{name}:rw"] if name in OWNERS else []
        table = {"exports": exports, "tracking": "off", "check_interval": "2s", "sync_interval": "2s"}
        await world.start(
            name,
            plugins=["gutfs"],
            join=[] if name == "alice" else ["alice"],
            gutfs=table,
            transport=TRANSPORT,
            disk=True,
        )
    await world.until(world.is_connected)
    for name in NAMES:
        await service(world, name).synced()


class Ledger:
    """What may be in each file: the last acknowledged write, or one that was begun since and not answered."""

    def __init__(self) -> None:
        self.may_be: dict[str, set[bytes | None]] = {}

    async def write(self, fs: Gutfs, path: str, data: bytes) -> None:
        self.may_be.setdefault(path, {None}).add(data)
        await fs.write(path, data)
        self.may_be[path] = {data}

    async def delete(self, fs: Gutfs, path: str) -> None:
        self.may_be.setdefault(path, {None}).add(None)
        await fs.delete(path)
        self.may_be[path] = {None}


async def one_deed(world: World, ledger: Ledger, busy: set[str]) -> None:
    """A node writes, deletes or reads a file; one writer a file at a time, so that the ledger knows the order."""
    machine = world.random.choice(world.running())
    path = f"/{world.random.choice(OWNERS)}/{world.random.randrange(4)}"
    if path in busy:
        return
    busy.add(path)
    data = f"{machine.name} at {world.now:.3f}".encode() * world.random.choice([1, 1, 2000])
    deed = world.random.choice(["write", "write", "delete", "read"])

    async def do(node: guthi.Node) -> None:
        fs = node.require(GUTFS)
        async with asyncio.timeout(10):
            await fs.synced()
        if deed == "write":
            await ledger.write(fs, path, data)
        elif deed == "delete":
            await ledger.delete(fs, path)
        else:
            assert await outcome(fs, path) in ledger.may_be.get(path, {None})

    try:
        await machine.run(do)
        busy.discard(path)
    except (NotFound, PermissionDenied):  # gone already; or nobody knows the owner yet
        busy.discard(path)
    except PASSING:
        await world.sleep(TIMEOUT_S + 5)  # what was not answered may still be done, as long as the request lives
        busy.discard(path)


async def outcome(fs: Gutfs, path: str) -> bytes | None:
    try:
        return await fs.read(path)
    except (NotFound, AmbiguousName):
        return None


@pytest.mark.guthi_seeds(8)
@simulated
async def test_no_acknowledged_write_is_lost(world: World, tmp_path: Path) -> None:
    world.network.set_link(ROUGH)
    await a_network(world, tmp_path)
    ledger, busy = Ledger(), set[str]()
    faults: asyncio.Future[Any] = world.swarm(15.0)
    under_way: set[asyncio.Task[None]] = set()
    while not faults.done():
        if world.running():
            under_way.add(world.background(one_deed(world, ledger, busy)))
        await world.sleep(world.random.uniform(0.01, 0.2))
    await faults
    await asyncio.wait(under_way)
    await world.until(lambda: len(world.running()) == len(NAMES) and world.is_connected(), within=60)
    await world.sleep(10.0)
    for path, may_be in sorted(ledger.may_be.items()):
        seen = [await outcome(service(world, name), path) for name in NAMES]
        assert all(each == seen[0] for each in seen), f"{path}: {seen!r:.300}"
        assert seen[0] in may_be, f"{path} is {seen[0]!r:.60}, which is none of {may_be!r:.200}"
    trees = [[each.path async for each in service(world, name).walk("/")] for name in NAMES]
    assert all(each == trees[0] for each in trees)
