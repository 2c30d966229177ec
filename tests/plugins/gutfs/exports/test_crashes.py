"""Real processes that write and are killed: the old state or the new one is there, and all that was acknowledged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.plugins.gutfs.local import NODE, local_files

from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.config import ExportTable
from guthi_gutfs.exports.rules import RESERVED
from guthi_gutfs.paths import name_of

KILLS = 12
WORDS = [1, 1, 3, 3, 5, 7, 9, 11, 13, 21]  # an odd one begins a write, an append, ...; the first two take longest
ROOT = Path(__file__).parents[4]

# For each line that it reads, it forks a process that writes without end, and says of each write what it is about to do
# and that it is done. To fork is quicker than to start Python anew.
NURSERY = """
import asyncio, json, os, sys
from pathlib import Path
from tests.plugins.gutfs.local import NODE, local_files
from guthi_gutfs.config import ExportTable

def say(*words):
    os.write(1, (json.dumps(words) + "\\n").encode())

async def main(data, index, first):
    async with local_files([ExportTable(data, "/d", writable=True)], index=index) as files:
        say("ready", os.getpid())
        for number in range(first, first + 100_000):
            whole, line = str(number) * 200_000, str(number % 10) * 3_000_000 + "\\n"
            for act, path, work in [
                ("write", "whole", lambda: files.write("/d/whole", whole.encode(), writer="w")),
                ("append", "log", lambda: files.append("/d/log", line.encode(), writer="w")),
                ("write", f"new {number}", lambda: files.write(f"/d/new {number}", b"new", writer="w")),
                ("rename", f"new {number}", lambda: files.rename(f"/d/new {number}", f"/d/old {number}", writer="w")),
                ("delete", f"old {number}", lambda: files.delete(f"/d/old {number}", writer="w")),
            ]:
                say("begin", act, path, number)
                await work()
                say("done", act, path, number)

for line in sys.stdin:
    data, index, first = json.loads(line)
    child = os.fork()
    if not child:
        asyncio.run(main(Path(data), Path(index), first))
    os.waitpid(child, 0)
    say("killed")
"""

Said = list[list[object]]


@contextmanager
def nursery() -> Iterator[Callable[[Path, Path, int, float], Said]]:
    """Gives a function that lets a writer say so many words, and a little more; kills it; and returns what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", NURSERY], text=True, bufsize=1, env=environment, **pipes) as process:

        def run_and_kill(data: Path, index: Path, first: int, words: int, after_s: float) -> Said:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([str(data), str(index), first]) + "\n")
            word, child = json.loads(process.stdout.readline())
            assert word == "ready"
            said = [process.stdout.readline() for _ in range(words)]
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
            return [json.loads(line) for line in [*said, *iter(process.stdout.readline, '["killed"]\n')]]

        yield run_and_kill


def last(said: Said, word: str, act: str, path: str) -> int:
    """The number of the last act of which the writer said the word; -1 for none."""
    return max(
        (int(str(each[3])) for each in said if each[:2] == [word, act] and str(each[2]).startswith(path)), default=-1
    )


