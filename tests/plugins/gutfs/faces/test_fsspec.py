"""The fsspec face: its own abstract test suite, and what programs do with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from fsspec.tests.abstract import AbstractFixtures  # type: ignore[import-untyped]
from fsspec.tests.abstract.copy import AbstractCopyTests  # type: ignore[import-untyped]
from fsspec.tests.abstract.get import AbstractGetTests  # type: ignore[import-untyped]
from fsspec.tests.abstract.open import AbstractOpenTests  # type: ignore[import-untyped]
from fsspec.tests.abstract.pipe import AbstractPipeTests  # type: ignore[import-untyped]
from fsspec.tests.abstract.put import AbstractPutTests  # type: ignore[import-untyped]

import guthi
from guthi_gutfs import GUTFS
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.faces.file_system import GutfsFileSystem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guthi.BlockingNode]:
    """A peer that exports a writable folder at /p."""
    folder = tmp_path_factory.mktemp("exported")
    table = {"exports": [f"{folder}:/p:rw"], "tracking": "off"}
    config = {"node": {"name": "server", "plugins": ["gutfs"]}, "plugins": {"gutfs": table}}
    with guthi.BlockingNode(guthi.Config.from_mapping(config, environment={})) as node:
        yield node


@pytest.fixture(scope="module")
def connected(server: guthi.BlockingNode) -> GutfsFileSystem:
    """A file system that has joined."""
    return GutfsFileSystem(join=[str(server.address)])


class GutfsFixtures(AbstractFixtures):  # type: ignore[misc]
    """What the abstract tests need to know."""

    @pytest.fixture
    def fs(self, connected: GutfsFileSystem) -> GutfsFileSystem:
        return connected

    @pytest.fixture
    def fs_path(self, request: pytest.FixtureRequest) -> str:
        return f"/p/{request.node.name.translate(str.maketrans('[]/*?', '_____'))}-{time.monotonic_ns()}"


class TestCopy(AbstractCopyTests, GutfsFixtures):  # type: ignore[misc]
    pass


class TestGet(AbstractGetTests, GutfsFixtures):  # type: ignore[misc]
    pass


class TestPut(AbstractPutTests, GutfsFixtures):  # type: ignore[misc]
    pass


class TestOpen(AbstractOpenTests, GutfsFixtures):  # type: ignore[misc]
    pass


class TestPipe(AbstractPipeTests, GutfsFixtures):  # type: ignore[misc]
    pass


def test_it_is_found_by_its_protocol(server: guthi.BlockingNode) -> None:
    server.require(GUTFS).write("/p/table.csv", b"a,b\n1,2\n3,4\n")
    with fsspec.open("gutfs://p/table.csv", "rt", join=[str(server.address)]) as file:
        assert file.read() == "a,b\n1,2\n3,4\n"
    assert fsspec.get_filesystem_class("gutfs") is GutfsFileSystem


def test_pandas_reads_and_writes(server: guthi.BlockingNode) -> None:
    pandas = pytest.importorskip("pandas")
    options = {"join": [str(server.address)]}
    frame: Any = pandas.DataFrame({"a": [1, 3], "b": [2, 4]})
    frame.to_csv("gutfs://p/frame.csv", index=False, storage_options=options)
    read = pandas.read_csv("gutfs://p/frame.csv", storage_options=options)
    assert read.equals(frame)


def test_large_files_and_parts_of_them(connected: GutfsFileSystem, tmp_path: Path) -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 256) * 20 + b"end"
    with connected.open("/p/large", "wb") as file:
        for at in range(0, len(data), 3_000_000):
            file.write(data[at : at + 3_000_000])
    assert connected.size("/p/large") == len(data)
    with connected.open("/p/large", "rb", block_size=100_000) as file:
        file.seek(-3, 2)
        assert file.read() == b"end"
        file.seek(5)
        assert file.read(3) == data[5:8]
    assert connected.cat_file("/p/large", start=-3) == b"end"
    assert connected.cat_file("/p/large", start=10, end=14) == data[10:14]
    with connected.open("/p/large", "ab") as file:
        file.write(b" more")
    assert connected.tail("/p/large", 8) == b"end more"
    connected.get("/p/large", str(tmp_path / "large"))
    assert (tmp_path / "large").stat().st_size == len(data) + 5


def test_what_is_not_closed_well_is_not_there(connected: GutfsFileSystem) -> None:
    file = connected.open("/p/half", "wb", autocommit=False, block_size=10)
    file.write(b"x" * 100)
    file.close()
    file.discard()
    assert not connected.exists("/p/half")


def test_errors_are_those_of_python(connected: GutfsFileSystem) -> None:
    with pytest.raises(FileNotFoundError):
        connected.cat_file("/p/none")
    with pytest.raises(PermissionError):
        connected.pipe_file("/nowhere/none", b"x")
    connected.makedirs("/p/folder", exist_ok=True)
    with pytest.raises(FileExistsError):
        connected.makedirs("/p/folder")
    with pytest.raises(IsADirectoryError):
        connected.cat_file("/p/folder")
    connected.pipe_file("/p/folder/a", b"x")
    assert connected.find("/p/folder") == ["/p/folder/a"] and connected.isfile("/p/folder/a")
    connected.mv("/p/folder/a", "/p/folder/b")
    connected.rm("/p/folder", recursive=True)
    assert not connected.exists("/p/folder")


async def test_on_the_loop_of_an_app(server: guthi.BlockingNode) -> None:
    config = {"node": {"name": "app", "plugins": ["gutfs"], "join": [str(server.address)]}}
    async with guthi.Node(guthi.Config.from_mapping(config, environment={})) as node:
        await node.require(GUTFS).synced()
        fs = GutfsFileSystem(service=node.require(GUTFS), asynchronous=True, skip_instance_cache=True)
        await fs._pipe_file("/p/app", b"from the app")
        assert await fs._cat_file("/p/app") == b"from the app"
