"""What is remembered of calls with a key is remembered for its time, and within its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import NodeId
from guthi_rpc.directory import Announcement, Directory
from guthi_rpc.electors import ELECTORS, MAX_GONE, Electors
from guthi_rpc.outcomes import Outcomes, Stage

RETENTION_S = 10.0
ME, OTHER = (NodeId(b"m" * 16), b"l" * 8), (NodeId(b"o" * 16), b"l" * 8)
NODES = [NodeId(bytes([number]) * 16) for number in range(1, 10)]
LIFE = b"1" * 8


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def outcomes(clock: Clock, *, entries: int = 100, size: int = 100) -> Outcomes:
    return Outcomes(clock, lambda home: home == ME, RETENTION_S, entries, size)


def test_a_result_is_kept_for_the_retention_from_when_it_was_there() -> None:
    clock = Clock()
    kept = outcomes(clock)
    kept.note(("f", "k"), ME, Stage.BEGUN)
    clock.now = 9.0
    kept.note(("f", "k"), ME, Stage.DONE, b"result")
    clock.now = 18.9
    entry = kept.get(("f", "k"))
    assert entry is not None and entry.outcome == b"result"
    clock.now = 19.0
    assert kept.get(("f", "k")) is None
    assert len(kept) == 0


def test_what_still_runs_here_is_never_forgotten() -> None:
    clock = Clock()
    kept = outcomes(clock)
    kept.note(("f", "mine"), ME, Stage.BEGUN)
    kept.note(("f", "another's"), OTHER, Stage.BEGUN)
    clock.now = 1000.0
    assert kept.get(("f", "mine")) is not None
    assert kept.get(("f", "another's")) is None


def test_a_full_table_forgets_nothing_until_there_is_room() -> None:
    clock = Clock()
    kept = outcomes(clock, entries=2)
    for key in "ab":
        assert not kept.is_full
        kept.note(("f", key), ME, Stage.DONE, b"")
    assert kept.is_full
    clock.now = RETENTION_S
    assert not kept.is_full


STEPS = st.tuples(st.sampled_from("abcdef"), st.sampled_from(Stage), st.integers(0, 60), st.floats(0, 4))


def test_what_others_knew_first_is_forgotten_first() -> None:
    clock = Clock()
    kept = outcomes(clock)
    kept.note(("f", "own"), ME, Stage.DONE, b"1")
    kept.note(("f", "taken over"), OTHER, Stage.DONE, b"2", 4.0)
    kept.note(("f", "said to last"), OTHER, Stage.DONE, b"3", 1000.0)
    assert [(name[1], left_s) for name, _, left_s in kept.later_than(1)] == [
        ("taken over", 4.0),
        ("said to last", RETENTION_S),
    ]
    clock.now = 4.0
    assert [name[1] for name, _, _ in kept.later_than(0)] == ["own", "said to last"]
    assert kept.get(("f", "taken over")) is None and len(kept) == 2 and kept._bytes == 2
    clock.now = RETENTION_S
    assert kept.get(("f", "said to last")) is None


@given(st.lists(STEPS, max_size=60))
def test_results_stay_within_their_bytes_and_entries_within_their_time(steps: list[Any]) -> None:
    clock = Clock()
    kept = outcomes(clock)
    noted_at: dict[str, float] = {}
    for key, stage, size, pause_s in steps:
        clock.now += pause_s
        entry = kept.note(("f", key), OTHER, stage, bytes(size) if stage is Stage.DONE else None)
        noted_at[key] = clock.now
        assert entry.outcome is None or len(entry.outcome) == size
        held = {each: found for each in noted_at if (found := kept.get(("f", each))) is not None}
        assert sum(len(found.outcome or b"") for found in held.values()) == kept._bytes <= 100
        assert set(held) == {each for each, at in noted_at.items() if clock.now < at + RETENTION_S}


class View:
    """What one node knows of the others; all of NODES are members at first, in their first life."""

    def __init__(self) -> None:
        self.members, self.clock = list(NODES), Clock()
        self.electors: Electors
        self.directory = Directory(lambda: None, lambda node, life: self.electors.lost(node, life))
        self.electors = Electors(NODES[0], self.directory, lambda: self.members, self.clock, RETENTION_S)
        for node in NODES:
            self.announce(node, LIFE)

    def announce(self, node: NodeId, life: bytes) -> None:
        self.directory.announced(node, Announcement(life, 1, 1, ()))

    def remove(self, node: NodeId, life: bytes = LIFE) -> None:
        self.members.remove(node)
        self.electors.lost(node, life)
        self.directory.forget(node)


def test_all_nodes_elect_the_same_and_keys_have_electors_of_their_own() -> None:
    views = View(), View()
    seats = {key: views[0].electors.of(key) for key in ("a", "b", "c")}
    assert seats == {key: views[1].electors.of(key) for key in ("a", "b", "c")}
    assert all(len(each) == ELECTORS for each in seats.values())
    assert len({frozenset(each) for each in seats.values()}) > 1


@pytest.mark.parametrize("life", [LIFE, b""])
def test_who_is_gone_keeps_its_seat_for_the_retention(life: bytes) -> None:
    """Also one of which nobody had heard in which life it was."""
    view = View()
    before = view.electors.of("k")
    lost = before[2][0] if before[2][0] != NODES[0] else before[1][0]
    view.remove(lost, life)
    assert [node for node, _ in view.electors.of("k")] == [node for node, _ in before]
    assert not view.electors.is_there((lost, LIFE))
    assert view.electors.gone() == [(lost, life, RETENTION_S)]
    view.clock.now = RETENTION_S
    after = [node for node, _ in view.electors.of("k")]
    assert lost not in after and len(after) == ELECTORS
    assert not view.electors.gone()


def test_who_has_handed_over_gives_its_seat_up() -> None:
    view = View()
    first, second = [node for node, _ in view.electors.of("k") if node != NODES[0]][:2]
    view.electors.released(first, LIFE)
    view.remove(first)
    view.remove(second)
    view.electors.released(second, LIFE)  # that it has left may be heard of before
    assert not {first, second} & {node for node, _ in view.electors.of("k")}


def test_who_has_handed_over_and_is_back_has_a_seat_again() -> None:
    view = View()
    node = view.electors.of("k")[0][0]
    view.electors.released(node, LIFE)
    view.remove(node)
    view.members.append(node)
    view.electors.came(node)
    view.remove(node, b"")
    assert (node, b"") in view.electors.of("k")


def test_who_leaves_does_not_count_itself() -> None:
    view = View()
    keys = [f"k{number}" for number in range(20)]
    assert any((NODES[0], LIFE) in view.electors.of(key) for key in keys)
    view.electors.leave()
    assert not any((NODES[0], LIFE) in view.electors.of(key) for key in keys)


def test_the_seat_of_who_was_restarted_is_held_by_the_life_that_it_has() -> None:
    view = View()
    before = view.electors.of("k")
    restarted = before[1][0]
    for number in range(5):
        view.announce(restarted, bytes([number]) * 8)
        assert [node for node, _ in view.electors.of("k")] == [node for node, _ in before]
        assert view.electors.of("k")[1] == (restarted, bytes([number]) * 8)
    assert not view.electors.gone()
    assert view.electors.is_there((restarted, bytes([4]) * 8))
    assert not view.electors.is_there((restarted, LIFE)) and view.electors.is_lost((restarted, LIFE))


def test_who_was_given_up_and_is_back_in_the_same_life_has_forgotten_nothing() -> None:
    view = View()
    before = view.electors.of("k")
    view.remove(before[1][0])
    view.members.append(before[1][0])
    view.announce(before[1][0], LIFE)
    assert view.electors.of("k") == before
    assert all(map(view.electors.is_there, before))


def test_others_tell_who_is_gone_and_for_how_long_yet() -> None:
    view = View()
    stranger = NodeId(b"s" * 16)
    view.electors.lost(stranger, LIFE, 3.0)
    view.electors.lost(stranger, LIFE, 2.0)
    assert view.electors.gone() == [(stranger, LIFE, 3.0)]
    view.electors.lost(stranger, LIFE, 1000.0)
    assert view.electors.gone() == [(stranger, LIFE, RETENTION_S)]


def test_a_member_that_has_not_announced_itself_has_a_seat_and_may_be_there() -> None:
    view = View()
    newcomer = NodeId(b"n" * 16)
    view.members.append(newcomer)
    assert view.electors.is_there((newcomer, LIFE))
    assert any((newcomer, b"") in view.electors.of(f"k{number}") for number in range(20))


def test_the_memory_of_the_lost_has_a_bound() -> None:
    view = View()
    for number in range(MAX_GONE + 10):
        view.electors.lost(NODES[1], number.to_bytes(8))
    assert len(view.electors._gone) == MAX_GONE
