"""Remembers on disk what this node exports: entries with their versions, digests of chunks, and what was deleted.

It is a SQLite database. What it says of a file holds as long as the file has the signature that stands beside it; all
of it but the versions could be found out again by reading the files. Each change gets the next `sequence`; `life` is
drawn anew when the index begins empty, so that nobody takes its numbers for those of an index that was lost.

All methods may be called in any thread. What is put in one `transaction` is on disk as a whole, or not at all. Others
read meanwhile what was there before it, by a connection of their own, so a long transaction holds up nobody who reads.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from guthi import NodeId
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.errors import StorageFailed
from guthi_gutfs.exports.rows import Row, Signature
from guthi_gutfs.paths import ROOT, parent_of
from guthi_gutfs.timestamps import packed, unpacked
from guthi_gutfs.vectors import VersionVector

__all__ = ["Index"]

log = logging.getLogger("guthi_gutfs")

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE entries (
    path TEXT PRIMARY KEY, parent TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL, modified REAL NOT NULL,
    vector BLOB NOT NULL, timestamp INTEGER NOT NULL, writer TEXT NOT NULL, sequence INTEGER NOT NULL UNIQUE,
    root BLOB, inode INTEGER, modified_ns INTEGER, changed_ns INTEGER
) WITHOUT ROWID;
CREATE INDEX by_parent ON entries (parent, path);
CREATE TABLE chunks (path TEXT NOT NULL, position INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (path, position))
    WITHOUT ROWID;
CREATE INDEX by_digest ON chunks (digest);
CREATE TABLE appends (path TEXT PRIMARY KEY, inode INTEGER NOT NULL, size INTEGER NOT NULL, until INTEGER NOT NULL)
    WITHOUT ROWID;
"""
COLUMNS = "path, kind, size, modified, vector, timestamp, writer, sequence, root, inode, modified_ns, changed_ns"
SIGN = 1 << 63
LAST = SIGN - 1
_KINDS = MappingProxyType({each.value: each for each in Kind})


