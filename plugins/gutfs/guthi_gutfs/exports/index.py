"""Remembers on disk what this node exports: entries with their versions, digests of chunks, and what was deleted.

It is a SQLite database. What it says of a file holds as long as the file has the signature that stands beside it; all
of it but the versions could be found out again by reading the files. Each change gets the next `sequence`; `life` is
drawn anew when the index begins empty, so that nobody takes its numbers for those of an index that was lost.

All methods may be called in any thread, and raise StorageFailed. What is put in one `transaction` is on disk as a
whole, or not at all. Others read meanwhile what was there before it, by a connection of their own, so a long
transaction holds up nobody who reads.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from guthi_gutfs.entries import Entry
from guthi_gutfs.errors import StorageFailed
from guthi_gutfs.exports.records import COLUMNS, columns_of, row_of, signed, unsigned
from guthi_gutfs.exports.rows import Row, Signature
from guthi_gutfs.timestamps import packed, unpacked

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
FENCES = """
CREATE TABLE IF NOT EXISTS fences (place INTEGER PRIMARY KEY, export TEXT NOT NULL, lock TEXT NOT NULL,
    number INTEGER NOT NULL, UNIQUE (export, lock));
"""  # it came after the first format, in which it does not matter
LAST = (1 << 63) - 1


class Index:
    """The index of one node; `path` None keeps it in memory. `life` is used if the index begins empty."""

    def __init__(self, path: Path | None, life: bytes) -> None:
        self._lock = threading.RLock()
        self._reading_lock = threading.Lock()
        self._owner: int | None = None  # the thread that is in a transaction
        self._path = path
        with self._told():
            try:
                self._database = _opened(path)
                _check(self._database)
            except sqlite3.OperationalError:  # it may be whole
                raise
            except sqlite3.DatabaseError as error:
                log.warning("the index %s is damaged (%s); it is made anew from the files", path, error)
                assert path is not None
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                self._database = _opened(path)
        self._reading = self._database if path is None else _opened(path)
        if path is None:
            self._reading_lock = self._lock  # type: ignore[assignment]  # one connection, one lock
        self.sequence = self._last = self.count = self.gone = 0
        with self.transaction():
            self._database.execute("INSERT OR IGNORE INTO facts VALUES ('life', ?)", (life,))
        self.life: bytes = self._fact("life", b"")
        self._last = max(self._value("SELECT max(sequence) FROM entries") or 0, self._fact("sequence", 0))
        self.sequence = self._last  # of what others can read: the transaction under way may have put more
        self.count = self._value("SELECT count(*) FROM entries")
        self.gone = self._value("SELECT count(*) FROM entries WHERE kind = 'gone'")
        self.floor: int = unpacked(self._fact("floor", packed(0)))

    def close(self) -> None:
        """Close the database, when nobody reads it any more: SQLite does not survive it under a reader."""
        with self._lock, self._reading_lock:
            self._reading.close()
            self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is put meanwhile is put as a whole; other threads wait. May be nested."""
        with self._lock:
            if self._owner is not None:
                yield
                return
            with self._told():
                yield from self._whole()

    def _whole(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        self._owner, before = threading.get_ident(), (self._last, self.count, self.gone)
        try:
            yield
            self._database.commit()
            self.sequence = self._last
        except BaseException:
            if self._database.in_transaction:  # else the system has failed such that SQLite has done it
                self._database.rollback()
            self._last, self.count, self.gone = before
            raise
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
        return {path: Signature(unsigned(inode), *rest) for path, inode, *rest in found}

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
            before = self.row(entry.path)
            self.count += before is None
            self.gone += entry.is_gone - (before is not None and before.entry.is_gone)
            marks = ", ".join("?" * 13)
            self._database.execute(f"INSERT OR REPLACE INTO entries VALUES ({marks})", columns_of(entry, signature))
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
                self.gone -= count
                facts = {"floor": packed(self.floor), "sequence": self._last}
                self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
        return int(count)

    def bury_oldest(self, count: int) -> int:
        """The same for about so many entries, those that were deleted first."""
        query = "SELECT timestamp FROM entries WHERE kind = 'gone' ORDER BY timestamp LIMIT ?"
        oldest = self._found(query, (count,)) if self.gone else []
        return self.bury(unpacked(oldest[-1][0]) + 1) if oldest else 0

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
            marks = (path, signed(inode), size_bytes, until_bytes)
            self._database.execute("INSERT OR REPLACE INTO appends VALUES (?, ?, ?, ?)", marks)

    def append_ends(self, path: str) -> None:
        """The file is as it should be."""
        with self.transaction():
            self._database.execute("DELETE FROM appends WHERE path = ?", (path,))

    def appends(self) -> list[tuple[str, int, int, int]]:
        """Path, inode, size before and size after, of appends that did not come to their end."""
        found = self._found("SELECT path, inode, size, until FROM appends ORDER BY path")
        return [(path, unsigned(inode), size_bytes, until_bytes) for path, inode, size_bytes, until_bytes in found]

    # ---- fences

    def fences(self, export: str, most: int) -> list[tuple[str, int]]:
        """Lock and number of the fences that were kept of an export, the latest last."""
        query = "SELECT lock, number FROM fences WHERE export = ? ORDER BY place DESC LIMIT ?"
        return self._found(query, (export, most))[::-1]

    def keep_fence(self, export: str, lock: str, number: int, most: int) -> None:
        """Note that this is the newest fence of a lock; of an export so many are kept, the latest."""
        with self.transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO fences (export, lock, number) VALUES (?, ?, ?)", (export, lock, number)
            )
            self._database.execute(
                "DELETE FROM fences WHERE export = ?1 AND place <= "
                "(SELECT place FROM fences WHERE export = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)",
                (export, most),
            )

    # ---- SQLite

    def _found(self, query: str, arguments: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What a query finds: who is in a transaction sees what it has put, others what was there before."""
        if self._owner == threading.get_ident():
            return self._database.execute(query, arguments).fetchall()
        with self._told(), self._reading_lock:
            return self._reading.execute(query, arguments).fetchall()

    def _all(self, query: str, arguments: tuple[Any, ...]) -> list[Row]:
        return [row_of(each) for each in self._found(query, arguments)]

    def _value(self, query: str, arguments: tuple[Any, ...] = ()) -> Any:
        return self._found(query, arguments)[0][0]

    def _fact(self, name: str, default: Any) -> Any:
        found = self._found("SELECT value FROM facts WHERE name = ?", (name,))
        return found[0][0] if found else default

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            is_damage = type(error) is sqlite3.DatabaseError
            mend = "; start the node again, and it is made anew from the files" if is_damage else ""
            raise StorageFailed(f"the index {self._path} cannot be read or written: {error}{mend}") from error


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
        database.executescript(FENCES)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection) -> None:
    """Close a database that is damaged, and raise DatabaseError. It takes no longer than a look at all the files."""
    try:
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except sqlite3.Error:
        database.close()
        raise
