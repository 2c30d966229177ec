"""`guthi call` and `guthi map` as real processes: pipes that stay open, and nodes of a cluster file."""

from __future__ import annotations

import asyncio
import json

from tests.system.test_processes import PATIENCE_S, Guthi, cli, end_of, line_of, pytestmark

__all__ = ["cli", "pytestmark"]

APP = """
import asyncio
from guthi_rpc import RPC

async def main(node):
    node.require(RPC).register(lambda value: 10 // value, name="divide")
    await asyncio.Event().wait()
"""
CLUSTER = """
[node]
listen = "127.0.0.1:0"
main = "app:main"
plugins = ["rpc"]
[[cluster.nodes]]
name = "alice"
[[cluster.nodes]]
name = "bob"
[[cluster.nodes]]
name = "carol"
"""


async def test_from_a_shell(cli: Guthi) -> None:
    cli.write(app_py=APP, cluster_toml=CLUSTER)
    up, table = await cli.up()
    address = table["alice"][0]
    code, out, _ = await cli.done("functions", "--join", address, "--json")
    (found,) = json.loads(out)
    assert (code, found["name"], found["providers"]) == (0, "divide", ["alice", "bob", "carol"])
    assert await cli.done("call", "divide", "5", "--on", "bob", "--join", address) == (0, "2\n", "")

    map_process = await cli.start("map", "divide", "--values", "--join", address)
    assert map_process.stdin is not None
    for line, answer in ((b"5\n", "2"), (b"2\n", "5")):  # an answer comes while the pipe is open
        map_process.stdin.write(line)
        assert (await line_of(map_process)).strip() == answer
    map_process.stdin.write(b"0\n")
    async with asyncio.timeout(PATIENCE_S):  # and a failure ends it, though there might be more lines
        assert await map_process.wait() == 1
    up.terminate()
    await end_of(up)
