"""Who is next in a queue, and that many may leave it at once."""

from __future__ import annotations

from random import Random

import pytest

from guthi_rpc.waiting import Entry, Waiting


def test_the_urgent_go_first_and_among_equals_the_first() -> None:
    waiting: Waiting[str] = Waiting()
    for name in ("5a", "5b", "9a", "1a", "9b", "5c"):
        waiting.put(name, int(name[0]) - 5)
    assert [waiting.take() for _ in range(7)] == ["9a", "9b", "5a", "5b", "5c", "1a", None]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_dropped_the_others_keep_their_turn(seed: int) -> None:
    """Against a list that is searched and sorted each time."""
    random, waiting, expected = Random(seed), Waiting[int](), list[tuple[int, int]]()
    entries: dict[int, Entry] = {}
    for number in range(2000):
        match random.randrange(4):
            case 0 | 1:
                priority = random.randrange(3)
                entries[number] = waiting.put(number, priority)
                expected.append((-priority, number))
            case 2:
                expected.sort()
                assert waiting.take() == (expected.pop(0)[1] if expected else None)
            case 3 if entries:
                gone = random.choice(list(entries))  # it may have been taken, or dropped before
                waiting.drop(entries[gone])
                expected = [each for each in expected if each[1] != gone]
        assert len(waiting) == len(expected)


def test_what_is_dropped_is_not_kept() -> None:
    """Neither what it holds nor its place, also where nothing is ever taken."""
    waiting: Waiting[object] = Waiting()
    waiting.put(object(), 0)
    for _ in range(10_000):
        waiting.drop(waiting.put(object(), 1))
    assert len(waiting) == 1
    assert len(waiting._heap) < 200
    assert sum(entry[2] is not None for entry in waiting._heap) == 1


class Counted(int):
    """A priority that counts how often it is compared."""

    compared = 0

    def __neg__(self) -> Counted:
        return Counted(-int(self))

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < int(other)

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_many_leave_without_being_searched_for() -> None:
    waiting: Waiting[int] = Waiting()
    entries = [waiting.put(number, Counted(number % 3)) for number in range(5000)]
    Counted.compared = 0
    for entry in reversed(entries):
        waiting.drop(entry)
    assert waiting.take() is None
    assert Counted.compared < 10 * len(entries)
