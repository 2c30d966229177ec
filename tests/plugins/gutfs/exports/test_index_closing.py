"""The index is closed when its last reader is done: SQLite crashes where a connection is closed under a query.

Found by `make chaos SEED=1` (docs/bugs-found.md): nodes that were asked to end now and then died of SIGSEGV.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from guthi_gutfs.errors import StorageFailed
from guthi_gutfs.exports.index import Index


class SlowReading:
    """A connection whose query goes on until it is let go; it tells in which order things happen."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.said: list[str] = []
        self.begun, self.may_end = threading.Event(), threading.Event()

    def execute(self, query: str, arguments: tuple[Any, ...]) -> Any:
        self.begun.set()
        self.may_end.wait(30)
        self.said.append("read")
        return self._connection.execute(query, arguments)

    def close(self) -> None:
        self.said.append("closed")
        self._connection.close()


def test_it_is_closed_after_its_readers(tmp_path: Path) -> None:
    index = Index(tmp_path / "index", b"life")
    reading = index._reading = SlowReading(index._reading)  # type: ignore[assignment]
    reader = threading.Thread(target=index.row, args=("/a",))
    closer = threading.Thread(target=index.close)
    reader.start()
    assert reading.begun.wait(30)
    closer.start()
    closer.join(0.05)  # it would be closed by now, if it did not wait
    reading.may_end.set()
    for each in (reader, closer):
        each.join(30)
    assert reading.said == ["read", "closed"]
    with pytest.raises(StorageFailed):
        index.row("/a")
