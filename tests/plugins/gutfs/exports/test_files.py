"""A node's own files: what can be done with them, what is told of it, and what is refused."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.plugins.gutfs.local import local_files

from guthi_gutfs.chunks import CHUNK_BYTES, digest_of, root_of
from guthi_gutfs.config import ExportTable
from guthi_gutfs.entries import Change, ChangeKind, Kind
from guthi_gutfs.errors import (
    BadPath,
    FileChanged,
    FolderNotEmpty,
    NotFound,
    PathExists,
    PermissionDenied,
    QuotaExceeded,
    WrongKind,
)
from guthi_gutfs.exports import folders


@pytest.fixture(params=["descriptors", "paths"])
def data(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, that is reached in either of the ways in which a system may reach it."""
    if request.param == "paths":
        monkeypatch.setattr(folders, "HAS_DESCRIPTORS", False)
    elif not folders.HAS_DESCRIPTORS:
        pytest.skip("this system has no descriptors of folders")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def writable(data: Path, **keys: object) -> list[Path | ExportTable]:
    return [ExportTable(data, "/d", writable=True, **keys)]  # type: ignore[arg-type]


async def test_what_is_there_is_listed(data: Path) -> None:
    (data / "in").mkdir()
    (data / "in" / "b.txt").write_text("bee")
    (data / "a.txt").write_text("a")
    os.symlink("/etc", data / "link")
    os.mkfifo(data / "pipe")
    async with local_files([ExportTable(data, "/x/d")]) as files:
        assert [(each.path, each.kind) for each in await files.list("/")] == [("/x", Kind.FOLDER)]
        assert [each.path for each in await files.list("/x")] == ["/x/d"]
        assert [each.path for each in await files.list("/x/d")] == ["/x/d/a.txt", "/x/d/in"]
        assert [each.path for each in await files.walk("/")] == ["/x/d", "/x/d/a.txt", "/x/d/in", "/x/d/in/b.txt"]
        assert [each.path for each in await files.walk("/", after="/x/d/a.txt", limit=1)] == ["/x/d/in"]
        assert (await files.stat("/x/d/in/b.txt")).size_bytes == 3
        for path in ["/y", "/x/d/link", "/x/d/link/passwd", "/x/d/pipe", "/x/d/a.txt/b"]:
            with pytest.raises(NotFound):
                await files.stat(path)
        with pytest.raises(WrongKind):
            await files.list("/x/d/a.txt")


async def test_reading(data: Path) -> None:
    content = os.urandom(2 * CHUNK_BYTES + 5)
    (data / "big").write_bytes(content)
    (data / "empty").touch()
    async with local_files([ExportTable(data, "/d")]) as files:
        entry = await files.stat("/d/big")
        stamp = entry.version.timestamp
        digests = await files.digests("/d/big", stamp)
        assert digests == [digest_of(content[at : at + CHUNK_BYTES]) for at in range(0, len(content), CHUNK_BYTES)]
        assert await files.chunk("/d/big", stamp, 2) == content[-5:]
        assert await files.chunk_by_digest(digests[1]) == content[CHUNK_BYTES : 2 * CHUNK_BYTES]
        assert await files.chunk_by_digest(b"?" * 32) is None
        assert await files.read("/d/big", 10, 20) == content[10:30]
        assert await files.read("/d/big", len(content) - 1, 20) == content[-1:]
        assert await files.read("/d/empty", 0, 20) == b""
        assert await files.root("/d/big") == root_of(len(content), digests) == (await files.stat("/d/big")).root
        assert await files.digests("/d/empty", (await files.stat("/d/empty")).version.timestamp) == []
        with pytest.raises(NotFound, match="no chunk 3"):
            await files.chunk("/d/big", stamp, 3)
        with pytest.raises(WrongKind):
            await files.chunk("/d", stamp, 0)


