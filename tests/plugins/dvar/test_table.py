"""The table as a machine: what is heard in any order makes the same table, and validity never goes back."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi import MalformedMessage, NodeId
from guthi_dvar.errors import TableFull, UnknownVariable
from guthi_dvar.grid import Grid
from guthi_dvar.kinds import ARRAY, Kind
from guthi_dvar.patches import Patch, patch_of, since
from guthi_dvar.places import places, ranked
from guthi_dvar.records import Declaration, Record
from guthi_dvar.room import Room
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Arrived, Limits, Outdated, Renewed, Table, Vanished

IDS = [NodeId(bytes([n]) * 16) for n in range(1, 6)]
INT = Declaration(Kind("int"))
LIFE = bytes(8)


def a_table(n: int = 0, **limits: Any) -> Table:
    return Table(IDS[n], bytes([n]) * 8, Limits(**limits))


def told(source: Table, name: str, now: float = 0.0) -> Record:
    variable = source.known(name)
    assert variable is not None
    return variable.record(now)


def two_that_know(name: str = "x") -> tuple[Table, Table]:
    alice, bob = a_table(0), a_table(1)
    alice.declare(name, INT)
    alice.write(name, 0, 1, 0.0)
    bob.merge(told(alice, name), 0.0)
    return alice, bob


def test_a_write_makes_the_next_version_and_outdates_the_copies() -> None:
    alice, bob = two_that_know()
    x = bob.get("x")
    assert x is not None
    bob.arrived(x, 0, x.newest(0), 1, 0.0)
    assert bob.ready == {"x": 1}
    alice.write("x", 0, 2, 1.0)
    stamp = Stamp(2, IDS[0], bytes(8))
    assert bob.merge(told(alice, "x"), 1.0) == [Renewed("x", 0, stamp), Outdated("x", 0, stamp)]
    assert bob.ready == {} and not x.cells[0].is_valid
    assert bob.merge(told(alice, "x"), 1.0) == []
    assert bob.arrived(x, 0, stamp, 2, 1.0) == [Arrived("x", 0, stamp, 2)]
    assert bob.ready == {"x": 2}


def test_a_value_that_comes_late_is_dropped() -> None:
    alice, bob = two_that_know()
    x = bob.get("x")
    assert x is not None
    old = x.newest(0)
    alice.write("x", 0, 2, 1.0)
    bob.merge(told(alice, "x"), 1.0)
    assert bob.arrived(x, 0, old, 1, 1.0) == []
    assert not x.cells[0].is_valid


def test_of_two_writes_at_once_the_greater_node_wins_everywhere() -> None:
    alice, bob = two_that_know()
    alice.write("x", 0, 10, 1.0)
    bob.write("x", 0, 20, 1.0)
    first, second = told(alice, "x"), told(bob, "x")
    alice.merge(second, 2.0)
    bob.merge(first, 2.0)
    assert alice.fingerprint == bob.fingerprint
    assert alice.ready == {} and bob.ready == {"x": 20}


def test_a_node_that_has_forgotten_its_life_gives_no_stamp_twice() -> None:
    alice, _ = two_that_know()
    again = Table(IDS[0], b"new life", Limits())
    again.declare("x", INT)
    again.write("x", 0, 5, 0.0)
    assert told(again, "x") != told(alice, "x")
    alice.merge(told(again, "x"), 1.0)
    again.merge(told(alice, "x"), 1.0)
    assert alice.fingerprint == again.fingerprint


def test_a_deletion_wins_over_writes_and_is_forgotten_in_time() -> None:
    alice, bob = two_that_know()
    assert bob.delete("x", 10.0) == [Vanished("x")]
    alice.write("x", 0, 2, 10.0)
    assert bob.merge(told(alice, "x"), 11.0) == []
    record = told(bob, "x", 1000.0)
    assert record.dead_for_s == 990.0
    alice.merge(record, 20.0)
    assert alice.names() == bob.names() == []
    alice.forget(20.0 + 3600 - 990 - 1)
    assert alice.known("x") is not None
    alice.forget(20.0 + 3600 - 990)
    assert alice.known("x") is None
    alice.merge(told(bob, "x", 10.0 + 3600), 30.0)
    assert alice.known("x") is None
    with pytest.raises(UnknownVariable):
        alice.write("x", 0, 1, 0.0)
    with pytest.raises(UnknownVariable):
        alice.delete("x", 0.0)


def test_who_creates_a_deleted_name_again_wins() -> None:
    alice, bob = two_that_know()
    bob.delete("x", 1.0)
    alice.merge(told(bob, "x", 1.0), 1.0)
    alice.declare("x", Declaration(Kind("str")))
    alice.write("x", 0, "new", 2.0)
    bob.merge(told(alice, "x"), 3.0)
    assert bob.names() == ["x"] and alice.fingerprint == bob.fingerprint


def test_the_table_is_bounded() -> None:
    table = a_table(most_variables=1, most_values=2)
    table.declare("x", Declaration(ARRAY, Grid.of(30, "u1", 10)))
    with pytest.raises(TableFull, match="most_variables"):
        table.declare("y", INT)
    with pytest.raises(TableFull, match="most_variables"):
        table.merge(Record("y", Stamp(9, IDS[1], LIFE), INT), 0.0)
    for index in (0, 1, 1):
        table.write("x", index, np.zeros(10, "u1"), 0.0)
    with pytest.raises(TableFull, match="most_values"):
        table.write("x", 2, np.zeros(10, "u1"), 0.0)


@given(st.randoms(use_true_random=False))
def test_what_is_heard_in_any_order_makes_the_same_table(random: Random) -> None:
    tables = [a_table(n) for n in range(4)]
    heard: list[Record] = []
    for step in range(random.randint(1, 25)):
        table, name = random.choice(tables), random.choice("xy")
        if table.get(name) is None:
            table.declare(name, Declaration(ARRAY, Grid.of(4, "u1", 2)))
        elif random.random() < 0.1:
            table.delete(name, float(step))
        else:
            table.write(name, random.randrange(2), np.full(2, step, "u1"), float(step))
        heard.append(told(table, name))
        if random.random() < 0.5:
            random.choice(tables).merge(random.choice(heard), float(step))
    for table in tables:
        for record in random.sample(heard, len(heard)) + random.choices(heard, k=5):
            before = {n: v.newest(i) for n in "xy" if (v := table.get(n)) for i in v.cells}
            births = {n: v.birth for n in "xy" if (v := table.known(n))}
            table.merge(record, 100.0)
            for name, newest in before.items():
                variable = table.known(name)
                assert variable is not None
                assert variable.birth > births[name] or max(c.newest for c in variable.cells.values()) >= newest
    assert len({table.fingerprint for table in tables}) == 1


def test_patches_lead_on_from_a_version_of_not_long_ago() -> None:
    table = a_table()
    table.declare("x", Declaration(ARRAY, Grid.of(100, "u1")))
    value = np.zeros(100, "u1")
    table.write("x", 0, value, 0.0)
    variable = table.get("x")
    assert variable is not None
    stamps = [variable.newest(0)]
    for place in range(10):
        is_new = np.arange(100) == place
        patch = patch_of(np.full(100, 7, "u1"), is_new)
        value = patch.apply(value)
        table.write("x", 0, value, 0.0, patch)
        stamps.append(variable.newest(0))
    copy = variable.cells[0].copy
    assert copy is not None
    assert [since(copy.steps, stamp) is None for stamp in stamps] == [True] * 5 + [False] * 5 + [True]
    assert [len(since(copy.steps, stamp) or []) for stamp in stamps[5:10]] == [5, 4, 3, 2, 1]


@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any))
def test_a_patch_sets_what_is_new(is_new: list[bool]) -> None:
    mask, old = np.array(is_new), np.zeros(len(is_new))
    new = Patch.from_wire(patch_of(np.arange(1.0, len(mask) + 1), mask).to_wire()).apply(old)
    np.testing.assert_array_equal(new, np.where(mask, np.arange(1.0, len(mask) + 1), 0))
    assert not old.any()


def test_places_follow_from_who_is_there() -> None:
    assert places(ranked("x", 0, IDS), IDS[0], 2)[0] == IDS[0]
    assert len(places(ranked("x", 0, IDS), IDS[0], 2)) == len(places(ranked("x", 0, IDS[1:]), IDS[0], 2)) == 3
    assert places(ranked("x", 0, IDS), IDS[0], 2) == places(ranked("x", 0, reversed(IDS)), IDS[0], 2)
    assert len({ranked("x", index, IDS)[0] for index in range(40)}) == 5
    gone = ranked("x", 0, IDS)[0]
    assert ranked("x", 0, [each for each in IDS if each != gone]) == ranked("x", 0, IDS)[1:]


def test_room() -> None:
    room = Room(100)
    for name in "abc":
        room.taken((name, 0), np.zeros(40, "u1"))
    assert not room.has_room(1)
    assert room.to_drop(lambda key: key[0] == "a") == [("b", 0)]
    assert room.taken_bytes == 80
    room.taken(("a", 0), np.zeros(10, "u1"))
    room.left("c")
    assert room.taken_bytes == 10 and room.has_room(90)


RECORDS = [
    Record("x", Stamp(1, IDS[0], LIFE), INT, ((0, Stamp(3, IDS[1], LIFE)),)),
    Record("x", Stamp(1, IDS[0], LIFE), None, (), 3.5),
    Record("x" * 255, Stamp(2**61, IDS[0], LIFE), Declaration(ARRAY, Grid.of((5, 5), "f8", 2), True, replicas=0)),
]


@pytest.mark.parametrize("record", RECORDS)
def test_records_travel(record: Record) -> None:
    assert Record.from_wire(record.to_wire()) == record


@given(st.data())
def test_a_record_that_was_changed_on_the_way_is_read_or_refused(data: st.DataObject) -> None:
    wire = data.draw(st.sampled_from(RECORDS)).to_wire()
    where: Any = wire
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [each for each in where if isinstance(each, list) and each]
        where = data.draw(st.sampled_from(inner)) if inner else where
    odd = st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=17) | st.floats() | st.booleans()
    where[data.draw(st.integers(0, len(where) - 1))] = data.draw(odd | st.lists(odd, max_size=5))
    try:
        Record.from_wire(wire)
    except MalformedMessage:
        pass
