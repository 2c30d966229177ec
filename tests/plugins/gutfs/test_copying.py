"""Copies to this machine's disk: whole or not at all, also where several copy to one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guthi.host.udp import SystemHost
from guthi_gutfs.copying import save
from guthi_gutfs.disk import Disk


async def content(letter: bytes, turns: list[asyncio.Event], fails: bool = False) -> AsyncIterator[bytes]:
    for turn in turns:
        await turn.wait()
        yield letter * 1000
    if fails:
        raise ConnectionError("the other is gone")


async def test_two_that_copy_to_one_place_do_not_mix(tmp_path: Path) -> None:
    disk, turns = Disk(SystemHost(1200, 1 << 16)), [asyncio.Event() for _ in range(4)]
    try:
        copies = [asyncio.create_task(save(disk, tmp_path / "a", content(each, turns), None)) for each in (b"x", b"y")]
        for turn in turns:
            await asyncio.sleep(0.01)
            turn.set()
        await asyncio.gather(*copies)
        assert (tmp_path / "a").read_bytes() in (b"x" * 4000, b"y" * 4000)
        assert [each.name for each in tmp_path.iterdir()] == ["a"]
    finally:
        disk.close()


async def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    disk, turn = Disk(SystemHost(1200, 1 << 16)), asyncio.Event()
    turn.set()
    try:
        name = "n" * 255  # as long as a name may be
        (tmp_path / name).write_bytes(b"before")
        with pytest.raises(ConnectionError):
            await save(disk, tmp_path / name, content(b"x", [turn], fails=True), None)
        assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [(name, b"before")]
        await save(disk, tmp_path / name, content(b"x", [turn]), None)
        assert (tmp_path / name).read_bytes() == b"x" * 1000
    finally:
        disk.close()
