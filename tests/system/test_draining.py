"""SIGTERM to a real node: a call that runs is answered, the next goes to another node, and the leave is announced."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest
from tests.system.test_processes import PATIENCE_S, Guthi, cli, end_of, line_of, pytestmark

import guthi
from guthi import Config
from guthi_rpc import RPC

__all__ = ["cli", "pytestmark"]

APP = """
import asyncio, pathlib
from guthi_rpc import RPC

async def main(node):
    folder = pathlib.Path(__file__).parent

    async def held():  # until the test says so
        (folder / f"{node.name}.runs").touch()
        while not (folder / "go").exists():
            await asyncio.sleep(0.01)
        return node.name

    node.require(RPC).register(held)
    node.require(RPC).register(lambda: node.name, name="name", run="inline")
    await asyncio.Event().wait()
"""
CLUSTER = """
[node]
listen = "127.0.0.1:0"
main = "app:main"
plugins = ["rpc"]
drain = "{drain}"
[[cluster.nodes]]
name = "alice"
[[cluster.nodes]]
name = "bob"
[[cluster.nodes]]
name = "carol"
"""


async def exists(cli: Guthi, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not (cli.folder / name).exists():
            await asyncio.sleep(0.01)


def a_caller(join: str) -> guthi.Node:
    node = {"name": "test", "role": "client", "join": [join], "plugins": ["rpc"]}
    return guthi.Node(Config.from_mapping({"node": node}, environment={}))


def providers(client: guthi.Node, function: str) -> list[str]:
    return [name for each in client.require(RPC).functions() if each.name == function for name in each.providers]


async def providers_are(client: guthi.Node, function: str, names: list[str]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while providers(client, function) != names:
            await asyncio.sleep(0.02)


async def state_is(client: guthi.Node, name: str, state: guthi.MemberState) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while client.member(name).state is not state:
            await asyncio.sleep(0.02)


async def test_sigterm_drains(cli: Guthi) -> None:
    cli.write(app_py=APP, cluster_toml=CLUSTER.format(drain="10m"))
    up, table = await cli.up()
    async with a_caller(table["alice"][0]) as client:
        rpc = client.require(RPC)
        await rpc.available("held", nodes=3, timeout=PATIENCE_S)
        call = rpc.submit("held", on="bob")
        await exists(cli, "bob.runs")
        os.kill(table["bob"][1], signal.SIGTERM)
        await providers_are(client, "name", ["alice", "carol"])
        assert client.member("bob").state is not guthi.MemberState.LEFT  # it is there until it is done
        assert not call.done()
        (cli.folder / "go").touch()
        assert await call == "bob"
        await state_is(client, "bob", guthi.MemberState.LEFT)
        assert await rpc.call("name") in ("alice", "carol")
    up.terminate()
    await end_of(up)


async def test_the_limit_is_kept_and_a_second_signal_waits_for_nothing(cli: Guthi) -> None:
    cli.write(app_py=APP, cluster_toml=CLUSTER.format(drain="100ms"))
    cli.write(long_toml=CLUSTER.format(drain="10m"))
    for file, signals in (("cluster.toml", 1), ("long.toml", 2)):
        bob = await cli.start("run", file, "--node", "bob", "--json")
        async with a_caller(json.loads(await line_of(bob))["address"]) as client:
            call = client.require(RPC).submit("held")
            await exists(cli, "bob.runs")
            (cli.folder / "bob.runs").unlink()
            bob.send_signal(signal.SIGTERM)
            if signals == 2:  # at once they would be one
                await providers_are(client, "held", [])
                bob.send_signal(signal.SIGTERM)
            assert (await end_of(bob))[0] == 0
            with pytest.raises(guthi.PeerLost):
                await call
