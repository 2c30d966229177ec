"""Decides how a file comes to be on disk as a whole or not at all: it is written as a draft, which is named at the end.

The draft stands in the folder that the file will be in, under a reserved name. At the end come, in this order: the
bytes to the disk, the new name in place of the old file, the folder to the disk. Whoever is killed in between leaves
the old file or the new one, and perhaps a draft, which is removed when the node starts again.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Sequence
from hashlib import sha256

from guthi.api import Buffer
from guthi_gutfs.chunks import CHUNK_BYTES, root_of
from guthi_gutfs.exports.folders import CREATE, Folder
from guthi_gutfs.exports.rules import RESERVED

__all__ = ["DraftFile", "draft_prefix", "remove_all", "remove_drafts"]

MOST_AGE_S = 86400.0


def draft_prefix(node: str) -> str:
    """How the names of a node's drafts begin."""
    return f"{RESERVED}{node}-"


class DraftFile:
    """A file that has no name yet. It closes the folder that it is given. All methods raise OSError.

    They may be called in any thread, also by somebody who gives up while another still writes: one at a time does its
    work, so that nobody writes to a descriptor that is closed, and may be another file's by then.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder, self._name = folder, name
        self._lock = threading.Lock()
        self._descriptor: int | None = folder.open(name, CREATE)
        self.size_bytes = 0
        self._digests: list[bytes] = []
        self._chunk = sha256()
        self._room_bytes = CHUNK_BYTES

    def write(self, data: Buffer) -> None:
        """Write what comes next; nothing after `discard`."""
        view = memoryview(data).cast("B")
        with self._lock:
            if self._descriptor is None:
                return
            self._digest(view)
            self.size_bytes += len(view)
            while view:
                view = view[os.write(self._descriptor, view) :]

    def _digest(self, view: memoryview) -> None:
        while view:
            part, view = view[: self._room_bytes], view[self._room_bytes :]
            self._chunk.update(part)
            self._room_bytes -= len(part)
            if not self._room_bytes:
                self._end_chunk()

    def _end_chunk(self) -> None:
        self._digests.append(self._chunk.digest())
        self._chunk, self._room_bytes = sha256(), CHUNK_BYTES

    def digests(self) -> tuple[Sequence[bytes], bytes]:
        """The digests of all chunks, and the root; nothing is written afterwards."""
        if self._room_bytes < CHUNK_BYTES:
            self._end_chunk()
        return self._digests, root_of(self.size_bytes, self._digests)

    def name_it(
        self, folder: Folder, name: str, *, replaced: os.stat_result | None, modified_s: float | None
    ) -> os.stat_result:
        """Let it be the file of that name, with the rights of the one that it replaces; returns a look at it.

        `folder` is where its path leads now; the folder in which the draft was begun may have been moved.
        """
        with self._lock:
            if self._descriptor is None:
                raise FileNotFoundError(errno.ENOENT, "it was given up", name)
            if replaced is not None and hasattr(os, "fchmod"):
                os.fchmod(self._descriptor, stat.S_IMODE(replaced.st_mode) & 0o777)
            os.fsync(self._descriptor)
            self._close()
            if modified_s is not None:
                self._folder.set_time(self._name, modified_s)
            self._folder.move(self._name, folder, name)
            folder.sync()
            return folder.look(name)

    def discard(self) -> None:
        """Leave nothing of it; after `name_it`, nothing but the file."""
        with self._lock:
            if self._descriptor is not None:
                self._close()
            try:
                self._folder.remove(self._name)
            except FileNotFoundError:
                pass
            finally:
                self._folder.close()

    def _close(self) -> None:
        assert self._descriptor is not None
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)


def remove_drafts(folder: Folder, prefix: str, now_s: float) -> None:
    """Remove what earlier lives of this node have left in a folder and below, and what is a day old, of any node."""
    try:
        listed = folder.look_at_all()
    except PermissionError:
        return  # where the node may not look, it has written nothing
    for name, looked_at in listed:
        is_folder = stat.S_ISDIR(looked_at.st_mode)
        is_left = name.startswith(RESERVED) and now_s - looked_at.st_mtime > MOST_AGE_S
        if name.startswith(prefix) or is_left:
            remove_all(folder, name, is_folder=is_folder)
        elif is_folder:
            _inside(folder, name, prefix, now_s)


def _inside(folder: Folder, name: str, prefix: str, now_s: float) -> None:
    try:
        inner = folder.enter(name)
    except OSError:
        return  # what cannot be looked into has no drafts of this node either
    try:
        remove_drafts(inner, prefix, now_s)
    finally:
        inner.close()


def remove_all(folder: Folder, name: str, *, is_folder: bool) -> None:
    """Remove a file, or a folder with all that is in it."""
    if not is_folder:
        folder.remove(name)
        return
    inner = folder.enter(name)
    try:
        for each, looked_at in inner.look_at_all():
            remove_all(inner, each, is_folder=stat.S_ISDIR(looked_at.st_mode))
    finally:
        inner.close()
    folder.remove_folder(name)
