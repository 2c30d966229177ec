"""Failure detection between real processes: SIGKILL is noticed, SIGSTOP forgiven, the busy are not accused."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest
from tests.system.test_processes import Guthi, a_client, cli, end_of, pytestmark

import guthi
from guthi.membership.members import MemberState

__all__ = ["cli", "pytestmark"]

INTERVAL_S, TIMEOUT_S = 1.0, 0.9  # who is kept waiting by a busy machine for less than that is not accused
PATIENCE_S = 60.0  # for what has to happen at all; how soon, simulated worlds tell
APP = """
import asyncio, threading

def spin():
    while True:  # pure Python: it holds the interpreter's lock as much as it can
        sum(range(1000))

async def main(node):
    node.handle("echo", lambda incoming: incoming.value)
    node.handle("take", lambda incoming: len(incoming.value))
    node.handle("spin", lambda incoming: threading.Thread(target=spin, daemon=True).start())
    await asyncio.Event().wait()
"""


def cluster(detector: str, interval_s: float, timeout_s: float) -> str:
    """Three nodes that watch one another."""
    text = (
        '[node]\nlisten = "127.0.0.1:0"\nmain = "app:main"\nplugins = ["health"]\n'
        f'[plugins.health]\ndetector = "{detector}"\ninterval = "{interval_s}s"\ntimeout = "{timeout_s}s"\n'
    )
    return text + "".join(f'[[cluster.nodes]]\nname = "{name}"\n' for name in ("alice", "bob", "carol"))


async def state_is(client: guthi.Node, name: str, state: MemberState) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while client.member(name).state is not state:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("detector", ["echo", "swim", "phi-accrual"])
async def test_sigkill_is_noticed(cli: Guthi, detector: str) -> None:
    cli.write(app_py=APP, cluster_toml=cluster(detector, INTERVAL_S, TIMEOUT_S))
    up, table = await cli.up()
    async with a_client(table["alice"][0]) as client:
        await asyncio.sleep(2 * INTERVAL_S)
        os.kill(table["bob"][1], signal.SIGKILL)
        await state_is(client, "bob", MemberState.FAILED)
        verdict = client.member("bob").verdict
        assert verdict is not None
        assert verdict.accuser in (client.member("alice").id, client.member("carol").id)
        code, out, _ = await cli.done("health", "--join", table["alice"][0], "--node", "alice", "--json")
        rows = {row["name"]: row for row in json.loads(out)}
        assert code == 0 and rows["bob"]["state"] == "failed" and rows["carol"]["rtt_s"] is not None
    up.terminate()
    await end_of(up)


async def test_sigstop_for_less_than_the_timeout_raises_no_verdict(cli: Guthi) -> None:
    cli.write(app_py=APP, cluster_toml=cluster("echo", 3.0, 3.0))
    up, table = await cli.up()
    async with a_client(table["alice"][0]) as client:
        seen: list[str] = []

        class Listener:
            @guthi.hookimpl
            def member_failed(self, member: guthi.Member) -> None:
                seen.append(member.name)

        client.hooks.register(Listener(), "listener")
        for _ in range(2):
            os.kill(table["bob"][1], signal.SIGSTOP)
            await asyncio.sleep(1.2)
            os.kill(table["bob"][1], signal.SIGCONT)
            await asyncio.sleep(1.5)
        assert seen == []
        assert {member.name for member in client.members} == {"alice", "bob", "carol"}
    up.terminate()
    assert (await end_of(up))[0] == 0


@pytest.mark.parametrize("detector", ["echo", "swim", "phi-accrual"])
async def test_sigstop_for_longer_is_a_death_that_is_taken_back(cli: Guthi, detector: str) -> None:
    cli.write(app_py=APP, cluster_toml=cluster(detector, INTERVAL_S, TIMEOUT_S))
    up, table = await cli.up()
    async with a_client(table["alice"][0]) as client:
        seen: list[str] = []

        class Listener:
            @guthi.hookimpl
            def member_failed(self, member: guthi.Member) -> None:
                seen.append(member.name)

        client.hooks.register(Listener(), "listener")
        await asyncio.sleep(2 * INTERVAL_S)
        os.kill(table["bob"][1], signal.SIGSTOP)
        await state_is(client, "bob", MemberState.FAILED)
        os.kill(table["bob"][1], signal.SIGCONT)
        await state_is(client, "bob", MemberState.ALIVE)
        await asyncio.sleep(2 * INTERVAL_S)
        assert seen == ["bob"]  # who accuses nobody for what it slept through
    up.terminate()
    assert (await end_of(up))[0] == 0


async def test_heartbeats_wait_for_neither_user_code_nor_bulk_transfer(cli: Guthi) -> None:
    cli.write(app_py=APP, cluster_toml=cluster("echo", 3.0, 3.0))
    up, table = await cli.up()
    async with a_client(table["alice"][0]) as client:
        for name in ("alice", "bob"):
            await client.request(name, "spin", None)
        loop = asyncio.get_running_loop()
        bulk, end = bytes(16 << 20), loop.time() + 6.0
        sent = 0
        while loop.time() < end:
            sent += await client.request("bob", "take", bulk, timeout_s=30)
            states = {member.name: member.state for member in client.members}
            assert states == dict.fromkeys(("alice", "bob", "carol"), MemberState.ALIVE)
        assert sent >= len(bulk)
    up.terminate()
    assert (await end_of(up))[0] == 0
