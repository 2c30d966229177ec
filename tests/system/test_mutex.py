"""Locks between real processes: a holder that is killed, one that is stopped for longer than its lease."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from tests.system.test_processes import Guthi, a_client, cli, end_of, pytestmark

import guthi

__all__ = ["cli", "pytestmark"]

LEASE_S = 2.0  # so long a node may be kept waiting by a busy machine without losing its lock
PATIENCE_S = 60.0
APP = """
import asyncio
from guthi_mutex import MUTEX, LockLost

async def main(node):
    mutex, grants = node.require(MUTEX), {}

    async def acquire(incoming):
        grant = grants[incoming.value] = await mutex.acquire(incoming.value)
        return grant.fence

    async def release(incoming):
        try:
            await mutex.release(grants.pop(incoming.value))
        except LockLost:
            return "lost"
        return "released"

    node.handle("acquire", acquire)
    node.handle("release", release)
    node.handle("valid", lambda incoming: grants[incoming.value].is_valid)
    await asyncio.Event().wait()
"""


def cluster(algorithm: str) -> str:
    """Three nodes that find out about deaths by `swim`."""
    return (
        '[node]\nlisten = "127.0.0.1:0"\nmain = "app:main"\nplugins = ["health", "mutex"]\n'
        f'[plugins.mutex]\nlease = "{LEASE_S}s"\nalgorithm = "{algorithm}"\n'
        '[plugins.health]\ndetector = "swim"\ninterval = "800ms"\ntimeout = "600ms"\n'
    ) + "".join(f'[[cluster.nodes]]\nname = "{name}"\n' for name in ("alice", "bob", "carol"))


async def ask(client: guthi.Node, name: str, topic: str) -> Any:
    return await client.request(name, topic, "render", timeout_s=PATIENCE_S)


@pytest.mark.parametrize("algorithm", ["suzuki-kasami", "maekawa"])
async def test_a_holder_that_is_killed_is_followed_by_another(cli: Guthi, algorithm: str) -> None:
    cli.write(app_py=APP, cluster_toml=cluster(algorithm))
    up, table = await cli.up()
    async with a_client(table["alice"][0]) as client:
        before = await ask(client, "bob", "acquire")
        waiting = asyncio.create_task(ask(client, "carol", "acquire"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        os.kill(table["bob"][1], signal.SIGKILL)
        assert await waiting > before
        assert await ask(client, "carol", "release") == "released"
        assert await ask(client, "alice", "acquire") > before
    up.terminate()
    await end_of(up)


async def test_a_holder_that_is_stopped_for_longer_than_its_lease_has_lost_it(cli: Guthi) -> None:
    cli.write(app_py=APP, cluster_toml=cluster("suzuki-kasami"))
    up, table = await cli.up()
    async with a_client(table["alice"][0]) as client:
        before = await ask(client, "bob", "acquire")
        os.kill(table["bob"][1], signal.SIGSTOP)
        assert await ask(client, "carol", "acquire") > before
        os.kill(table["bob"][1], signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_S):  # bob had been given up, and comes back
            while client.member("bob").state is not guthi.MemberState.ALIVE:
                await asyncio.sleep(0.05)
        assert not await ask(client, "bob", "valid")
        assert await ask(client, "carol", "valid")
        assert await ask(client, "bob", "release") == "lost"
        again = asyncio.create_task(ask(client, "bob", "acquire"))
        assert await ask(client, "carol", "release") == "released"
        assert await again > before
    up.terminate()
    await end_of(up)