class Index:
    """The index of one node; `path` None keeps it in memory. `life` is used if the index begins empty."""

    def __init__(self, path: Path | None, life: bytes) -> None:
        self._lock = threading.RLock()
        self._reading_lock = threading.Lock()
        self._owner: int | None = None  # the thread that is in a transaction
        try:
            self._database = _opened(path)
        except sqlite3.OperationalError as error:
            raise StorageFailed(f"the index {path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            log.warning("the index %s is damaged (%s); it is made anew from the files", path, error)
            assert path is not None
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._database = _opened(path)
        self._reading = self._database if path is None else _opened(path)
        if path is None:
            self._reading_lock = self._lock  # type: ignore[assignment]  # one connection, one lock
        self.sequence = self._last = self.count = 0
        with self.transaction():
            self._database.execute("INSERT OR IGNORE INTO facts VALUES ('life', ?)", (life,))
        self.life: bytes = self._fact("life", b"")
        self._last = max(self._value("SELECT max(sequence) FROM entries") or 0, self._fact("sequence", 0))
        self.sequence = self._last  # of what others can read: the transaction under way may have put more
        self.count = self._value("SELECT count(*) FROM entries")
        self.floor: int = unpacked(self._fact("floor", packed(0)))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._reading.close()
            self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is put meanwhile is put as a whole; other threads wait. May be nested."""
        with self._lock:
            if self._owner is not None:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            self._owner, before = threading.get_ident(), (self._last, self.count)
            try:
                yield
            except BaseException:
                self._database.rollback()
                self._last, self.count = before
                raise
            else:
                self._database.commit()
                self.sequence = self._last
            finally:
                self._owner = None

    # ---- entries

    def row(self, path: str) -> Row | None:
        """What is noted of a path, also that it is gone."""
        found = self._all(f"SELECT {COLUMNS} FROM entries WHERE path = ?", (path,))
        return found[0] if found else None

    def children(self, folder: str) -> list[Row]:
        """What is in a folder, sorted; nothing that is gone."""
        query = f"SELECT {COLUMNS} FROM entries WHERE parent = ? AND kind != 'gone' AND path != '/' ORDER BY path"
        return self._all(query, (folder,))

    def signatures(self, folder: str) -> dict[str, Signature]:
        """By what the disk would show that something in a folder is another version by now, by path."""
        query = (
            "SELECT path, inode, size, modified_ns, changed_ns FROM entries "
            "WHERE parent = ? AND kind != 'gone' AND path != '/' AND inode IS NOT NULL"
        )
        found = self._found(query, (folder,))
        return {path: Signature(inode % (1 << 64), *rest) for path, inode, *rest in found}

    def below(self, folder: str, after: str = "", limit: int = -1) -> list[Row]:
        """The folder itself and all below it, sorted by path, from the one after `after` on; nothing that is gone."""
        prefix = folder.rstrip("/") + "/"
        query = (
            f"SELECT {COLUMNS} FROM entries WHERE (path = ? OR path >= ? AND path < ?) AND path > ? AND kind != 'gone' "
            "ORDER BY path LIMIT ?"
        )
        return self._all(query, (folder, prefix, prefix[:-1] + "0", after, limit))

    def since(self, sequence: int, limit: int) -> list[Entry]:
        """What has changed after a number, in order; what is gone as well."""
        query = f"SELECT {COLUMNS} FROM entries WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return [row.entry for row in self._all(query, (min(sequence, LAST), limit))]

    def put(self, entry: Entry, signature: Signature | None) -> Entry:
        """Note a new version, under the next number; what is known of chunks stays only by `keep_chunks`."""
        with self.transaction():
            self._last += 1
            entry = replace(entry, sequence=self._last)
            self.count += self.row(entry.path) is None
            marks = ", ".join("?" * 13)
            self._database.execute(f"INSERT OR REPLACE INTO entries VALUES ({marks})", _columns(entry, signature))
            self._database.execute("DELETE FROM chunks WHERE path = ?", (entry.path,))
        return entry

    def resign(self, path: str, signature: Signature) -> None:
        """Note that the same version has another signature."""
        with self.transaction():
            self._database.execute(
                "UPDATE entries SET inode = ?, modified_ns = ?, changed_ns = ? WHERE path = ?",
                (signature.inode, signature.modified_ns, signature.changed_ns, path),
            )

    def bury(self, before: int) -> int:
        """Forget what was deleted before a timestamp; returns how many entries were forgotten."""
        with self.transaction():
            where = "FROM entries WHERE kind = 'gone' AND timestamp < ?"
            newest, count = self._database.execute(
                f"SELECT max(timestamp), count(*) {where}", (packed(before),)
            ).fetchone()
            if count:
                self._database.execute(f"DELETE {where}", (packed(before),))
                self.floor = max(self.floor, unpacked(newest))
                self.count -= count
                facts = {"floor": packed(self.floor), "sequence": self._last}
                self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
        return int(count)

    def size_bytes(self, folder: str) -> int:
        """How many bytes the files below a folder have."""
        prefix = folder.rstrip("/") + "/"
        query = "SELECT sum(size) FROM entries WHERE path = ? OR path >= ? AND path < ?"
        return int(self._value(query, (folder, prefix, prefix[:-1] + "0")) or 0)

    # ---- chunks

    def digests(self, path: str, first: int, count: int) -> dict[int, bytes]:
        """The digests of chunks that are known, by position."""
        query = "SELECT position, digest FROM chunks WHERE path = ? AND position >= ? AND position < ?"
        return dict(self._found(query, (path, first, first + count)))

    def remember(self, path: str, timestamp: int, digests: Mapping[int, bytes], root: bytes | None = None) -> None:
        """Note digests of a version, if the path is still that version."""
        with self.transaction():
            row = self.row(path)
            if row is None or row.entry.version.timestamp != timestamp:
                return
            self._put_digests(path, digests.items())
            if root is not None:
                self._database.execute("UPDATE entries SET root = ? WHERE path = ?", (root, path))

    def _put_digests(self, path: str, digests: Iterable[tuple[int, bytes]]) -> None:
        found = [(path, position, digest) for position, digest in digests]
        self._database.executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?)", found)

    def places(self, digest: bytes, limit: int = 8) -> list[tuple[str, int]]:
        """Paths, and positions in them, where a chunk of that digest was."""
        query = "SELECT path, position FROM chunks WHERE digest = ? LIMIT ?"
        return self._found(query, (digest, limit))

    # ---- appends that are under way

    def append_begins(self, path: str, inode: int, size_bytes: int, until_bytes: int) -> None:
        """Note how long a file is, and how long it will be: `writing.Writer.append` says what for."""
        with self.transaction():
            marks = (path, _signed(inode), size_bytes, until_bytes)
            self._database.execute("INSERT OR REPLACE INTO appends VALUES (?, ?, ?, ?)", marks)

    def append_ends(self, path: str) -> None:
        """The file is as it should be."""
        with self.transaction():
            self._database.execute("DELETE FROM appends WHERE path = ?", (path,))

    def appends(self) -> list[tuple[str, int, int, int]]:
        """Path, inode, size before and size after, of appends that did not come to their end."""
        found = self._found("SELECT path, inode, size, until FROM appends ORDER BY path")
        return [(path, inode % (1 << 64), size_bytes, until_bytes) for path, inode, size_bytes, until_bytes in found]

    # ---- SQLite

    def _found(self, query: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What a query finds: who is in a transaction sees what it has put, others what was there before."""
        if self._owner == threading.get_ident():
            return self._database.execute(query, arguments).fetchall()
        with self._reading_lock:
            return self._reading.execute(query, arguments).fetchall()

    def _all(self, query: str, arguments: tuple[Any, ...]) -> list[Row]:
        return [_row(each) for each in self._found(query, arguments)]

    def _value(self, query: str, arguments: tuple[Any, ...] = ()) -> Any:
        return self._found(query, arguments)[0][0]

    def _fact(self, name: str, default: Any) -> Any:
        found = self._found("SELECT value FROM facts WHERE name = ?", (name,))
        return found[0][0] if found else default


def _opened(path: Path | None) -> sqlite3.Connection:
    database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            database.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"it has format {version}, and this version of Guthi reads {SCHEMA_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _columns(entry: Entry, signature: Signature | None) -> tuple[Any, ...]:
    version = entry.version
    vector = b"".join(bytes(node) + count.to_bytes(8, "big") for node, count in version.vector.counts)
    parts = (signature.inode, signature.modified_ns, signature.changed_ns) if signature else (None, None, None)
    inode = _signed(parts[0]) if parts[0] is not None else None
    return (
        entry.path,
        parent_of(entry.path) if entry.path != ROOT else "",
        entry.kind.value,
        entry.size_bytes,
        entry.modified_s,
        vector,
        packed(version.timestamp),
        version.writer,
        entry.sequence,
        entry.root,
        inode,
        *parts[1:],
    )


def _row(columns: tuple[Any, ...]) -> Row:
    path, kind, size, modified, packed, timestamp, writer, sequence, root, inode, modified_ns, changed_ns = columns
    version = Version(_vector(packed), unpacked(timestamp), writer)
    entry = Entry(path, _KINDS[kind], size, modified, version, sequence, root)
    return Row(entry, None if inode is None else Signature(inode % (1 << 64), size, modified_ns, changed_ns))


@lru_cache(maxsize=4096)  # most files of a folder were noted together, and have the same
def _vector(packed: bytes) -> VersionVector:
    step = NodeId.SIZE + 8
    counts = (
        (NodeId(packed[at : at + NodeId.SIZE]), int.from_bytes(packed[at + NodeId.SIZE : at + step], "big"))
        for at in range(0, len(packed), step)
    )
    return VersionVector(tuple(counts))


def _signed(number: int) -> int:
    """A number of 64 bits as one with a sign; some systems have such inodes."""
    return number - (1 << 64) if number >= SIGN else number
