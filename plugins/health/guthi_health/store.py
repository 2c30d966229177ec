"""Where durable events survive a crash of their keeper: one SQLite file in the node's folder.

A change is acknowledged when it has been committed and synced (`synchronous = FULL`), so what was acknowledged is there
after the loss of power. All calls block, and are made by one thread, in order.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from guthi import NodeId
from guthi_health.ledger import Event, EventState

__all__ = ["Store"]

PATIENCE_S = 2.0  # with another process that has locked the file: everybody waits as long
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    value BLOB NOT NULL,
    holder BLOB,
    attempt INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    state INTEGER NOT NULL,
    reason TEXT NOT NULL,
    was_claimed INTEGER NOT NULL
)
"""
_PUT = """
INSERT INTO events (id, topic, value, holder, attempt, attempts, state, reason, was_claimed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, holder = excluded.holder, attempt = excluded.attempt,
    state = excluded.state, reason = excluded.reason, was_claimed = excluded.was_claimed
"""


class Store:
    """An open file. All calls raise sqlite3.Error or OSError where the disk is full or the file is no database."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=PATIENCE_S)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(_SCHEMA)

    def load(self) -> list[Event]:
        """All events, oldest first. Raises ValueError for what `put` cannot have written."""
        columns = "id, topic, value, holder, attempt, attempts, state, reason, was_claimed"
        rows = self._database.execute(f"SELECT {columns} FROM events ORDER BY number").fetchall()
        return [
            Event(
                id, topic, value, NodeId(holder) if holder is not None else None, attempt, attempts, True,
                EventState(state), reason, bool(was_claimed),
            )
            for id, topic, value, holder, attempt, attempts, state, reason, was_claimed in rows
        ]  # fmt: skip

    def put(self, event: Event) -> None:
        """Write a new event, or what has changed of it."""
        holder = bytes(event.holder) if event.holder is not None else None
        self._database.execute(
            _PUT,
            (
                event.id, event.topic, event.value, holder, event.attempt, event.attempts, event.state.value,
                event.reason, event.was_claimed,
            ),
        )  # fmt: skip

    def drop(self, id: bytes) -> None:
        """Remove one."""
        self._database.execute("DELETE FROM events WHERE id = ?", (id,))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