async def test_no_version_is_read_as_another(data: Path) -> None:
    (data / "a").write_bytes(b"first")
    async with local_files([ExportTable(data, "/d")]) as files:
        old = await files.stat("/d/a")
        (data / "a").write_bytes(b"other")
        with pytest.raises(FileChanged):
            await files.chunk("/d/a", old.version.timestamp, 0)
        new = await files.stat("/d/a")
        assert new.version.timestamp > old.version.timestamp
        assert await files.chunk("/d/a", new.version.timestamp, 0) == b"other"
        with pytest.raises(FileChanged):
            await files.digests("/d/a", old.version.timestamp)


async def test_a_file_that_is_deleted_and_made_anew_has_another_id(data: Path) -> None:
    async with local_files([ExportTable(data, "/d")]) as files:
        stamps = []
        for _ in range(3):
            (data / "a").write_bytes(b"same")
            os.utime(data / "a", (1000, 1000))
            stamps.append((await files.stat("/d/a")).version.timestamp)
            (data / "a").unlink()
            with pytest.raises(NotFound):
                await files.stat("/d/a")
        assert stamps == sorted(set(stamps))
        await files.bury(4e9)
        (data / "a").write_bytes(b"same")
        os.utime(data / "a", (1000, 1000))
        assert (await files.stat("/d/a")).version.timestamp > stamps[-1]


async def test_writing(data: Path) -> None:
    async with local_files(writable(data)) as files:
        changes: list[Change] = []
        files.subscribe(changes.extend)
        first = (await files.write("/d/a", b"first", writer="bob")).entry
        assert (data / "a").read_bytes() == b"first" and first.root == root_of(5, [digest_of(b"first")])
        os.chmod(data / "a", 0o640)
        assert (await files.append("/d/a", b" and more", writer="bob")).entry.size_bytes == 14
        assert await files.read("/d/a", 0, 99) == b"first and more"
        assert (await files.append("/d/new", b"made", writer="bob")).conflict is None
        for path in ("/d/x/y", "/d/x", "/d"):
            await files.make_folder(path, writer="bob", parents=True)
        await files.rename("/d/a", "/d/x/y/b", writer="bob")
        assert (data / "x" / "y" / "b").stat().st_mode & 0o777 == 0o640
        await files.rename("/d/x", "/d/z", writer="bob")
        assert [each.path for each in await files.walk("/d")] == ["/d", "/d/new", "/d/z", "/d/z/y", "/d/z/y/b"]
        moved = [each for each in changes if each.kind is ChangeKind.MOVED]
        assert [(each.moved_from, each.entry.path) for each in moved][-1] == ("/d/x/y/b", "/d/z/y/b")
        await files.delete("/d/z", writer="bob", recursive=True)
        assert sorted(os.listdir(data)) == ["new"]
        assert [each.entry.sequence for each in changes] == sorted({each.entry.sequence for each in changes})
        assert {each.path for each in await files.changes_since(0) if each.is_gone} >= {"/d/a", "/d/x", "/d/z/y/b"}
        assert all(each.version.writer == "bob" for each in await files.changes_since(first.sequence - 1))


async def test_a_draft_is_seen_when_it_is_whole(data: Path) -> None:
    async with local_files(writable(data)) as files:
        content = os.urandom(CHUNK_BYTES + 7)
        draft = await files.draft("/d/big")
        for at in range(0, len(content), 300_000):
            await draft.write(content[at : at + 300_000])
        assert await files.list("/d") == []
        await files.make_folder("/d/meanwhile", writer="bob")
        entry = (await draft.commit(writer="bob")).entry
        assert (data / "big").read_bytes() == content
        digests = [digest_of(content[:CHUNK_BYTES]), digest_of(content[CHUNK_BYTES:])]
        assert await files.digests("/d/big", entry.version.timestamp) == digests
        draft = await files.draft("/d/never")
        await draft.write(b"something")
        await draft.abort()
        assert sorted(os.listdir(data)) == ["big", "meanwhile"]


async def test_a_draft_follows_its_path_and_not_its_folder(data: Path) -> None:
    if not folders.HAS_DESCRIPTORS:
        pytest.skip("where folders have no descriptors, one with an open file in it cannot be moved")
    async with local_files(writable(data)) as files:
        await files.make_folder("/d/x", writer="bob")
        draft, lost = await files.draft("/d/x/a"), await files.draft("/d/x/b")
        await draft.write(b"text")
        await files.rename("/d/x", "/d/y", writer="bob")
        with pytest.raises(NotFound):
            await lost.commit(writer="bob")
        await files.make_folder("/d/x", writer="bob")
        await draft.commit(writer="bob")
        assert (data / "x" / "a").read_bytes() == b"text"
        assert os.listdir(data / "y") == []


