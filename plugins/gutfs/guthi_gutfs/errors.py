"""What can go wrong with files."""

from __future__ import annotations

from guthi.errors import GuthiError, UsageError

__all__ = [
    "AmbiguousName",
    "BadPath",
    "FileChanged",
    "FolderNotEmpty",
    "NotFound",
    "NotTried",
    "PathExists",
    "PermissionDenied",
    "QuotaExceeded",
    "SourceGone",
    "StorageFailed",
    "WrongKind",
]


class BadPath(UsageError, ValueError):
    """A text is no path of the tree, or no system can have a file of that name."""


class NotFound(UsageError, FileNotFoundError):
    """Nothing is exported under that path, or it is gone."""


class PathExists(UsageError, FileExistsError):
    """There is something under that path already."""


class WrongKind(UsageError):
    """A folder was to be read or written as a file, or a file listed as a folder."""


class FolderNotEmpty(UsageError):
    """A folder was to be deleted, or replaced, that has something in it."""


class PermissionDenied(GuthiError, PermissionError):
    """The export is read-only, its patterns leave the path out, or the system does not let its node at the file."""


class QuotaExceeded(GuthiError):
    """The export would become larger than its quota, or the disk is full."""


class FileChanged(GuthiError):
    """The file is another version by now than the one that was asked for."""


class StorageFailed(GuthiError):
    """The system could not read or write a disk; the message says why."""


class AmbiguousName(UsageError):
    """Several nodes have different files under that name; the message has the names that tell them apart."""


class SourceGone(GuthiError):
    """No node that can be reached has what was asked for."""


class NotTried(GuthiError):
    """An operation of a batch was left out, for one before it failed."""