@pytest.mark.system
@pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")
async def test_old_or_new_and_all_that_was_acknowledged(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index.sqlite"
    data.mkdir()
    rng, log, earlier, half_done = random.Random(20301), b"", b"", 0
    with nursery() as run_and_kill:
        for turn in range(KILLS):
            said = run_and_kill(data, index, turn * 1000, rng.choice(WORDS), rng.uniform(0.0, 0.01))
            half_done += (
                any(name.startswith(RESERVED) for name in os.listdir(data))
                or len(content_of(data, "log")) % 3_000_001 > 0
            )
            async with local_files([ExportTable(data, "/d", writable=True)], index=index) as files:
                earlier = the_whole(content_of(data, "whole"), earlier, said)
                log = the_log(content_of(data, "log"), log, said)
                check_names(data, said)
                entries = {name_of(each.path): each.size_bytes for each in (await files.walk("/d"))[1:]}
                assert entries == {name: (data / name).stat().st_size for name in os.listdir(data)}
            for name in sorted(entries.keys() - {"whole", "log"}):
                (data / name).unlink()
    assert half_done > 0  # or else the killing was too gentle


def content_of(data: Path, name: str) -> bytes:
    return (data / name).read_bytes() if (data / name).exists() else b""


def the_whole(content: bytes, before: bytes, said: Said) -> bytes:
    """The file is what was written last, or what was being written."""
    done, begun = last(said, "done", "write", "whole"), last(said, "begin", "write", "whole")
    assert content in (wholes(done) if done >= 0 else before, wholes(begun) if begun >= 0 else before)
    return content


def wholes(number: int) -> bytes:
    return str(number).encode() * 200_000


def the_log(content: bytes, before: bytes, said: Said) -> bytes:
    """The log is what it was, and each line that was acknowledged since, and perhaps the one that was under way."""
    lines = [int(str(each[3])) for each in said if each[:2] == ["done", "append"]]
    under_way = [int(str(each[3])) for each in said if each[:2] == ["begin", "append"]][len(lines) :]
    acknowledged = before + b"".join(line(number) for number in lines)
    assert content in (acknowledged, acknowledged + b"".join(line(number) for number in under_way))
    return content


def line(number: int) -> bytes:
    return str(number % 10).encode() * 3_000_000 + b"\n"


def check_names(data: Path, said: Said) -> None:
    """Each small file is under its new name, its old one, or none, as the writer said."""
    for number in {int(str(each[3])) for each in said}:
        acts = {(str(each[0]), str(each[1])) for each in said if each[3] == number and str(each[2]) != "whole"}
        there = {name for name in ("new", "old") if (data / f"{name} {number}").exists()}
        if ("done", "delete") in acts:
            assert there == set()
        elif ("done", "rename") in acts:
            assert there == {"old"} or (("begin", "delete") in acts and there == set())
        elif ("done", "write") in acts:
            assert there == {"new"} or (("begin", "rename") in acts and there == {"old"})
        for name in there:
            assert (data / f"{name} {number}").read_bytes() == b"new"


def add(file: Path, content: bytes) -> None:
    file.write_bytes(file.read_bytes() + content)


async def test_an_append_that_was_cut_short_is_taken_back(tmp_path: Path) -> None:
    data, index = tmp_path / "data", tmp_path / "index.sqlite"
    data.mkdir()
    exports = [ExportTable(data, "/d", writable=True)]
    async with local_files(exports, index=index) as files:
        for name in ["short", "whole", "grown", "replaced"]:
            await files.write(f"/d/{name}", b"old", writer="bob")
        notes = files._catalogue.index
        for name in ["short", "whole", "grown", "replaced", "gone"]:
            inode = (data / name).stat().st_ino if (data / name).exists() else 1
            notes.append_begins(f"/d/{name}", inode, 3, 3 + CHUNK_BYTES)
    add(data / "short", b"half")
    add(data / "whole", b"x" * CHUNK_BYTES)
    add(data / "grown", b"x" * CHUNK_BYTES + b"by another program")
    (data / "replaced").rename(data / "kept")  # so that no other file gets its inode
    (data / "replaced").write_bytes(b"old, and by another program")
    async with local_files(exports, index=index) as files:
        assert (data / "short").read_bytes() == b"old"
        assert [(await files.stat(f"/d/{name}")).size_bytes for name in ["short", "whole", "grown", "replaced"]] == [
            3,
            3 + CHUNK_BYTES,
            3 + CHUNK_BYTES + 18,
            27,
        ]
        assert files._catalogue.index.appends() == []


async def test_what_was_left_half_done_is_removed_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "in" / f".gutfs-{NODE}-deleted" / "deep").mkdir(parents=True)
    (tmp_path / "in" / f".gutfs-{NODE}-deleted" / "deep" / "a").touch()
    (tmp_path / f".gutfs-{NODE}-draft").touch()
    others = tmp_path / ".gutfs-another-draft"  # of a node that may be running
    others.touch()
    abandoned = tmp_path / ".gutfs-another-abandoned"
    abandoned.touch()
    os.utime(abandoned, (1.0e9, 1.0e9))
    async with local_files([ExportTable(tmp_path, "/d", writable=True)]) as files:
        assert [each.path for each in await files.walk("/d")] == ["/d", "/d/in"]
        assert sorted(each.name for each in tmp_path.rglob("*")) == [others.name, "in"]
