"""Decides how files below one folder are reached, such that no name leads out of it: one name at a time, never a link.

A path that is checked and then opened can have become a symbolic link in between. So where the system can, a folder is
held by its descriptor, and what is in it is opened relative to that with O_NOFOLLOW: there is nothing left to race
with, and what is moved away meanwhile stays what it was. `PathFolder` is for systems that have no such calls (Windows);
it looks at each name before and after, and so narrows the race without closing it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from guthi_gutfs.errors import NotFound, WrongKind
from guthi_gutfs.paths import is_name

__all__ = ["DescriptorFolder", "Folder", "PathFolder", "entered", "opened", "reached"]

HAS_DESCRIPTORS = (
    {os.open, os.stat, os.mkdir, os.rename, os.unlink, os.rmdir, os.utime} <= os.supports_dir_fd
    and os.scandir in os.supports_fd
    and hasattr(os, "O_NOFOLLOW")
)
READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
APPEND = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Folder(Protocol):
    """A folder that is held open; names are single names in it. All methods raise OSError, and NotFound for links."""

    def enter(self, name: str) -> Folder:
        """The folder of that name, held open as well."""

    def look(self, name: str) -> os.stat_result:
        """What has that name: of a link the link itself."""

    def look_at_all(self) -> list[tuple[str, os.stat_result]]:
        """All that is in it, sorted by name; what is gone meanwhile, and what has no name in Unicode, is left out."""

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a plain file, and of nothing else."""

    def make_folder(self, name: str) -> None:
        """Make a folder."""

    def move(self, name: str, to: Folder, to_name: str) -> None:
        """Give what has that name another one; a file that had it is replaced, all at once."""

    def remove(self, name: str) -> None:
        """Remove a file, or a link."""

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""

    def set_time(self, name: str, modified_s: float) -> None:
        """Let a file have been modified at a time, in seconds since 1970."""

    def sync(self) -> None:
        """Make what was created, moved and removed here outlast a power failure."""

    def close(self) -> None:
        """Hold it no more."""


def opened(folder: Path) -> Folder:
    """The folder that an export begins with; it may itself be reached by links, since its node's owner names it."""
    return DescriptorFolder(os.open(folder, os.O_RDONLY | os.O_DIRECTORY)) if HAS_DESCRIPTORS else PathFolder(folder)


def reached(folder: Path, names: Sequence[str]) -> Folder:
    """The folder that is reached from another by names; the caller closes it."""
    held = opened(folder)
    for name in names:
        try:
            inner = held.enter(name)
        finally:
            held.close()
        held = inner
    return held


@contextmanager
def entered(folder: Path, names: Sequence[str]) -> Iterator[Folder]:
    """The same, as long as the context lasts."""
    held = reached(folder, names)
    try:
        yield held
    finally:
        held.close()


class DescriptorFolder:
    """A folder by its descriptor, which the object owns."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def enter(self, name: str) -> DescriptorFolder:
        """See Folder."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        return DescriptorFolder(os.open(_checked(name), flags, dir_fd=self.descriptor))

    def look(self, name: str) -> os.stat_result:
        """See Folder."""
        return os.stat(_checked(name), dir_fd=self.descriptor, follow_symlinks=False)

    def look_at_all(self) -> list[tuple[str, os.stat_result]]:
        """See Folder."""
        with os.scandir(self.descriptor) as found:
            return _looked_at(found)

    def open(self, name: str, flags: int) -> int:
        """See Folder. O_NONBLOCK, because a pipe would wait for somebody who writes."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return _plain(os.open(_checked(name), flags, 0o666, dir_fd=self.descriptor), name)

    def make_folder(self, name: str) -> None:
        """See Folder."""
        os.mkdir(_checked(name), dir_fd=self.descriptor)

    def move(self, name: str, to: Folder, to_name: str) -> None:
        """See Folder."""
        assert isinstance(to, DescriptorFolder)
        os.replace(_checked(name), _checked(to_name), src_dir_fd=self.descriptor, dst_dir_fd=to.descriptor)

    def remove(self, name: str) -> None:
        """See Folder."""
        os.unlink(_checked(name), dir_fd=self.descriptor)

    def remove_folder(self, name: str) -> None:
        """See Folder."""
        os.rmdir(_checked(name), dir_fd=self.descriptor)

    def set_time(self, name: str, modified_s: float) -> None:
        """See Folder."""
        os.utime(_checked(name), (modified_s, modified_s), dir_fd=self.descriptor, follow_symlinks=False)

    def sync(self) -> None:
        """See Folder."""
        os.fsync(self.descriptor)

    def close(self) -> None:
        """See Folder."""
        os.close(self.descriptor)


class PathFolder:
    """A folder by its path, for systems where descriptors of folders cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _at(self, name: str) -> Path:
        path = self._path / _checked(name)
        if path.parent != self._path or path.name != name:  # a drive, a stream, a device: all have other rules there
            raise NotFound(f"{name!r} cannot be the name of a file on this node's system")
        return path

    def enter(self, name: str) -> PathFolder:
        """See Folder."""
        path = self._at(name)
        if not stat.S_ISDIR(self.look(name).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        if os.path.realpath(path) != os.path.join(os.path.realpath(self._path), name):
            raise NotFound(f"{name!r} leads out of its folder")
        return PathFolder(path)

    def look(self, name: str) -> os.stat_result:
        """See Folder."""
        return os.lstat(self._at(name))

    def look_at_all(self) -> list[tuple[str, os.stat_result]]:
        """See Folder."""
        with os.scandir(self._path) as found:
            return [(name, self.look(name)) for name, _ in _looked_at(found)]

    def open(self, name: str, flags: int) -> int:
        """See Folder."""
        path = self._at(name)
        before = None if flags & os.O_CREAT else self.look(name)
        if before is not None and stat.S_ISLNK(before.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        descriptor = _plain(os.open(path, flags, 0o666), name)
        if before is not None and not os.path.samestat(before, os.fstat(descriptor)):
            os.close(descriptor)
            raise NotFound(f"{name!r} was replaced while it was opened; try again")
        return descriptor

    def make_folder(self, name: str) -> None:
        """See Folder."""
        os.mkdir(self._at(name))

    def move(self, name: str, to: Folder, to_name: str) -> None:
        """See Folder."""
        assert isinstance(to, PathFolder)
        os.replace(self._at(name), to._at(to_name))

    def remove(self, name: str) -> None:
        """See Folder."""
        os.unlink(self._at(name))

    def remove_folder(self, name: str) -> None:
        """See Folder."""
        os.rmdir(self._at(name))

    def set_time(self, name: str, modified_s: float) -> None:
        """See Folder."""
        os.utime(self._at(name), (modified_s, modified_s))

    def sync(self) -> None:
        """Such systems make renames durable without it."""

    def close(self) -> None:
        """Nothing is held."""


def _checked(name: str) -> str:
    if not is_name(name):  # whoever calls has checked paths; this is the last gate
        raise NotFound(f"{name!r:.80} cannot be the name of a file")
    return name


def _plain(descriptor: int, name: str) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise WrongKind(f"{name!r} is no plain file")
    return descriptor


def _looked_at(found: Iterator[os.DirEntry[str]]) -> list[tuple[str, os.stat_result]]:
    looked_at = []
    for each in found:
        try:
            if is_name(each.name):
                looked_at.append((each.name, each.stat(follow_symlinks=False)))
        except FileNotFoundError:
            continue
    return sorted(looked_at, key=lambda pair: pair[0])
