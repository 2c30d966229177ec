"""The tree as a folder of this machine, by FUSE: `guthi fs mount DIR` until it is ended or the folder is unmounted.

Reading fetches the chunks that are touched. What is written goes into a temporary file, and into the tree when the
program closes it: then it is on its node's disk, or closing fails. The system is told to keep no attributes of its own,
which would be stale for a second; this node keeps them, and knows when they are.

Needs fusepy, and the system's libfuse 2. Neither is loaded before somebody mounts.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from guthi import ConfigError, GuthiError
from guthi_gutfs.errors import (
    BadPath,
    FolderNotEmpty,
    NotFound,
    PathExists,
    PermissionDenied,
    QuotaExceeded,
    SourceGone,
    WrongKind,
)
from guthi_gutfs.information import FileInfo

__all__ = ["MountedTree", "mount"]

Draft: TypeAlias = "tempfile._TemporaryFileWrapper[bytes]"

READ_BYTES = 131_072  # what the system asks for at a time
ERRORS = MappingProxyType(
    {
        NotFound: errno.ENOENT,
        BadPath: errno.ENOENT,
        PathExists: errno.EEXIST,
        PermissionDenied: errno.EACCES,
        FolderNotEmpty: errno.ENOTEMPTY,
        QuotaExceeded: errno.ENOSPC,
        WrongKind: errno.EISDIR,
        SourceGone: errno.EHOSTDOWN,
    }
)


def mount(tree: Any, folder: Path) -> None:
    """Show the tree, the blocking face of a service, in a folder until it is unmounted. Raises ConfigError."""
    try:
        import fuse  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError('mounting needs fusepy: pip install "guthi-gutfs[fuse]"') from error
    except OSError as error:
        raise ConfigError("mounting needs libfuse 2 (Debian: apt install libfuse2 fuse)") from error
    options = {"foreground": True, "nothreads": False, "attr_timeout": 0, "entry_timeout": 0, "max_read": READ_BYTES}
    try:
        fuse.FUSE(MountedTree(tree), os.fspath(folder), fsname="gutfs", **options)
    except RuntimeError as error:
        raise ConfigError(f"{folder} cannot be mounted: the system's FUSE refuses it ({error})") from error


def _answering(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let errors be those that the system knows."""

    @wraps(method)
    def answer(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except GuthiError as error:
            number = next((each for kind, each in ERRORS.items() if isinstance(error, kind)), errno.EIO)
            raise OSError(number, os.strerror(number)) from error

    return answer


@dataclass(slots=True)
class _Open:
    """A file that a program has open; `draft` is what it has written, once it writes."""

    path: str
    source: Any
    draft: Draft | None = None
    is_changed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class MountedTree:
    """What FUSE calls; paths are those of the tree. fusepy takes any object with `__call__(operation, …)`."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._open: dict[int, _Open] = {}
        self._numbers = count(1)

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """Do what the system asks for; raises OSError."""
        method = getattr(self, operation, None)
        if operation.startswith("_") or method is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        return method(*arguments)

    def init(self, path: str) -> None:
        """It begins."""

    def destroy(self, path: str) -> None:
        """It ends."""

    def access(self, path: str, mode: int) -> int:
        """Whether something may be done there is found out when it is done."""
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        """Nobody knows how large the tree is."""
        return {"f_bsize": READ_BYTES, "f_namemax": 255}

    # ---- looking

    @_answering
    def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        """What is under a path."""
        attributes = _attributes(self._tree.stat(path))
        for each in list(self._open.values()):
            if each.path == path and each.draft is not None:
                attributes["st_size"] = os.fstat(each.draft.fileno()).st_size
        return attributes

    @_answering
    def readdir(self, path: str, handle: int) -> list[str]:
        """The names in a folder."""
        return [".", "..", *(each.name for each in self._tree.list(path))]

    # ---- files

    @_answering
    def open(self, path: str, flags: int) -> int:
        """A program opens a file."""
        opened = _Open(path, self._tree.open(path))
        if flags & os.O_TRUNC:
            self._begin(opened, keep=False)
            opened.is_changed = True
        return self._add(opened)

    @_answering
    def create(self, path: str, mode: int, info: Any = None) -> int:
        """A program makes a file; it is there at once, and empty."""
        self._tree.write(path, b"")
        opened = _Open(path, self._tree.open(path))
        self._begin(opened, keep=False)
        return self._add(opened)

    def _add(self, opened: _Open) -> int:
        number = next(self._numbers)
        self._open[number] = opened
        return number

    @_answering
    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        """A part of a file."""
        opened = self._open[handle]
        with opened.lock:
            if opened.draft is not None:
                return os.pread(opened.draft.fileno(), size, offset)
            data: bytes = opened.source.read(offset, size)
            return data

    @_answering
    def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
        """A part of a file is written."""
        opened = self._open[handle]
        with opened.lock:
            draft = self._begin(opened, keep=True)
            opened.is_changed = True
            return os.pwrite(draft.fileno(), data, offset)

    @_answering
    def truncate(self, path: str, length: int, handle: int | None = None) -> None:
        """A file is cut, or filled with zeros."""
        number = self.open(path, 0) if handle is None else handle
        opened = self._open[number]
        with opened.lock:
            os.ftruncate(self._begin(opened, keep=length > 0).fileno(), length)
            opened.is_changed = True
        if handle is None:
            self.flush(path, number)
            self.release(path, number)

    def _begin(self, opened: _Open, *, keep: bool) -> Draft:
        """The draft, with what the file has so far if that is to stay."""
        if opened.draft is None:
            opened.draft = tempfile.NamedTemporaryFile(prefix="guthi-fuse-")  # noqa: SIM115 - until it is released
            for piece in self._tree.chunks(opened.path) if keep else ():
                opened.draft.write(piece)
            opened.draft.flush()
        return opened.draft

    @_answering
    def flush(self, path: str, handle: int) -> None:
        """A program closes the file, or wants it to be on disk: the draft becomes the file."""
        opened = self._open[handle]
        with opened.lock:
            if opened.draft is not None and opened.is_changed:
                self._tree.put(opened.draft.name, opened.path)
                opened.is_changed = False

    def fsync(self, path: str, only_data: bool, handle: int) -> None:
        """The same."""
        self.flush(path, handle)

    def release(self, path: str, handle: int) -> None:
        """Nobody has it open any more."""
        opened = self._open.pop(handle)
        if opened.draft is not None:
            opened.draft.close()

    # ---- names

    @_answering
    def unlink(self, path: str) -> None:
        """Delete a file."""
        self._tree.delete(path)

    @_answering
    def rmdir(self, path: str) -> None:
        """Delete an empty folder."""
        self._tree.delete(path)

    @_answering
    def mkdir(self, path: str, mode: int) -> None:
        """Make a folder."""
        self._tree.mkdir(path)

    @_answering
    def rename(self, path: str, to: str) -> None:
        """Give something another path."""
        self._tree.rename(path, to, replace=True)

    def chmod(self, path: str, mode: int) -> None:
        """Who may do what is not for the tree to say, and no error: programs that copy files do this."""

    def chown(self, path: str, user: int, group: int) -> None:
        """Likewise."""

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        """Likewise."""


def _attributes(info: FileInfo) -> dict[str, Any]:
    mode = stat.S_IFDIR | 0o755 if info.is_folder else stat.S_IFREG | 0o644
    times = dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), info.modified_s)
    owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
    return {"st_mode": mode, "st_nlink": 1, "st_size": info.size_bytes, **times, **owner}
