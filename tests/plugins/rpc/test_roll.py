"""Who was there when a node was is on its disk, as far as that can be read."""

from __future__ import annotations

from pathlib import Path

from guthi import NodeId
from guthi_rpc.roll import COUNT, FILE_NAME, Roll

ME = NodeId(b"m" * 16)
OTHERS = [NodeId(bytes([number]) * 16) for number in range(1, 250)]


def test_the_first_life_is_told_from_the_second(tmp_path: Path) -> None:
    assert Roll(tmp_path, ME).is_new
    again = Roll(tmp_path, ME)
    assert not again.is_new and again.former == ()


def test_without_a_disk_every_life_is_the_first() -> None:
    roll = Roll(None, ME)
    roll.write(OTHERS)
    assert roll.is_new and roll.former == ()


def test_those_that_follow_it_in_the_order_of_ids_are_kept(tmp_path: Path) -> None:
    Roll(tmp_path, ME).write(OTHERS)
    assert Roll(tmp_path, ME).former == tuple(node for node in OTHERS if node > ME)[:COUNT]
    last = NodeId(b"\xff" * 16)
    Roll(tmp_path, last).write(OTHERS[:3])
    assert Roll(tmp_path, last).former == tuple(OTHERS[:3])


def test_what_is_no_id_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe\nzz\n" + OTHERS[0].hex().encode() + b"\n0102\n\n")
    roll = Roll(tmp_path, ME)
    assert roll.former == (OTHERS[0],) and not roll.is_new


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path) -> None:
    roll = Roll(tmp_path / "missing", ME)
    roll.write(OTHERS)
    assert roll.is_new
