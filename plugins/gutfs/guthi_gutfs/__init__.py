"""Guthi's gutfs plugin: one file tree for the whole network."""

from guthi_gutfs.batch import Batch, Outcome
from guthi_gutfs.cache.cache import CacheUsage
from guthi_gutfs.conflicts.listing import Conflict
from guthi_gutfs.entries import Change, ChangeKind, Entry, FileId, Kind, Version, Written
from guthi_gutfs.errors import (
    AmbiguousName,
    BadPath,
    FileChanged,
    FolderNotEmpty,
    NotFound,
    NotTried,
    PathExists,
    PermissionDenied,
    QuotaExceeded,
    SourceGone,
    StorageFailed,
    WrongKind,
)
from guthi_gutfs.handle import OpenFile
from guthi_gutfs.information import ExporterInfo, FileInfo
from guthi_gutfs.plugin import GutfsPlugin
from guthi_gutfs.service import GUTFS, Gutfs
from guthi_gutfs.watching import FileChange, Lagged, Watch

__all__ = [
    "GUTFS",
    "AmbiguousName",
    "BadPath",
    "Batch",
    "CacheUsage",
    "Change",
    "ChangeKind",
    "Conflict",
    "Entry",
    "ExporterInfo",
    "FileChange",
    "FileChanged",
    "FileId",
    "FileInfo",
    "FolderNotEmpty",
    "Gutfs",
    "GutfsPlugin",
    "Kind",
    "Lagged",
    "NotFound",
    "NotTried",
    "OpenFile",
    "Outcome",
    "PathExists",
    "PermissionDenied",
    "QuotaExceeded",
    "SourceGone",
    "StorageFailed",
    "Version",
    "Watch",
    "Written",
    "WrongKind",
]
