"""The tree as a folder: what FUSE calls is done, its errors are the system's; and mounted, where the system can."""

from __future__ import annotations

import ctypes.util
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import guthi
from guthi_gutfs import GUTFS
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.faces.mount import MountedTree, mount

PATIENCE_S = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[guthi.BlockingNode]:
    """A peer that exports a writable folder at /p."""
    (tmp_path / "exported").mkdir()
    table = {"exports": [f"{tmp_path / 'exported'}:/p:rw"], "tracking": "off"}
    config = {"node": {"name": "server", "plugins": ["gutfs"]}, "plugins": {"gutfs": table}}
    with guthi.BlockingNode(guthi.Config.from_mapping(config, environment={})) as node:
        yield node


def test_what_the_system_asks_for_is_done(server: guthi.BlockingNode) -> None:
    fs, tree = server.require(GUTFS), MountedTree(server.require(GUTFS))
    tree("mkdir", "/p/x", 0o755)
    handle = tree("create", "/p/x/a", 0o644)
    assert tree("write", "/p/x/a", b"hello world", 0, handle) == 11
    tree("write", "/p/x/a", b"W", 6, handle)
    assert tree("getattr", "/p/x/a")["st_size"] == 11 and fs.read("/p/x/a") == b""
    tree("flush", "/p/x/a", handle)
    tree("release", "/p/x/a", handle)
    assert fs.read("/p/x/a") == b"hello World"
    handle = tree("open", "/p/x/a", os.O_RDWR)
    assert tree("read", "/p/x/a", 5, 6, handle) == b"World"
    tree("write", "/p/x/a", b"!", 11, handle)
    tree("fsync", "/p/x/a", False, handle)
    tree("release", "/p/x/a", handle)
    tree("truncate", "/p/x/a", 5)
    assert fs.read("/p/x/a") == b"hello"
    tree("rename", "/p/x/a", "/p/b")
    assert tree("readdir", "/p", 0) == [".", "..", "b", "x"]
    tree("rmdir", "/p/x")
    tree("unlink", "/p/b")
    assert tree("readdir", "/p", 0) == [".", ".."]
    assert tree("statfs", "/")["f_namemax"] == 255


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (("getattr", "/p/none"), errno.ENOENT),
        (("create", "/nowhere/a", 0o644), errno.EACCES),
        (("mkdir", "/p/x", 0o755), errno.EEXIST),
        (("rmdir", "/p/x"), errno.ENOTEMPTY),
        (("symlink", "/p/a", "/p/b"), errno.ENOSYS),
        (("_add", "/p/a"), errno.ENOSYS),
    ],
)
def test_errors_are_the_systems(server: guthi.BlockingNode, call: tuple[Any, ...], number: int) -> None:
    server.require(GUTFS).mkdir("/p/x")
    server.require(GUTFS).write("/p/x/a", b"x")
    with pytest.raises(OSError) as raised:
        MountedTree(server.require(GUTFS))(*call)
    assert raised.value.errno == number


@pytest.mark.parametrize(("error", "mend"), [(ImportError("fuse"), "pip install"), (OSError("libfuse"), "apt install")])
def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, mend: str) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "fuse":
                raise error

    monkeypatch.delitem(sys.modules, "fuse", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(guthi.ConfigError, match=mend):
        mount(None, tmp_path)


def can_mount() -> bool:
    has_tools = ctypes.util.find_library("fuse") is not None and shutil.which("fusermount") is not None
    return has_tools and os.access("/dev/fuse", os.R_OK | os.W_OK)


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.skipif(not can_mount(), reason="this system has no libfuse 2, or no /dev/fuse")
def test_programs_use_it_as_a_folder(server: guthi.BlockingNode, tmp_path: Path) -> None:
    pytest.importorskip("fuse")
    folder = tmp_path / "mounted"
    folder.mkdir()
    call = [sys.executable, "-m", "guthi", "fs", "mount", str(folder), "--join", str(server.address)]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: os.path.ismount(folder) or process.poll() is not None)
            if not os.path.ismount(folder):
                pytest.skip(f"this system lets nobody mount: {process.communicate()[1]}")
            data = os.urandom(3 * CHUNK_BYTES + 7)
            (folder / "p" / "large").write_bytes(data)
            assert server.require(GUTFS).read("/p/large") == data
            assert (folder / "p" / "large").read_bytes() == data
            server.require(GUTFS).write("/p/large", b"changed")
            eventually(lambda: (folder / "node" / "server" / "p" / "large").read_bytes() == b"changed")
            shutil.copy(folder / "p/large", folder / "p/copy")
            assert sorted(os.listdir(folder / "p")) == ["copy", "large"]
            os.remove(folder / "p" / "large")
            assert not (folder / "p" / "large").exists()
        finally:
            subprocess.run(["fusermount", "-u", str(folder)], check=False)
            process.terminate()
