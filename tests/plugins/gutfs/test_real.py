"""On real sockets: the commands, the blocking face, 10,000 files in one round trip, a file larger than the cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import guthi
from guthi_gutfs import GUTFS, FileChange, NotFound, command
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.serving.answering import DO


def settings(name: str, exports: list[str], *join: str, **gutfs: Any) -> guthi.Config:
    node = {"name": name, "plugins": ["gutfs"], "join": list(join)}
    table = {"exports": exports, "tracking": "off", **gutfs}
    return guthi.Config.from_mapping({"node": node, "plugins": {"gutfs": table}}, environment={})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[guthi.BlockingNode]:
    """A peer that exports a writable folder at /p."""
    (tmp_path / "exported").mkdir()
    with guthi.BlockingNode(settings("server", [f"{tmp_path / 'exported'}:/p:rw"])) as node:
        yield node


def ran(server: guthi.BlockingNode, *words: str) -> Result:
    return CliRunner().invoke(command.fs, [*words, "--join", str(server.address)], catch_exceptions=True)


def told(server: guthi.BlockingNode, *words: str) -> str:
    result = ran(server, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands(server: guthi.BlockingNode, tmp_path: Path) -> None:
    (tmp_path / "cat.txt").write_bytes(b"miaow\n")
    told(server, "mkdir", "/p/x/y", "--parents")
    told(server, "put", str(tmp_path / "cat.txt"), "/p/x")
    assert told(server, "cat", "/p/x/cat.txt") == "miaow\n"
    told(server, "mv", "/p/x/cat.txt", "/p/dog.txt")
    listed = json.loads(told(server, "ls", "/p", "--json"))
    assert [(each["path"], each["kind"], each["size"]) for each in listed] == [
        ("/p/dog.txt", "file", 6),
        ("/p/x", "folder", 0),
    ]
    assert "dog.txt" in told(server, "ls", "/p") and "6 B" in told(server, "ls", "/p/dog.txt")
    assert told(server, "tree", "/p").splitlines() == ["/p", "dog.txt  6 B  [server]", "x/", "    y/"]
    told(server, "get", "/p/dog.txt", str(tmp_path / "dog.txt"))
    assert (tmp_path / "dog.txt").read_bytes() == b"miaow\n"
    told(server, "rm", "/p/x", "--recursive")
    assert [each["path"] for each in json.loads(told(server, "tree", "/p", "--json"))] == ["/p/dog.txt"]
    assert json.loads(told(server, "nodes", "--json"))[0]["exports"] == {"/p": "rw"}
    assert json.loads(told(server, "cache", "--json"))[0]["name"] == "server"
    assert "/p (rw)" in told(server, "nodes") and "server" in told(server, "cache")


def test_conflicts_are_listed_and_decided(server: guthi.BlockingNode) -> None:
    fs = server.require(GUTFS)
    base = fs.write("/p/a.txt", b"first").entry.version
    fs.write("/p/a.txt", b"second", base=base)
    copy = fs.write("/p/a.txt", b"third", base=base).conflict.path
    (listed,) = json.loads(told(server, "conflicts", "--json"))
    assert (listed["path"], listed["copy"], listed["nodes"]) == ("/p/a.txt", copy, ["server"])
    assert copy in told(server, "conflicts", "/p")
    told(server, "resolve", copy, "--keep", "copy")
    assert json.loads(told(server, "conflicts", "--json")) == [] and fs.read("/p/a.txt") == b"third"


def test_what_is_wrong_is_told(server: guthi.BlockingNode, tmp_path: Path) -> None:
    missing = ran(server, "cat", "/p/none")
    assert isinstance(missing.exception, NotFound)  # one line and exit code 2 by `guthi` itself
    nowhere = ran(server, "get", "/p", str(tmp_path / "no" / "where"))
    assert isinstance(nowhere.exception, guthi.GuthiError)


def test_the_command_watch_prints_each_change(server: guthi.BlockingNode) -> None:
    call = [sys.executable, "-m", "guthi", "fs", "watch", "/p", "--json", "--join", str(server.address)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline() == "watching /p\n"
        server.require(GUTFS).write("/p/a", b"x")
        line = json.loads(process.stdout.readline())
        process.terminate()
    assert (line["kind"], line["path"], line["node"], line["size"]) == ("created", "/p/a", "server", 1)


def test_the_blocking_face(server: guthi.BlockingNode) -> None:
    mine = server.require(GUTFS)
    mine.write("/p/a", b"from the server")
    with guthi.connect(join=[str(server.address)], plugins=["gutfs"]) as client:
        theirs = client.require(GUTFS)
        theirs.synced()
        changes = theirs.watch("/p")
        assert theirs.read("/p/a") == b"from the server"
        assert [each.path for each in theirs.walk("/p")] == ["/p/a"]
        file = theirs.open("/p/a")
        assert file.read(5, 3) == b"the" and file.size() == 15
        with theirs.open("/p/a") as opened:
            assert opened.read(9) == b"server"
        with pytest.raises(NotFound), theirs.open("/p/none"):
            pass
        with theirs.batch() as batch:
            batch.write("/p/b", b"in a batch")
            listed = batch.list("/p")
        assert [each.path for each in listed.value.entries] == ["/p/a", "/p/b"]
        change = next(changes)
        assert isinstance(change, FileChange) and change.path == "/p/b"
        changes.close()
        with pytest.raises(NotFound):
            theirs.read("/p/none")


async def test_ten_thousand_files_are_listed_in_one_round_trip(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05}").touch()
    async with (
        guthi.Node(settings("alice", [f"{tmp_path}:/p"])) as alice,
        guthi.Node(settings("bob", [], str(alice.address))) as bob,
    ):
        handlers = alice.network.requests._serving._handlers
        asked: list[Any] = []
        answer = handlers[DO]

        def noting(incoming: guthi.Incoming) -> Any:
            asked.append(incoming.value)
            return answer(incoming)

        handlers[DO] = noting
        fs = bob.require(GUTFS)
        await fs.synced()
        found = await fs.list("/p")
        assert len(found) == 10_000 and found[17].name == "00017"
        assert len(asked) == 1
        assert len(await fs.list("/p")) == 10_000 and len(asked) == 1


async def test_what_is_larger_than_the_cache_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (12 * CHUNK_BYTES) + b"".join(bytes([n]) * CHUNK_BYTES for n in range(12)))
    small = {"cache_memory": "3 MiB", "cache_disk": "3 MiB"}
    async with (
        guthi.Node(settings("alice", [f"{tmp_path}:/p"])) as alice,
        guthi.Node(settings("bob", [], str(alice.address), **small)) as bob,
    ):
        fs = bob.require(GUTFS)
        await fs.synced()
        for _ in range(2):
            assert await fs.read("/p/large") == (tmp_path / "large").read_bytes()
            assert fs.cache().memory_bytes <= 3 * CHUNK_BYTES and fs.cache().disk_bytes <= 3 * CHUNK_BYTES