async def test_two_writes_that_know_not_of_each_other_are_both_kept(data: Path) -> None:
    async with local_files(writable(data)) as files:
        base = (await files.write("/d/cat.png", b"base", writer="bob")).entry.version
        await files.write("/d/cat.png", b"one", writer="bob", base=base)
        kept = [(await files.write("/d/cat.png", b"two", writer="carol", base=base)).conflict for _ in range(2)]
        assert (data / "cat.png").read_bytes() == b"one"
        assert None not in kept and len({each.path for each in kept if each}) == 2
        for each in kept:
            assert each is not None and each.path.startswith("/d/cat.conflict-carol-") and each.path.endswith(".png")
            assert await files.read(each.path, 0, 9) == b"two"
        (data / "cat.png").write_bytes(b"by hand")
        newest = (await files.stat("/d/cat.png")).version
        assert (await files.write("/d/cat.png", b"three", writer="carol", base=newest)).conflict is None


async def test_what_may_not_be_done(data: Path) -> None:
    (data / "a").write_text("a")
    (data / "in").mkdir()
    (data / "in" / "b").write_text("b")
    async with local_files([ExportTable(data, "/d"), ExportTable(data, "/w", writable=True)]) as files:
        for work in [
            files.write("/d/a", b"x", writer="bob"),
            files.delete("/d/a", writer="bob"),
            files.rename("/d/a", "/d/b", writer="bob"),
            files.make_folder("/d/x", writer="bob"),
            files.delete("/w", writer="bob", recursive=True),
            files.rename("/w/a", "/d/a", writer="bob"),
            files.write("/w/.gutfs-x", b"x", writer="bob"),
        ]:
            with pytest.raises(PermissionDenied):
                await work
        for work, error in [
            (files.write("/w/in", b"x", writer="bob"), WrongKind),
            (files.append("/w/in", b"x", writer="bob"), WrongKind),
            (files.write("/w/a/b", b"x", writer="bob"), WrongKind),
            (files.write("/w/none/b", b"x", writer="bob"), NotFound),
            (files.write("/w/../b", b"x", writer="bob"), BadPath),
            (files.delete("/w/none", writer="bob"), NotFound),
            (files.delete("/w/in", writer="bob"), FolderNotEmpty),
            (files.make_folder("/w/in", writer="bob"), PathExists),
            (files.make_folder("/w/a", writer="bob", parents=True), PathExists),
            (files.rename("/w/a", "/w/in/b", writer="bob"), PathExists),
            (files.rename("/w/a", "/w/in", writer="bob", replace=True), WrongKind),
            (files.rename("/w/in", "/w/in/c", writer="bob"), PathExists),
            (files.rename("/w/none", "/w/b", writer="bob"), NotFound),
        ]:
            with pytest.raises(error):
                await work
        assert sorted(os.listdir(data)) == ["a", "in"] and (data / "a").read_text() == "a"


async def test_the_quota(data: Path) -> None:
    async with local_files(writable(data, quota=100), most_entries=4) as files:
        await files.write("/d/a", b"x" * 60, writer="bob")
        for work in [
            files.write("/d/b", b"x" * 41, writer="bob"),
            files.append("/d/a", b"x" * 41, writer="bob"),
            files.write("/d/a", b"x" * 101, writer="bob"),
        ]:
            with pytest.raises(QuotaExceeded, match="quota is 100"):
                await work
        await files.write("/d/a", b"x" * 100, writer="bob")
        await files.delete("/d/a", writer="bob")
        await files.write("/d/b", b"x" * 100, writer="bob")
        await files.make_folder("/d/c", writer="bob")
        await files.make_folder("/d/e", writer="bob")  # in the place of the memory of /d/a
        with pytest.raises(QuotaExceeded, match="entries"):
            await files.make_folder("/d/f", writer="bob")
        assert sorted(os.listdir(data)) == ["b", "c", "e"]


