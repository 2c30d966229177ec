"""The notebook: a life for each start, and an error that says what to do when it cannot be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.plugins.mutex.test_view import a_view

import guthi
from guthi.values.codec import Codec
from guthi_mutex.memory import Memory
from guthi_mutex.notebook import Notebook


def test_each_start_is_another_life(tmp_path: Path) -> None:
    first = Notebook(tmp_path, Codec()).begin()
    assert first == Memory(0)
    notebook = Notebook(tmp_path, Codec())
    assert notebook.begin() == Memory(1)
    notebook.write(Memory(1, 7, a_view()))
    assert Notebook(tmp_path, Codec()).begin() == replace(Memory(1, 7, a_view()), life=2)


def test_without_a_folder_nothing_is_remembered() -> None:
    notebook = Notebook(None, Codec())
    notebook.write(Memory(0, 7, a_view()))
    assert notebook.begin() == Memory(0)


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x83\x01\x02\x03"])
def test_what_cannot_be_read_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mutex.cbor").write_bytes(content)
    with pytest.raises(guthi.ConfigError, match=r"mutex\.cbor cannot be read"):
        Notebook(tmp_path, Codec()).begin()
