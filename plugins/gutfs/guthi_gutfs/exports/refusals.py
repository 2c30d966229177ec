"""Decides what an error of the system means to who asked for a file."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from guthi import GuthiError
from guthi_gutfs.errors import (
    BadPath,
    FolderNotEmpty,
    NotFound,
    PathExists,
    PermissionDenied,
    QuotaExceeded,
    StorageFailed,
    WrongKind,
)

__all__ = ["refusals_of"]

_MEANINGS: Mapping[int | None, tuple[type[GuthiError], str]] = MappingProxyType(
    {
        errno.ENOENT: (NotFound, "there is no {path}"),
        errno.ELOOP: (NotFound, "{path} is, or goes through, a symbolic link; exports have none"),
        errno.ENOTDIR: (WrongKind, "{path} goes through what is no folder"),
        errno.EISDIR: (WrongKind, "{path} is a folder"),
        errno.EEXIST: (PathExists, "{path} is there already"),
        errno.ENOTEMPTY: (FolderNotEmpty, "the folder {path} is not empty"),
        errno.ENAMETOOLONG: (BadPath, "{path} is too long for the disk of its node"),
        errno.EACCES: (PermissionDenied, "the system does not let this node at {path}"),
        errno.EPERM: (PermissionDenied, "the system does not let this node at {path}"),
        errno.EROFS: (PermissionDenied, "the disk of {path} is read-only"),
        errno.ENOSPC: (QuotaExceeded, "the disk of {path} is full"),
        errno.EDQUOT: (QuotaExceeded, "the disk of {path} has no room left for this node's user"),
        errno.EXDEV: (PermissionDenied, "{path} is on another disk; copy it and delete it instead"),
    }
)


@contextmanager
def refusals_of(path: str) -> Iterator[None]:
    """Raise Guthi's own errors for those that the system raises meanwhile about a path of the tree."""
    try:
        yield
    except GuthiError:
        raise
    except OSError as error:
        kind, text = _MEANINGS.get(error.errno, (StorageFailed, f"{{path}}: {error.strerror or error}"))
        raise kind(text.format(path=path)) from error
