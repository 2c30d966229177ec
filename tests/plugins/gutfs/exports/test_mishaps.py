"""What a disk and a moment can do to the files of a node: it is full, closed to the node, or used by two at once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.plugins.gutfs.local import local_files

from guthi import GuthiError
from guthi_gutfs.config import ExportTable
from guthi_gutfs.errors import NotFound, PermissionDenied, StorageFailed
from guthi_gutfs.exports.drafts import DraftFile
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.exports.folders import opened
from guthi_gutfs.exports.index import Index
from guthi_mutex import Fence, StaleFence

NOBODY = 65534


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def writable(data: Path) -> list[Path | ExportTable]:
    return [ExportTable(data, "/d", writable=True)]


class Failing:
    """A database whose next statement that begins with a word fails."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.next = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def _check(self, statement: str) -> None:
        if self.next and statement.startswith(self.next):
            self.next = ""
            raise sqlite3.OperationalError("database or disk is full")

    def execute(self, statement: str, *arguments: Any) -> Any:
        self._check(statement)
        return self._database.execute(statement, *arguments)

    def commit(self) -> None:
        self._check("COMMIT")
        self._database.commit()


def failing(files: LocalFiles) -> Failing:
    index = files._catalogue.index
    index._database = Failing(index._database)  # type: ignore[assignment]
    return index._database  # type: ignore[return-value]


@pytest.mark.parametrize(("statement", "content"), [("BEGIN", b"old"), ("INSERT", b"new"), ("COMMIT", b"old")])
async def test_an_index_that_had_no_room_for_once_goes_on(
    data: Path, tmp_path: Path, statement: str, content: bytes
) -> None:
    async with local_files(writable(data), index=tmp_path / "index") as files:
        await files.write("/d/a", b"old", writer="bob")
        failing(files).next = statement
        with pytest.raises(StorageFailed):
            await files.write("/d/a", b"new", writer="bob")
        before = files.sequence
        assert await files.read("/d/a", 0, 9) == content == (data / "a").read_bytes()
        await files.write("/d/b", b"more", writer="bob")
        assert files.sequence > before
        assert [each.path for each in await files.list("/d")] == ["/d/a", "/d/b"]


def test_a_transaction_that_is_not_committed_leaves_no_number(tmp_path: Path) -> None:
    index = Index(tmp_path / "index", b"life")
    index._database = Failing(index._database)  # type: ignore[assignment]
    index._database.next = "COMMIT"  # type: ignore[attr-defined]
    with pytest.raises(StorageFailed), index.transaction():
        pass
    with index.transaction():
        pass
    index.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, where the tests have them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed() -> Iterator[Path]:
    """An export of nobody's, with a folder in it whose names can be read, and no more; and a file that cannot.

    It is not in pytest's own folders, which nobody may not enter.
    """
    with TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        data = place / "data"
        (data / "names only").mkdir(parents=True)
        (data / "names only" / "x").write_bytes(b"x")
        (data / "secret").write_bytes(b"a secret")
        if os.geteuid() == 0:
            for each in (place, data, data / "names only", data / "names only" / "x", data / "secret"):
                os.chown(each, NOBODY, NOBODY)
        (data / "names only").chmod(0o444)
        (data / "secret").chmod(0o000)
        yield data
        (data / "names only").chmod(0o755)


async def test_a_folder_that_shows_names_only_hides_no_other(closed: Path) -> None:
    with as_nobody():
        async with local_files(writable(closed)) as files:
            (closed / "after").write_bytes(b"after")
            await files.rescan()
            found = [each.path for each in await files.walk("/d")]
            assert "/d/after" in found and "/d/secret" in found
            with pytest.raises(PermissionDenied):
                await files.read("/d/secret", 0, 1)
            await files.write("/d/new", b"new", writer="bob")


async def test_a_file_that_is_closed_to_the_node_does_not_stop_its_start(closed: Path) -> None:
    index = closed.parent / "index"
    with as_nobody():
        async with local_files(writable(closed), index=index) as files:
            files._catalogue.index.append_begins("/d/secret", (closed / "secret").stat().st_ino, 2, 20)
        async with local_files(writable(closed), index=index) as files:
            assert (await files.stat("/d/secret")).size_bytes == 8
            assert len(files._catalogue.index.appends()) == 1  # it is tried again at the next start
    (closed / "secret").chmod(0o644)
    with as_nobody():
        async with local_files(writable(closed), index=index) as files:
            assert await files.read("/d/secret", 0, 9) == b"a "


async def test_what_cannot_be_removed_after_a_folder_was_deleted_is_left_for_later(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "in").mkdir()
    (data / "in" / "a").write_bytes(b"a")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "no")

    async with local_files(writable(data)) as files:
        monkeypatch.setattr("guthi_gutfs.exports.writing.remove_all", refused)
        await files.delete("/d/in", writer="bob", recursive=True)
        with pytest.raises(NotFound):
            await files.stat("/d/in/a")
        assert await files.list("/d") == []
    monkeypatch.undo()
    async with local_files(writable(data)):
        assert list(data.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "pipe"])
