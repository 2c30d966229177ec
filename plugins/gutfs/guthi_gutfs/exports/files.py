"""What this node exports, for the rest of the plugin: all operations on its own files, none of which holds up the loop.

Paths are those of the tree. What is changed here, or found changed, is told to subscribers on the loop, after it is on
disk and before the caller who changed it goes on. All methods raise the errors of `guthi_gutfs.errors`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from guthi import GuthiError
from guthi.api import Buffer, Host
from guthi_gutfs.disk import Disk
from guthi_gutfs.entries import Change, Entry, Kind, Version, Written
from guthi_gutfs.errors import FileChanged, NotFound, WrongKind
from guthi_gutfs.exports.adopting import Adopter
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.draft import Draft
from guthi_gutfs.exports.drafts import DraftFile
from guthi_gutfs.exports.fencing import Fencing
from guthi_gutfs.exports.reading import Reader
from guthi_gutfs.exports.refusals import refusals_of
from guthi_gutfs.exports.rows import Row
from guthi_gutfs.exports.rules import Export
from guthi_gutfs.exports.survey import look, stale_in
from guthi_gutfs.exports.writing import Writer
from guthi_gutfs.paths import tree_path
from guthi_gutfs.timestamps import ntp_from_unix
from guthi_gutfs.vectors import VersionVector
from guthi_mutex import Fence

__all__ = ["LocalFiles"]

T = TypeVar("T")
Entries: TypeAlias = list[Entry]
Digests: TypeAlias = list[bytes]
Chunks: TypeAlias = list[bytes]
Told: TypeAlias = Callable[[Sequence[Change]], None]

TOKEN_BYTES = 8

log = logging.getLogger("guthi_gutfs")


class LocalFiles:
    """The exported files of a node. `time_s` is the network's time, in seconds since 1970; it is asked on the loop."""

    def __init__(self, catalogue: Catalogue, disk: Disk, host: Host, time_s: Callable[[], float]) -> None:
        self._catalogue, self._disk, self._host, self._time_s = catalogue, disk, host, time_s
        self._reader = Reader(catalogue)
        self._writer = Writer(catalogue, lambda: host.entropy(TOKEN_BYTES).hex())
        self._adopter = Adopter(self._writer)
        self._fencing = Fencing(catalogue.exports, catalogue.index)
        self._told: list[Told] = []
        self._under_way: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """End what an earlier life has left half done, and bring the index up to date with the disk."""
        await self._change(self._writer.recover, self._host.wall_time_s())

    async def close(self) -> None:
        """Wait for what has begun."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self._disk.write(self._catalogue.index.close)

    @property
    def exports(self) -> tuple[Export, ...]:
        """What is exported, sorted by path."""
        return self._catalogue.exports.all

    @property
    def life(self) -> bytes:
        """The life of the index: as long as it is the same, `sequence` counts on."""
        return self._catalogue.index.life

    @property
    def sequence(self) -> int:
        """The number of the newest change."""
        return self._catalogue.index.sequence

    def subscribe(self, told: Told) -> Callable[[], None]:
        """Be told of all changes from now on; what is returned ends it."""
        self._told.append(told)
        return lambda: self._told.remove(told)

    def has(self, path: str, kind: Kind) -> bool:
        """Whether an export has, or would have, something of that kind at a path, by its patterns."""
        exports = self._catalogue.exports
        if not exports.has(path):
            return False
        export = exports.of(path)
        return export.admits(export.names_below(path), is_folder=kind is not Kind.FILE)

    # ---- looking

    async def stat(self, text: str) -> Entry:
        """What is under a path now; raises NotFound."""
        path = tree_path(text)
        if self._catalogue.exports.is_above(path):
            return self._above(path)
        self._catalogue.place(path)
        row, is_now = await self._disk.read(self._looked_up, path)
        if not is_now:
            await self._change(self._writer.refresh, [path])
            row, _ = await self._disk.read(self._looked_up, path)
        if row is None:
            raise NotFound(f"there is no {path}")
        return row.entry

    def _looked_up(self, path: str) -> tuple[Row | None, bool]:
        """What the index has of a path, and whether that is what is there."""
        _, export, names = self._catalogue.place(path)
        row, seen = self._catalogue.row(path), look(export, names, path)
        return row, (row.signature if row is not None else None) == (seen.signature if seen is not None else None)

    async def list(self, text: str) -> Entries:
        """What is in a folder now, sorted by name; raises NotFound, WrongKind."""
        path = tree_path(text)
        if self._catalogue.exports.is_above(path):
            return [await self.stat(each) for each in self._catalogue.exports.next_below(path)]
        if (await self.stat(path)).kind is not Kind.FOLDER:
            raise WrongKind(f"{path} is no folder")
        stale = await self._disk.read(stale_in, self._catalogue, path)
        if stale:
            await self._change(self._writer.refresh, stale)
        return [row.entry for row in await self._disk.read(self._catalogue.index.children, path)]

    async def walk(self, text: str, *, after: str = "", limit: int = 10_000) -> Entries:
        """A folder and all below it, sorted by path, from the one after `after` on; as the index has it."""
        rows = await self._disk.read(self._catalogue.index.below, tree_path(text), after, limit)
        return [row.entry for row in rows]

    async def changes_since(self, sequence: int, limit: int = 1000) -> Entries:
        """What has changed after a number, in order, and what is gone as well."""
        return await self._disk.read(self._catalogue.index.since, sequence, limit)

    async def rescan(self, text: str = "/") -> None:
        """Look at everything below a path, and note what other programs have changed."""
        path = tree_path(text)
        exports = self._catalogue.exports
        below = [each for each in exports.paths if path in ("/", each) or each.startswith(path + "/")]
        await self._change(self._rescan, below or [path])

    def _rescan(self, paths: Sequence[str]) -> None:
        self._writer.refresh(paths, deep=True)

    async def refresh(self, paths: Sequence[str]) -> None:
        """Look at these paths, which may have changed."""
        exports = self._catalogue.exports
        await self._change(self._writer.refresh, [each for each in paths if exports.has(each)])

    # ---- reading

    async def digests(self, path: str, timestamp: int, first: int = 0, count: int = 1024) -> Digests:
        """The digests of chunks of a version, at most 1024 at a time. Raises FileChanged, NotFound, WrongKind."""
        return await self._read(path, self._reader.digests, path, timestamp, first, count)

    async def chunk(self, path: str, timestamp: int, index: int) -> bytes:
        """A chunk of a version. Raises FileChanged, NotFound, WrongKind."""
        return await self._read(path, self._reader.chunk, path, timestamp, index)

    async def chunks(self, path: str, timestamp: int, indices: Sequence[int]) -> Chunks:
        """Several chunks of a version. Raises FileChanged, NotFound, WrongKind."""
        return await self._read(path, self._reader.chunks, path, timestamp, indices)

    async def chunk_by_digest(self, digest: bytes) -> bytes | None:
        """A chunk of any exported file that is known to have it."""
        return await self._disk.read(self._reader.by_digest, digest)

    async def root(self, path: str) -> bytes:
        """The root digest of a file as it is now; the first time all of the file is read for it."""
        return await self._read(path, self._reader.root, await self.stat(path))

    async def read(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Bytes of a file as it is now; fewer at its end."""
        for _ in range(2):
            entry = await self.stat(path)
            try:
                return await self._disk.read(self._reader.read, entry.path, entry.version.timestamp, offset, size_bytes)
            except FileChanged:
                continue
        raise FileChanged(f"{path} is being written by another program all the time; try again")

    async def _read(self, path: str, call: Callable[..., T], *arguments: object) -> T:
        """Read; where the file turns out to be another, that is noted before FileChanged is raised."""
        try:
            return await self._disk.read(call, *arguments)
        except (FileChanged, NotFound):
            await self._change(self._writer.refresh, [tree_path(path)])
            raise

    # ---- writing; under a `fence` that is older than one its export has seen, StaleFence

    async def write(
        self, path: str, data: Buffer, *, writer: str, base: Version | None = None, fence: Fence | None = None
    ) -> Written:
        """Write a whole file. If it is a version beyond `base`, what comes is kept beside it, as `conflict`."""
        return await self._fenced(fence, (path,), self._writer.write, path, data, writer, base)

    async def append(self, path: str, data: Buffer, *, writer: str, fence: Fence | None = None) -> Written:
        """Write at the end of a file."""
        return await self._fenced(fence, (path,), self._writer.append, path, data, writer)

    async def draft(self, path: str, *, fence: Fence | None = None) -> Draft:
        """A file that is written part by part, and takes its place when all of it is there."""
        begun = self._to_its_end(self._fenced(fence, (path,), self._writer.begin, path))
        try:
            return Draft(self, path, await asyncio.shield(begun))
        except asyncio.CancelledError:  # it is begun nevertheless, and nobody has it
            self._to_its_end(self._abandoned(begun))
            raise

    async def _abandoned(self, begun: asyncio.Task[DraftFile]) -> None:
        try:
            draft = await begun
        except GuthiError:
            return
        await self._disk.read(draft.discard)

    async def discard(self, draft: DraftFile, path: str) -> None:
        """For drafts: leave nothing of it, also if the caller is cancelled again."""
        await asyncio.shield(self._to_its_end(self.to_draft(path, draft.discard)))

    async def commit(
        self, draft: DraftFile, path: str, writer: str, base: Version | None, fence: Fence | None
    ) -> Written:
        """For drafts."""
        return await self._fenced(fence, (path,), self._writer.commit, draft, path, writer, base)

    def write_draft(self, draft: DraftFile, path: str, data: Buffer) -> None:
        """For drafts, in a thread: nobody fills the disk with what does not fit in the end."""
        self._catalogue.require_space(tree_path(path), draft.size_bytes + len(memoryview(data).cast("B")))
        draft.write(data)

    async def to_draft(self, path: str, call: Callable[..., T], *arguments: object) -> T:
        """For drafts."""

        def guarded() -> T:
            with refusals_of(path):
                return call(*arguments)

        return await self._disk.read(guarded)

    async def rename(
        self, path: str, to: str, *, writer: str, replace: bool = False, fence: Fence | None = None
    ) -> Entry:
        """Move a file, or a folder with all that is in it, within an export."""
        return await self._fenced(fence, (path, to), self._writer.rename, path, to, writer, replace)

    async def delete(self, path: str, *, writer: str, recursive: bool = False, fence: Fence | None = None) -> None:
        """Delete a file, an empty folder, or where `recursive` a folder with all that is in it."""
        await self._fenced(fence, (path,), self._writer.delete, path, writer, recursive)

    async def make_folder(self, path: str, *, writer: str, parents: bool = False, fence: Fence | None = None) -> Entry:
        """Make a folder."""
        return await self._fenced(fence, (path,), self._writer.make_folder, path, writer, parents)

    async def _fenced(self, fence: Fence | None, paths: Sequence[str], call: Callable[..., T], *arguments: object) -> T:
        if fence is None:
            return await self._change(call, *arguments)

        def admitted() -> T:
            self._fencing.admit(fence, *paths)
            return call(*arguments)

        return await self._change(admitted)

    async def adopt(
        self, entry: Entry, draft: Draft | None = None, *, expected: Version | None, keep: bool = False
    ) -> Entry:
        """Have a version that another node has made, in a replica; see `adopting`."""
        return await self._change(self._adopter.adopt, entry, draft.file if draft else None, expected, keep)

    async def bury(self, before_s: float) -> int:
        """Forget what was deleted before a time of the network; returns how many entries that were."""
        return await self._change(self._catalogue.index.bury, ntp_from_unix(before_s))

    async def known(self, text: str) -> tuple[Entry | None, bool]:
        """What is under a path now, also that it is gone, of a file with its root; and whether it has children."""
        path = tree_path(text)
        await self._change(self._writer.refresh, [path])
        row = await self._disk.read(self._catalogue.index.row, path)
        if row is None:
            return None, False
        entry = row.entry
        if entry.kind is Kind.FILE and entry.root is None:
            entry = replace(entry, root=await self._read(path, self._reader.root, entry))
        return entry, entry.kind is Kind.FOLDER and await self._disk.read(self._has_children, path)

    def _has_children(self, path: str) -> bool:
        return len(self._catalogue.index.below(path, limit=2)) > 1

    async def make_way(self, path: str) -> None:
        """See that a path goes through folders only; a file in the way gets the name of a copy."""
        await self._change(self._adopter.make_way, path)

    async def revive(self, path: str, following: VersionVector) -> Entry:
        """Let a folder be newer than what it follows on."""
        return await self._change(self._adopter.revive, path, following)

    # ---- what all of them need

    async def _change(self, call: Callable[..., T], *arguments: object) -> T:
        """Run in the writing thread, to its end also if the caller is cancelled, and tell what has changed."""
        self._catalogue.correction_s = self._time_s() - self._host.wall_time_s()
        return await asyncio.shield(self._to_its_end(self._run(call, arguments)))

    def _to_its_end(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Work that goes on whoever goes away, and that `close` waits for."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _run(self, call: Callable[..., T], arguments: tuple[object, ...]) -> T:
        outcome: Future[T]
        outcome, changes = await self._disk.write(self._recorded, call, arguments)
        for told in tuple(self._told) if changes else ():
            try:
                told(changes)
            except Exception:
                log.exception("a subscriber to changes failed")
        return outcome.result()

    def _recorded(self, call: Callable[..., T], arguments: tuple[object, ...]) -> tuple[Future[T], Sequence[Change]]:
        """What a call has returned or raised, and what has changed by then."""
        outcome: Future[T] = Future()
        try:
            outcome.set_result(call(*arguments))
        except Exception as error:  # noqa: BLE001 - it is raised where the call was made
            outcome.set_exception(error)
        return outcome, self._writer.taken()

    def _above(self, path: str) -> Entry:
        return Entry(path, Kind.FOLDER, 0, 0.0, Version(VersionVector(), 0, self._catalogue.name), 0)
