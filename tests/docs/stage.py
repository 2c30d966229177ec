"""Runs the examples of a page that are fragments: there are two nodes, alice and bob, and names for what they offer.

An example with `await` runs on their loop. Any other is a script without async: then `node` is a client's, and the
address 10.0.0.5:6969 in its text is alice's.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import CodeType
from typing import Any

import guthi
from guthi.security.keyring import ClusterKey
from guthi_gutfs import GUTFS
from guthi_mutex import MUTEX
from guthi_rpc import RPC

PLUGINS = ("rpc", "mutex", "gutfs")
ALICE = "10.0.0.5:6969"


def render(row: int, width: int = 4) -> list[int]:
    """One row of a table."""
    return [row * column for column in range(width)]


def who() -> str:
    """A call that every node answers."""
    return "somebody"


def configuration(name: str, key: str, *join: str) -> guthi.Config:
    for folder in ("notes", "team"):
        Path(name, folder).mkdir(parents=True, exist_ok=True)
    exports = [f"{name}/notes:/notes:rw", f"{name}/team:/team:sync"]
    plugins = {
        "gutfs": {"exports": exports if name == "alice" else exports[1:]},
        "rpc": {"ship_code": True, "processes": 1},  # each of which imports what its example uses
    }
    return guthi.Config.from_mapping(
        {
            "node": {"name": name, "plugins": PLUGINS, "join": join, "listen": "127.0.0.1:0"},
            "security": {"cluster_key": key},
            "plugins": plugins,
        },
        environment={},
    )


async def on_the_loop(codes: Sequence[CodeType], key: str) -> None:
    """The examples are coroutines among the nodes."""
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(guthi.Node(configuration("alice", key)))
        bob = await stack.enter_async_context(guthi.Node(configuration("bob", key, str(alice.address))))
        for node in (alice, bob):
            node.require(RPC).register(render)
            node.require(RPC).register(who)
        rpc, fs = bob.require(RPC), bob.require(GUTFS)
        await rpc.available("render", nodes=2, timeout=60)
        names = {"node": bob, "rpc": rpc, "mutex": bob.require(MUTEX), "fs": fs, "guthi": guthi, "asyncio": asyncio}
        names |= {"call_id": rpc.submit("render", 7).id, "render": lambda: asyncio.sleep(0, render(7))}
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(write_for_ever(fs))
            for code in codes:
                await eval(code, dict(names))
            writing.cancel()


async def write_for_ever(fs: Any) -> None:
    """So that who watches sees something."""
    for number in range(10_000):
        await fs.write("/notes/count.txt", str(number).encode())
        await asyncio.sleep(0.3)


def as_scripts(texts: Mapping[str, str], key: str) -> None:
    """The nodes live in threads of their own; the examples join them."""
    Path("cluster.key").write_text(key + "\n")
    os.environ["GUTHI_CLUSTER_KEY"] = key  # for what cannot be given a file
    with ExitStack() as stack:
        alice = stack.enter_context(guthi.BlockingNode(configuration("alice", key)))
        join = str(alice.address)
        bob = stack.enter_context(guthi.BlockingNode(configuration("bob", key, join)))
        for node in (alice, bob):
            node.require(RPC).register(render)
        alice.require(GUTFS).write("/notes/table.csv", b"a,b\n1,2\n")
        node = stack.enter_context(guthi.connect(join=[join], plugins=PLUGINS, cluster_key=key))
        node.require(RPC).available("render", nodes=2, timeout=60)
        names = {"guthi": guthi, "RPC": RPC, "MUTEX": MUTEX, "node": node, "rpc": node.require(RPC)}
        for file, text in texts.items():
            exec(compile(text.replace(ALICE, join), file, "exec"), dict(names))


def main(files: list[str]) -> None:
    """Run the examples in these files, one after the other, all that have `await` on one network."""
    key = ClusterKey.generate(os.urandom).text()
    texts = {file: Path(file).read_text() for file in files}
    codes = {file: compile(texts[file], file, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT) for file in files}
    awaiting = [code for code in codes.values() if code.co_flags & inspect.CO_COROUTINE]
    if scripts := {file: texts[file] for file, code in codes.items() if code not in awaiting}:
        as_scripts(scripts, key)
    if awaiting:
        asyncio.run(on_the_loop(awaiting, key))


if __name__ == "__main__":
    main(sys.argv[1:])