async def test_what_is_no_part_of_an_export_is_not_written_over(data: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    there = data / "there"
    os.symlink(tmp_path / "outside", there) if kind == "link" else os.mkfifo(there)
    async with local_files(writable(data)) as files:
        await files.write("/d/a", b"a", writer="bob")
        for attempt in (
            files.write("/d/there", b"x", writer="bob"),
            files.append("/d/there", b"x", writer="bob"),
            files.rename("/d/a", "/d/there", writer="bob", replace=True),
            files.make_folder("/d/there", writer="bob", parents=True),
        ):
            with pytest.raises(GuthiError):
                await attempt
        assert there.is_symlink() or there.is_fifo()
        assert await files.read("/d/a", 0, 9) == b"a"


async def test_files_that_come_and_go_leave_room_for_others(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with local_files(writable(data), most_entries=10) as files:
        stamps = []
        for number in range(40):
            await files.write(f"/d/{number}", b"x", writer="bob")
            await files.delete(f"/d/{number}", writer="bob")
            stamps.append((await files.write("/d/again", b"x", writer="bob")).entry.version.timestamp)
            await files.delete("/d/again", writer="bob")
        assert stamps == sorted(set(stamps))  # no id twice, although it was forgotten that the path was there
        (data / "other").write_bytes(b"other")
        await files.rescan()
        assert [each.path for each in await files.list("/d")] == ["/d/other"]
        assert files._catalogue.index.count <= 10


def test_a_draft_is_not_closed_while_it_is_written(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives an upload up may do so while a thread writes: its descriptor may be another file's by then."""
    draft = DraftFile(opened(data), ".gutfs-x")
    is_writing, may_go_on = threading.Event(), threading.Event()
    write, order = os.write, []

    def slowly(descriptor: int, part: Any) -> int:
        is_writing.set()
        assert may_go_on.wait(30)
        order.append("written")
        return write(descriptor, part)

    monkeypatch.setattr(os, "write", slowly)
    writing = threading.Thread(target=draft.write, args=(b"x" * 10,))
    writing.start()
    assert is_writing.wait(30)

    def discard() -> None:
        draft.discard()
        order.append("discarded")

    discarding = threading.Thread(target=discard)
    discarding.start()
    discarding.join(0.1)
    may_go_on.set()
    writing.join()
    discarding.join()
    assert order == ["written", "discarded"] and list(data.iterdir()) == []


async def test_an_upload_that_is_given_up_as_it_begins_leaves_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_files(writable(data)) as files:
        is_asked, may_begin, begin = threading.Event(), threading.Event(), files._writer.begin

        def later(path: str) -> DraftFile:
            is_asked.set()
            assert may_begin.wait(30)
            return begin(path)

        monkeypatch.setattr(files._writer, "begin", later)
        beginning = asyncio.create_task(files.draft("/d/a"))
        assert await asyncio.to_thread(is_asked.wait, 30)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        may_begin.set()
        await files.write("/d/b", b"b", writer="bob")
        await files.close()
        assert [each.name for each in data.iterdir()] == ["b"]


async def test_many_conflicts_at_once_are_all_kept(data: Path) -> None:
    async with local_files(writable(data)) as files:
        base = (await files.write("/d/a.txt", b"base", writer="alice")).entry.version
        await files.write("/d/a.txt", b"newer", writer="alice")
        written = await asyncio.gather(
            *(files.write("/d/a.txt", str(n).encode(), writer="bob", base=base) for n in range(40))
        )
        copies = {each.conflict.path for each in written if each.conflict is not None}
        assert len(copies) == 40
        assert {(data / each.rpartition("/")[2]).read_bytes() for each in copies} == {b"%d" % n for n in range(40)}
        assert (data / "a.txt").read_bytes() == b"newer"


async def test_a_fence_that_was_seen_is_remembered_by_the_next_life(data: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    async with local_files(writable(data), index=index) as files:
        await files.write("/d/a", b"new", writer="bob", fence=Fence("render", 8))
    async with local_files(writable(data), index=index) as files:
        for attempt in (
            files.write("/d/a", b"old", writer="carol", fence=Fence("render", 7)),
            files.append("/d/a", b"old", writer="carol", fence=Fence("render", 7)),
            files.delete("/d/a", writer="carol", fence=Fence("render", 7)),
            files.draft("/d/b", fence=Fence("render", 7)),
        ):
            with pytest.raises(StaleFence):
                await attempt
        draft = await files.draft("/d/b", fence=Fence("render", 8))
        await files.make_folder("/d/in", writer="bob", fence=Fence("render", 9))
        with pytest.raises(StaleFence):  # a newer one has come while it was written
            await draft.commit(writer="bob", fence=Fence("render", 8))
        await files.write("/d/a", b"other", writer="bob", fence=Fence("other lock", 1))
    async with local_files(writable(data), index=index) as files:
        assert files._catalogue.index.fences("/d", 10) == [("render", 9), ("other lock", 1)]
        assert sorted(each.name for each in data.iterdir()) == ["a", "in"]


def test_fences_are_bounded(tmp_path: Path) -> None:
    index = Index(None, b"life")
    for number in range(8):
        index.keep_fence("/d", f"lock {number}", number, 5)
        index.keep_fence("/e", "lock", number, 5)
    assert index.fences("/d", 99) == [(f"lock {number}", number) for number in range(3, 8)]
    assert index.fences("/e", 99) == [("lock", 7)]
