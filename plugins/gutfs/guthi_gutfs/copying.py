"""Copies whole files between the tree and the disk of this machine, piece by piece, whatever their size."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import BinaryIO

from guthi.api import Buffer
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.disk import Disk

__all__ = ["pieces", "pieces_of_file", "save"]

Progress = Callable[[int], None]
"""Is told how many bytes more have been copied."""


async def pieces(data: Buffer) -> AsyncIterator[bytes]:
    """A content in memory, in pieces."""
    view = memoryview(data).cast("B")
    for at in range(0, len(view), CHUNK_BYTES):
        yield bytes(view[at : at + CHUNK_BYTES])


async def pieces_of_file(disk: Disk, path: Path, progress: Progress | None) -> AsyncIterator[bytes]:
    """A file of this machine's disk, in pieces; raises OSError."""
    file: BinaryIO = await disk.read(open, path, "rb")
    try:
        while piece := await disk.read(file.read, CHUNK_BYTES):
            yield piece
            if progress is not None:
                progress(len(piece))
    finally:
        await disk.read(file.close)


async def save(disk: Disk, path: Path, chunks: AsyncIterator[bytes], progress: Progress | None) -> None:
    """Write pieces to a file of this machine's disk, which is there as a whole or as it was before; raises OSError."""
    partial, file = await disk.read(_beside, path)
    try:
        async for piece in chunks:
            await disk.read(file.write, piece)
            if progress is not None:
                progress(len(piece))
        await disk.read(file.flush)
        await disk.read(os.fsync, file.fileno())
        await disk.read(file.close)
        await disk.read(os.replace, partial, path)
    except BaseException:
        await disk.read(file.close)
        await disk.read(partial.unlink, True)
        raise


def _beside(path: Path) -> tuple[Path, BinaryIO]:
    """A new file in the same folder, which nobody else writes: several may copy to one place at a time."""
    for number in count(1):
        partial = path.with_name(f".guthi-{number}.part")
        try:
            return partial, partial.open("xb")
        except FileExistsError:
            continue
    raise AssertionError("numbers do not end")
