"""A file that is open for reading: any part of it, of one version, with only the chunks fetched that are needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType

from guthi import UsageError
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.information import FileInfo
from guthi_gutfs.transfer.content import Content

__all__ = ["OpenFile"]


class OpenFile:
    """A file of the tree; `async with fs.open(path) as file: await file.read(offset, size)`.

    What is read is the version that was there when it was opened. When that is gone, from its owner and from all that
    have a copy, reading raises FileChanged.
    """

    lives_on_loop = True

    def __init__(self, opening: Callable[[], Awaitable[tuple[FileInfo, Content]]]) -> None:
        self._opening = opening
        self._opened: tuple[FileInfo, Content] | None = None
        self._last: tuple[int, bytes] = (-1, b"")

    async def _content(self) -> Content:
        if self._opened is None:
            self._opened = await self._opening()
        return self._opened[1]

    async def __aenter__(self) -> OpenFile:
        await self._content()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._last = (-1, b"")

    async def info(self) -> FileInfo:
        """What it is; opens it if need be."""
        await self._content()
        assert self._opened is not None
        return self._opened[0]

    async def size(self) -> int:
        """In bytes."""
        return (await self._content()).entry.size_bytes

    async def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """The bytes from `offset` on: `size` of them, fewer at the end, all of them without `size`."""
        pieces = [piece async for piece in self._pieces(offset, size)]
        if len(pieces) == 1 and isinstance(whole := pieces[0].obj, bytes) and len(whole) == len(pieces[0]):
            return whole  # not copied
        return b"".join(pieces)

    async def readinto(self, offset: int, buffer: bytearray | memoryview) -> int:
        """The same into a buffer of the caller's; returns how many bytes came."""
        view, at = memoryview(buffer).cast("B"), 0
        async for piece in self._pieces(offset, len(view)):
            view[at : at + len(piece)] = piece
            at += len(piece)
        return at

    async def _pieces(self, offset: int, size: int | None) -> AsyncIterator[memoryview]:
        if offset < 0 or (size is not None and size < 0):
            raise UsageError(f"a part of a file begins at 0 or later and has 0 bytes or more, not {offset} and {size}")
        content = await self._content()
        end = content.entry.size_bytes if size is None else min(offset + size, content.entry.size_bytes)
        at = offset
        async for index, data in self._chunks(content, offset, end):
            begin = index * CHUNK_BYTES
            yield memoryview(data)[at - begin : end - begin]
            at = begin + len(data)

    async def _chunks(self, content: Content, offset: int, end: int) -> AsyncIterator[tuple[int, bytes]]:
        """The chunks that a part touches; the last one is remembered, for who reads little by little."""
        if offset >= end:
            return
        first, last = offset // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        if self._last[0] == first:
            yield self._last
            first += 1
        if first > last:
            return
        index = first
        async for data in content.chunks(first, last - first + 1):
            self._last = index, data
            yield index, data
            index += 1
