"""Keeps chunks on disk, a file each, named by its digest; what is read is verified, and what is damaged removed.

Nothing here is synced: after a power failure some chunks may be cut short, which their digests show.
"""

from __future__ import annotations

import os
from pathlib import Path

from guthi_gutfs.chunks import CHUNK_BYTES, DIGEST_BYTES, digest_of

__all__ = ["ChunkStore"]

DRAFT = ".new"


class ChunkStore:
    """The folder with the chunks; all methods wait for the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> list[tuple[bytes, int]]:
        """The chunks that are there since before, with their sizes; what was used longest ago first."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for part in sorted(self._folder.iterdir()):
            for path in sorted(part.iterdir()) if part.is_dir() else ():
                digest, status = _digest(path.name), path.stat()
                if digest is None or not 0 < status.st_size <= CHUNK_BYTES:
                    path.unlink(missing_ok=True)
                else:
                    found.append((status.st_mtime_ns, digest, status.st_size))
        return [(digest, size_bytes) for _, digest, size_bytes in sorted(found)]

    def write(self, digest: bytes, data: bytes) -> None:
        """Keep a chunk; raises OSError."""
        path = self._path(digest)
        draft = path.with_name(path.name + DRAFT)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            draft.write_bytes(data)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def read(self, digest: bytes) -> bytes | None:
        """A chunk; None if it is not there, or damaged, and then it is there no more."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        if digest_of(data) != digest:
            self.remove(digest)
            return None
        return data

    def remove(self, digest: bytes) -> None:
        """Keep a chunk no longer."""
        try:
            self._path(digest).unlink(missing_ok=True)
        except OSError:
            pass  # it stays, and is found at the next start

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name


def _digest(name: str) -> bytes | None:
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        return None
    return digest if len(digest) == DIGEST_BYTES and digest.hex() == name else None
