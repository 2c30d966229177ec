"""Replicas on real disks and sockets: what other programs write is on the other node soon, also when that is killed."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

import guthi
from guthi_gutfs import GUTFS, Version

AT = "/shared"
PATIENCE_S = 90.0


def settings(folder: Path, name: str, *join: str) -> guthi.Config:
    """A node with a replica, and what it needs to be the same node after a restart."""
    (folder / name).mkdir(exist_ok=True)
    node = {"name": name, "plugins": ["gutfs"], "join": list(join), "data_dir": str(folder / f"{name} data")}
    gutfs = {"exports": [f"{folder / name}:{AT}:sync"], "sync_interval": "1h"}  # nothing comes but what is told
    return guthi.Config.from_mapping({"node": node, "plugins": {"gutfs": gutfs}}, environment={})


def there(folder: Path) -> dict[str, bytes]:
    """The files of a folder; drafts are none."""
    found = {}
    for each in sorted(folder.rglob("*")):
        try:
            if each.is_file() and not each.name.startswith(".gutfs-"):
                found[str(each.relative_to(folder))] = each.read_bytes()
        except FileNotFoundError:
            continue  # it has just got its name
    return found


async def both_have(folder: Path, expected: dict[str, bytes]) -> None:
    """Wait until both have it, with patience for a machine that is busy with other things."""
    async with asyncio.timeout(PATIENCE_S):
        while not there(folder / "alice") == there(folder / "bob") == expected:
            await asyncio.sleep(0.01)


async def version(node: guthi.Node, path: str) -> Version:
    return (await node.require(GUTFS).stat(path)).version


async def test_what_a_program_writes_is_told_to_the_other_node(tmp_path: Path) -> None:
    async with guthi.Node(settings(tmp_path, "alice")) as a, guthi.Node(settings(tmp_path, "bob", str(a.address))) as b:
        await b.require(GUTFS).synced()
        for number in range(5):
            (tmp_path / "alice" / "count").write_text(str(number))
            await both_have(tmp_path, {"count": str(number).encode()})
        path = f"{AT}/count"
        while await version(b, f"/node/bob{path}") != await version(a, f"/node/alice{path}"):
            await asyncio.sleep(0.01)  # it is on bob's disk, and has to be noted yet
        (tmp_path / "bob" / "in").mkdir()
        (tmp_path / "bob" / "count").rename(tmp_path / "bob" / "in" / "number")
        await both_have(tmp_path, {"in/number": b"4"})


BOB = """
import asyncio, sys
from pathlib import Path
import guthi
from tests.plugins.gutfs.test_real_replicas import settings

async def main():
    async with guthi.Node(settings(Path(sys.argv[1]), "bob", sys.argv[2])):
        print("runs", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.system
async def test_a_replica_that_is_killed_again_and_again_has_all_in_the_end(tmp_path: Path) -> None:
    rng, expected = random.Random(20302), {}

    def write(name: str, count: int) -> None:
        for _ in range(count):
            file = f"{name} {len(expected)}"
            expected[file] = rng.randbytes(rng.choice([10, 10_000, 2_000_000]))
            (tmp_path / name / file).write_bytes(expected[file])

    async with guthi.Node(settings(tmp_path, "alice")) as alice:
        for turn in range(3):
            write("alice", 6)
            environment = {"PYTHONPATH": str(Path(__file__).parents[3])}
            call = [sys.executable, "-c", BOB, str(tmp_path), str(alice.address)]
            bob = await asyncio.create_subprocess_exec(*call, stdout=asyncio.subprocess.PIPE, env=environment)
            assert bob.stdout is not None and await bob.stdout.readline() == b"runs\n"
            try:
                if turn == 2:
                    await both_have(tmp_path, expected)
                else:
                    await asyncio.sleep(rng.uniform(0.0, 0.3))
            finally:
                bob.kill()
                await bob.wait()
            if turn < 2:
                write("bob", 3)  # while it does not run
    assert not [each.name for each in (tmp_path / "bob").rglob(".gutfs-*")]
