"""Who was there when a node was is on its disk, as far as that can be read."""

from __future__ import annotations

from math import inf
from pathlib import Path

from guthi import NodeId
from guthi_rpc.roll import COUNT, FILE_NAME, Roll

ME = NodeId(b"m" * 16)
OTHERS = [NodeId(bytes([number]) * 16) for number in range(1, 250)]
THERE = dict.fromkeys(OTHERS, inf)


def test_the_first_life_is_told_from_the_second(tmp_path: Path) -> None:
    assert Roll(tmp_path, ME).is_new
    again = Roll(tmp_path, ME)
    assert not again.is_new and again.former == {}


def test_without_a_disk_every_life_is_the_first() -> None:
    roll = Roll(None, ME)
    roll.write(THERE)
    assert roll.is_new and roll.former == {}


def test_those_that_follow_it_in_the_order_of_ids_are_kept(tmp_path: Path) -> None:
    Roll(tmp_path, ME).write(THERE)
    assert list(Roll(tmp_path, ME).former) == [node for node in OTHERS if node > ME][:COUNT]
    last = NodeId(b"\xff" * 16)
    Roll(tmp_path, last).write(dict.fromkeys(OTHERS[:3], inf))
    assert Roll(tmp_path, last).former == dict.fromkeys(OTHERS[:3], inf)


def test_how_long_the_seats_of_the_gone_stay(tmp_path: Path) -> None:
    Roll(tmp_path, ME).write({OTHERS[0]: inf, OTHERS[1]: 12.3})
    assert Roll(tmp_path, ME).former == {OTHERS[0]: inf, OTHERS[1]: 13.0}


def test_what_is_no_id_is_passed_over(tmp_path: Path) -> None:
    ids = [node.hex().encode() for node in OTHERS]
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe\nzz\n%b\n0102\n\n%b soon\n%b -5\n" % (ids[0], ids[1], ids[2]))
    roll = Roll(tmp_path, ME)
    assert roll.former == dict.fromkeys(OTHERS[:3], inf) and not roll.is_new


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path) -> None:
    roll = Roll(tmp_path / "missing", ME)
    roll.write(THERE)
    assert roll.is_new
