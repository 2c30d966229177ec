"""The tree of this node itself, with the same methods as `remote.RemoteTree`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from guthi.api import Buffer
from guthi_gutfs.entries import Entry, Version, Written
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.serving.operations import Caller, Operations
from guthi_gutfs.tree.columns import MOST_ENTRIES
from guthi_gutfs.tree.results import Digests, result_of
from guthi_mutex import Fence

__all__ = ["LocalTree"]


class LocalTree:
    """The files of this node; `me` is what it signs as."""

    def __init__(self, me: Caller, files: LocalFiles, operations: Operations) -> None:
        self._me, self.files, self._operations = me, files, operations

    async def several(self, operations: Sequence[Sequence[Any]], *, goes_on: bool = False) -> list[Any]:
        """Do operations one after the other; a result each, which is an error where it failed."""
        results = await self._operations.several(self._me, [goes_on, *(list(each) for each in operations)])
        return [
            result_of(operation, result) if is_done else result
            for operation, (is_done, result) in zip(operations, results, strict=True)
        ]

    # ---- reading

    async def stat(self, path: str) -> Entry:
        """What is under a path."""
        return await self.files.stat(path)

    async def listing(self, path: str) -> list[Entry]:
        """What is in a folder, sorted by name."""
        return await self.files.list(path)

    async def walk(self, path: str) -> AsyncIterator[Entry]:
        """All below a path, sorted by path."""
        entries = await self.files.walk(path, limit=MOST_ENTRIES)
        while entries:
            for each in entries:
                if each.path != path:
                    yield each
            entries = await self.files.walk(path, after=entries[-1].path, limit=MOST_ENTRIES)

    async def root(self, path: str) -> bytes:
        """The root digest of a file as it is now."""
        return await self.files.root(path)

    async def digests(self, path: str, timestamp: int, first: int, count: int) -> Digests:
        """Digests of chunks, and nobody else."""
        return Digests(await self.files.digests(path, timestamp, first, count), [])

    # ---- writing

    async def write(self, path: str, data: Buffer, *, base: Version | None, fence: Fence | None) -> Written:
        """Write a whole file."""
        return await self.files.write(path, data, writer=self._me.name, base=base, fence=fence)

    async def upload(
        self, path: str, chunks: AsyncIterator[bytes], *, base: Version | None, fence: Fence | None
    ) -> Written:
        """Write a whole file that is told piece by piece."""
        draft = await self.files.draft(path, fence=fence)
        try:
            async for each in chunks:
                await draft.write(each)
        except BaseException:
            await draft.abort()
            raise
        return await draft.commit(writer=self._me.name, base=base, fence=fence)

    async def append(self, path: str, data: Buffer, *, fence: Fence | None) -> Written:
        """Write at the end of a file."""
        return await self.files.append(path, data, writer=self._me.name, fence=fence)

    async def rename(self, path: str, to: str, *, replace: bool, fence: Fence | None) -> Entry:
        """Give a file or folder another path."""
        return await self.files.rename(path, to, writer=self._me.name, replace=replace, fence=fence)

    async def delete(self, path: str, *, recursive: bool, fence: Fence | None) -> None:
        """Delete a file or folder."""
        await self.files.delete(path, writer=self._me.name, recursive=recursive, fence=fence)

    async def make_folder(self, path: str, *, parents: bool, fence: Fence | None) -> Entry:
        """Make a folder."""
        return await self.files.make_folder(path, writer=self._me.name, parents=parents, fence=fence)
