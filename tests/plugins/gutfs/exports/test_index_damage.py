"""An index that the disk has spoilt is made anew from the files, where that shows at the start; else it is said."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.plugins.gutfs.local import local_files

from guthi_gutfs.config import ExportTable
from guthi_gutfs.errors import StorageFailed
from guthi_gutfs.exports.index import Index

FILES = 200


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.97])
async def test_a_halved_index_is_made_anew(tmp_path: Path, share: float) -> None:
    data, index = tmp_path / "data", tmp_path / "index.sqlite"
    data.mkdir()
    for number in range(FILES):
        (data / f"{number:03}").write_text(str(number))
    async with local_files([ExportTable(data, "/d", writable=True)], index=index) as files:
        assert len(await files.list("/d")) == FILES
    whole = index.read_bytes()
    index.write_bytes(whole[: int(len(whole) * share)])
    async with local_files([ExportTable(data, "/d", writable=True)], index=index) as files:
        assert len(await files.list("/d")) == FILES
        assert await files.read("/d/007", 0, 9) == b"7"
    with sqlite3.connect(index) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_damage_that_shows_later_is_told_with_the_file_and_what_to_do(tmp_path: Path) -> None:
    index = Index(tmp_path / "index", b"life")

    class Damaged:
        def execute(self, *_: object) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

    reading, index._reading = index._reading, Damaged()  # type: ignore[assignment]
    with pytest.raises(StorageFailed) as raised:
        index.row("/a")
    assert str(tmp_path / "index") in str(raised.value) and "start the node again" in str(raised.value)
    index._reading = reading
    index.close()
