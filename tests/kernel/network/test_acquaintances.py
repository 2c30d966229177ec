"""Which addresses are kept for the next start, and what a damaged file does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.kernel.membership.test_machine import address_of, member

from guthi import MemberState
from guthi.api import Address
from guthi.membership.members import Member, MemberFailed, MemberJoined, MemberLeft, MemberUpdated, Role
from guthi.network.acquaintances import COUNT, FILE_NAME, Acquaintances


class Town:
    """The members that a node sees, and what it keeps of them."""

    def __init__(self, folder: Path | None) -> None:
        self.present: dict[bytes, Member] = {}
        self.kept = Acquaintances(folder, member(1).id, self._sorted, lambda each: each.addresses[0])

    def _sorted(self) -> list[Member]:
        return [each for _, each in sorted(self.present.items())]

    def come(self, *members: Member) -> None:
        self.present.update((each.id, each) for each in members)
        for each in members:
            self.kept.member_changed(MemberJoined(each))

    def go(self, number: int, kind: type[MemberFailed | MemberLeft]) -> None:
        gone = self.present.pop(member(number).id)
        state = MemberState.FAILED if kind is MemberFailed else MemberState.LEFT
        self.kept.member_changed(kind(replace(gone, state=state)))


def said(folder: Path) -> set[Address]:
    return set(Acquaintances(folder, member(1).id, list, lambda each: each.addresses[0]).former)


def addresses(*numbers: int) -> set[Address]:
    return {address_of(number) for number in numbers}


def test_those_that_are_there_are_kept_for_the_next_start(tmp_path: Path) -> None:
    Town(tmp_path).come(member(2), member(3))
    assert said(tmp_path) == addresses(2, 3)


def test_of_many_a_few_are_kept_and_of_clients_none(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.come(replace(member(50), role=Role.CLIENT), *(member(number) for number in range(2, 40)))
    assert len(said(tmp_path)) == COUNT and not said(tmp_path) & addresses(50)


def test_whoever_failed_is_kept_until_another_takes_its_place_and_whoever_left_is_not(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.come(member(2), member(3))
    town.go(2, MemberFailed)
    town.go(3, MemberLeft)
    assert said(tmp_path) == addresses(2)
    town.come(*(member(number) for number in range(10, 10 + COUNT)))
    assert said(tmp_path) == addresses(*range(10, 10 + COUNT))


def test_whoever_moves_is_kept_at_its_new_address(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.come(member(2))
    moved = replace(member(2), addresses=(address_of(7),))
    town.present[moved.id] = moved
    town.kept.member_changed(MemberUpdated(moved))
    assert said(tmp_path) == addresses(7)


def test_what_was_kept_before_fills_the_free_lines(tmp_path: Path) -> None:
    Town(tmp_path).come(member(2), member(3))
    Town(tmp_path).come(member(4))
    assert said(tmp_path) == addresses(2, 3, 4)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\n", b"nonsense\n", b"host.example:6969\n", b"10.0.0.1:99999\n" * 999, b"10.0.0.1:1" * 999],
)
def test_a_damaged_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert said(tmp_path) == set()


def test_a_folder_that_cannot_be_written_to_is_told_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Town(tmp_path / "gone").come(member(2))
    assert "after a crash this node is found later" in caplog.text


def test_without_a_folder_nothing_is_kept() -> None:
    town = Town(None)
    town.come(member(2))
    assert town.kept.former == ()