async def test_patterns_hold_for_writers_too(data: Path) -> None:
    (data / "in").mkdir()
    (data / "in" / "key.secret").write_text("s")
    async with local_files(writable(data, exclude=("*.secret",))) as files:
        assert [each.path for each in await files.walk("/d")] == ["/d", "/d/in"]
        with pytest.raises(NotFound):
            await files.stat("/d/in/key.secret")
        with pytest.raises(PermissionDenied):
            await files.write("/d/in/key.secret", b"x", writer="bob")
        with pytest.raises(FolderNotEmpty, match="not exported"):
            await files.delete("/d/in", writer="bob", recursive=True)
        assert (data / "in" / "key.secret").read_text() == "s"


async def test_what_other_programs_do_is_found(data: Path) -> None:
    async with local_files(writable(data)) as files:
        changes: list[Change] = []
        files.subscribe(changes.extend)
        (data / "x").mkdir()
        (data / "x" / "a").write_text("a")
        (data / "b").write_text("b")
        await files.rescan()
        (data / "x").rename(data / "y")
        (data / "b").unlink()
        await files.refresh(["/d/x", "/d/y", "/d/b", "/elsewhere"])
        told = [
            (each.kind, each.entry.path, each.moved_from) for each in changes if each.kind is not ChangeKind.CHANGED
        ]
        assert told == [
            (ChangeKind.CREATED, "/d/b", None),
            (ChangeKind.CREATED, "/d/x", None),
            (ChangeKind.CREATED, "/d/x/a", None),
            (ChangeKind.MOVED, "/d/y", "/d/x"),
            (ChangeKind.MOVED, "/d/y/a", "/d/x/a"),
            (ChangeKind.DELETED, "/d/x/a", None),
            (ChangeKind.DELETED, "/d/x", None),
            (ChangeKind.DELETED, "/d/b", None),
        ]
        before = len(changes)
        await files.rescan()
        assert len(changes) == before


async def test_what_cannot_be_looked_at_is_not_gone(data: Path) -> None:
    (data / "a").write_text("a")
    async with local_files(writable(data)) as files:
        (data / "a").rename(data.parent / "a")
        data.rename(data.parent / "elsewhere")
        await files.rescan()
        assert [each.path for each in await files.walk("/")] == ["/d", "/d/a"]
        data.mkdir()  # as under a disk that is not mounted
        await files.rescan()
        assert [each.path for each in await files.walk("/")] == ["/d", "/d/a"]
        (data / "b").touch()
        await files.rescan()
        assert [each.path for each in await files.walk("/")] == ["/d", "/d/b"]


async def test_the_index_outlives_the_node(data: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.sqlite"
    async with local_files(writable(data), index=index) as files:
        written = (await files.write("/d/a", b"text", writer="bob")).entry
        await files.write("/d/b", b"text", writer="bob")
        life, sequence = files.life, files.sequence
    (data / "b").unlink()
    async with local_files(writable(data), index=index) as files:
        assert await files.stat("/d/a") == written
        assert files.life == life and files.sequence == sequence + 1
        assert [each.path for each in await files.changes_since(sequence)] == ["/d/b"]
    index.write_bytes(b"no database" * 1000)
    async with local_files([], index=index) as files:
        assert files.life != life and files.sequence == 0


async def test_exports_that_are_no_more(data: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.sqlite"
    async with local_files(writable(data), index=index) as files:
        await files.write("/d/a", b"text", writer="bob")
        sequence = files.sequence
    async with local_files([ExportTable(data, "/e")], index=index) as files:
        assert {each.path for each in await files.changes_since(sequence) if each.is_gone} == {"/d", "/d/a"}
        assert [each.path for each in await files.walk("/")] == ["/e", "/e/a"]


async def test_who_goes_away_stops_nothing_and_all_is_told(data: Path) -> None:
    async with local_files(writable(data)) as files:
        changes: list[Change] = []
        files.subscribe(changes.extend)
        work = asyncio.create_task(files.write("/d/a", b"x" * 1000, writer="bob"))
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert (data / "a").read_bytes() == b"x" * 1000
    assert [each.entry.path for each in changes] == ["/d/a"]


async def test_one_path_that_cannot_be_looked_at_hides_no_other(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with local_files(writable(data, exclude=("*.tmp",))) as files:
        for name in ("a", "b.tmp", "c"):
            (data / name).touch()
        await files.refresh(["/d/a", "/d/b.tmp", "/d/" + "x" * 200 + "/" + "y" * 200, "/d/c"])
        assert [each.path for each in await files.walk("/d")] == ["/d", "/d/a", "/d/c"]


async def test_a_draft_stops_at_the_quota(data: Path) -> None:
    async with local_files(writable(data, quota=1000)) as files:
        draft = await files.draft("/d/a")
        await draft.write(b"x" * 1000)
        with pytest.raises(QuotaExceeded):
            await draft.write(b"x")
        await draft.abort()
        assert os.listdir(data) == []


async def test_readers_do_not_wait_for_a_long_transaction(data: Path, tmp_path: Path) -> None:
    async with local_files(writable(data), index=tmp_path / "index.sqlite") as files:
        entry = (await files.write("/d/a", b"text", writer="bob")).entry
        held, may_end = threading.Event(), threading.Event()

        def hold() -> None:
            with files._catalogue.index.transaction():
                files._catalogue.index.put(replace(entry, path="/d/new"), None)
                held.set()
                may_end.wait(30)

        holding = threading.Thread(target=hold)
        holding.start()
        held.wait()
        try:
            async with asyncio.timeout(20):
                assert (await files.stat("/d/a")).size_bytes == 4
                assert len(await files.list("/d")) == 1
            # A number that is told of is one whose change can be read.
            assert files.sequence == (await files.changes_since(0))[-1].sequence == entry.sequence
        finally:
            may_end.set()
            holding.join()
        assert files.sequence == (await files.changes_since(0))[-1].sequence == entry.sequence + 1


@pytest.mark.parametrize("act", ["enter", "look_at_all"])
async def test_a_folder_that_cannot_be_read_is_not_empty(
    data: Path, monkeypatch: pytest.MonkeyPatch, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    if not folders.HAS_DESCRIPTORS:
        pytest.skip("it is the same above both ways")
    (data / "closed" / "in").mkdir(parents=True)
    (data / "closed" / "in" / "a").touch()
    async with local_files(writable(data)) as files:
        changes: list[Change] = []
        files.subscribe(changes.extend)
        before = await files.walk("/d")
        real = getattr(folders.DescriptorFolder, act)

        def fail(folder: folders.DescriptorFolder, *names: str) -> object:
            if names == ("closed",) or (not names and os.path.samestat(os.fstat(folder.descriptor), closed)):
                raise OSError(errno.EIO if act == "look_at_all" else errno.EACCES, "it does not work")
            return real(folder, *names)

        closed = os.stat(data / "closed")
        with monkeypatch.context() as patch:
            patch.setattr(folders.DescriptorFolder, act, fail)
            for _ in range(2):
                await files.rescan()
        assert await files.walk("/d") == before and changes == []
        assert "unchanged" in caplog.text
        (data / "closed" / "in" / "a").unlink()
        await files.rescan()
        assert [each.kind for each in changes] == [ChangeKind.DELETED]


async def test_an_export_at_the_root(data: Path) -> None:
    (data / "a").write_bytes(b"a")
    async with local_files([ExportTable(data, "/", writable=True)]) as files:
        assert [each.path for each in await files.list("/")] == ["/a"]
        await files.make_folder("/x", writer="bob")
        await files.write("/x/b", b"b", writer="bob")
        assert [each.path for each in await files.walk("/")] == ["/", "/a", "/x", "/x/b"]
        assert (await files.stat("/")).kind is Kind.FOLDER
        with pytest.raises(PermissionDenied):
            await files.delete("/", writer="bob", recursive=True)
        await files.delete("/x", writer="bob", recursive=True)
        assert os.listdir(data) == ["a"]
