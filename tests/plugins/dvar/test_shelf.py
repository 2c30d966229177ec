"""The machines of coherent variables: the shelf, the ledger, and what follows from the reports of a view's members."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from guthi import NodeId
from guthi_dvar.coherent.ledger import MOST_TOKENS, Ledger, Untraceable
from guthi_dvar.coherent.messages import Entry, Prepared, Report, version
from guthi_dvar.coherent.recovery import recovered
from guthi_dvar.coherent.roles import Roles
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.grid import Grid
from guthi_dvar.kinds import ARRAY, kind_of_type
from guthi_dvar.patches import Patch
from guthi_dvar.records import Coherence, Declaration, Record
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Arrived, Copy, Limits, Outdated, Renewed, Table

ME, BOB, CAROL = (NodeId(bytes([number]) * 16) for number in (1, 2, 3))
INT = Declaration(kind_of_type(int), coherence=Coherence.COHERENT)
ROW = Declaration(ARRAY, Grid.of(4, "u1", 2), coherence=Coherence.COHERENT)
EPOCH = 7


def shelf(declaration: Declaration = INT) -> Shelf:
    """One that knows the variable `x`, which nobody has opened."""
    table = Table(ME, bytes(8), Limits())
    table.declare("x", declaration)
    return Shelf(table)


def stamp(number: int, epoch: int = EPOCH, writer: NodeId = BOB) -> Stamp:
    return version(number, writer, epoch)


def opened(newest: dict[int, Stamp], *, is_keeper: bool = False, declaration: Declaration = INT) -> Shelf:
    """A shelf whose variable is open, with these newest versions."""
    new = shelf(declaration)
    new.secure(entry(new, newest, is_keeper=is_keeper), EPOCH)
    return new


def entry(of: Shelf, newest: dict[int, Stamp], *, is_keeper: bool = False) -> Entry:
    return Entry(record_of(of), is_keeper, False, tuple(newest.items()))


def record_of(of: Shelf) -> Record:
    item = of.item("x")
    assert item is not None
    return Record("x", item.variable.birth, item.variable.declaration)


def prepare(of: Shelf, number: int, change: Any = None, base: Stamp | None = None, index: int = 0) -> Any:
    return of.prepared(Prepared("x", record_of(of).birth, index, stamp(number), change, base), 0.0)


def test_a_reader_has_what_it_fetched_until_there_is_a_newer_version() -> None:
    mine = opened({})
    assert mine.readable("x", 0) is None
    assert mine.arrived("x", 0, Copy(stamp(1), 5, 0.0)) == [Arrived("x", 0, stamp(1), 5)]
    assert mine.leased == {"x": 5}
    assert prepare(mine, 2) == (True, [Renewed("x", 0, stamp(2)), Outdated("x", 0, stamp(2))])
    assert mine.readable("x", 0) is None and mine.leased == {}
    assert mine.arrived("x", 0, Copy(stamp(1), 5, 0.0)) == []  # it was under way when the newer one was prepared
    assert mine.readable("x", 0) is None


def test_what_is_prepared_is_read_when_it_is_committed() -> None:
    mine = opened({}, is_keeper=True)
    assert prepare(mine, 1, 5) == (True, [Renewed("x", 0, stamp(1))])
    assert mine.readable("x", 0) is None
    assert prepare(mine, 1, 5) == (True, [])  # told again
    assert mine.committed("x", {0: stamp(2)}) == []  # another version
    assert mine.committed("x", {0: stamp(1)}) == [Arrived("x", 0, stamp(1), 5)]
    assert mine.leased == {"x": 5}
    assert prepare(mine, 1, 5) == (True, []) and mine.readable("x", 0) is not None


def test_nothing_is_read_in_a_new_view_before_its_owner_has_opened_it() -> None:
    mine = opened({})
    mine.arrived("x", 0, Copy(stamp(1), 5, 0.0))
    mine.close()
    assert mine.readable("x", 0) is None and mine.leased == {}
    mine.secure(entry(mine, {0: stamp(1)}), EPOCH + 1)
    assert mine.leased == {"x": 5}
    mine.close()
    events = mine.secure(entry(mine, {0: stamp(2)}), EPOCH + 2)
    assert mine.readable("x", 0) is None and Outdated("x", 0, stamp(2)) in events
    mine.close()
    mine.secure(entry(mine, {}), EPOCH + 3)  # of a value that nobody tells of nothing is believed
    assert mine.readable("x", 0) is None and mine.item("x").stamps() == []  # type: ignore[union-attr]


def test_a_keeper_lacks_what_it_has_not_been_handed() -> None:
    mine = shelf()
    told = entry(mine, {0: stamp(3)}, is_keeper=True)
    assert mine.lacking(told) == [0]
    mine.hand("x", 0, stamp(3), 9, 0.0)
    assert mine.lacking(told) == []
    mine.secure(told, EPOCH)
    assert mine.leased == {"x": 9}


def test_chunks_are_patched_and_those_never_written_are_zeros() -> None:
    mine = opened({}, is_keeper=True, declaration=ROW)
    first = mine.readable("x", 1)
    assert first is not None and first.value.tolist() == [0, 0] and first.stamp.number == 0
    patch = Patch((1,), np.array([7], "u1"))
    assert prepare(mine, 1, patch, first.stamp, index=1)[0]
    mine.committed("x", {1: stamp(1)})
    assert not prepare(mine, 3, patch, stamp(2), index=1)[0]  # it has another version than the patch is of
    copy = mine.readable("x", 1)
    assert copy is not None and copy.value.tolist() == [0, 7]
    assert opened({}, declaration=ROW).readable("x", 1) is None  # who does not keep it, cannot know


def test_a_variable_that_was_deleted_is_gone_from_the_shelf() -> None:
    table = Table(ME, bytes(8), Limits())
    table.declare("x", INT)
    mine = Shelf(table)
    mine.secure(entry(mine, {}), EPOCH)
    mine.arrived("x", 0, Copy(stamp(1), 5, 0.0))
    table.delete("x", 0.0)
    assert mine.get("x") is None and mine.readable("x", 0) is None and mine.leased == {}


# ---- recovery

BIRTH = Stamp(1, ME, bytes(8))
RECORD = Record("x", BIRTH, INT)


def report(
    number: int, *, secured_in: int = EPOCH, kept_in: int = 0, is_shared: bool = True, is_damaged: bool = False
) -> Report:
    return Report(RECORD, secured_in, kept_in, is_damaged, False, ((0, stamp(number), is_shared),), Ledger(), {})


def test_keepers_of_the_newest_epoch_know_the_newest_version() -> None:
    found = recovered({ME: report(4, kept_in=EPOCH), BOB: report(4), CAROL: report(9, secured_in=EPOCH - 1, kept_in=6)})
    assert (found.newest, found.is_damaged) == ({0: stamp(4)}, False)
    assert found.sources == {0: [ME, BOB]}


def test_a_version_that_some_keeper_has_prepared_is_taken() -> None:
    found = recovered({ME: report(4, kept_in=EPOCH), BOB: report(5, kept_in=EPOCH, is_shared=False)})
    assert found.newest == {0: stamp(5)} and found.sources == {0: [BOB]}


def test_without_a_keeper_what_was_shared_is_left_and_the_rest_is_lost() -> None:
    found = recovered({ME: report(4), BOB: report(3, is_shared=False)})
    assert (found.newest, found.is_damaged) == ({0: stamp(4)}, True)
    found = recovered({ME: report(4, is_shared=False), BOB: report(9, secured_in=EPOCH - 1, kept_in=EPOCH - 1)})
    assert (found.newest, found.is_damaged) == ({}, True)
    assert recovered({ME: report(4, kept_in=EPOCH, is_damaged=True)}).is_damaged


def test_a_former_variable_of_that_name_is_nothing() -> None:
    former = Report(
        Record("x", BIRTH._replace(number=0), INT), 99, 99, False, False, ((0, stamp(9), True),), Ledger(), {}
    )
    assert recovered({ME: report(4, kept_in=EPOCH), BOB: former}).newest == {0: stamp(4)}


# ---- ledger and roles


def test_an_operation_is_done_once_and_what_was_forgotten_is_not_guessed() -> None:
    ledger = Ledger()
    ledger.done(b"first", 3)
    assert ledger.has(b"first", 3) and not ledger.has(b"second", 3)
    for number in range(MOST_TOKENS):
        ledger.done(number.to_bytes(4), 4)
    with pytest.raises(Untraceable):
        ledger.has(b"first", 3)
    assert not ledger.has(b"first", None)  # that was never tried
    assert not ledger.has(b"new", 4)  # what was done in epoch 4 is all there
    ledger.done(b"one more", 4)
    with pytest.raises(Untraceable):
        ledger.has(b"new", 4)
    again = Ledger.from_wire(ledger.to_wire())
    assert again.tokens == ledger.tokens and again.forgot_in == ledger.forgot_in == 4
    other = Ledger()
    other.done(b"x", 9)
    other.add(ledger)
    assert other.has(b"one more", 4) and other.has(b"x", None)


@given(some.integers(1, 8), some.text(min_size=1, max_size=9), some.integers(0, 4))
def test_who_goes_moves_only_what_was_its(count: int, name: str, replicas: int) -> None:
    nodes = [NodeId(bytes([number]) * 16) for number in range(count)]
    roles = Roles(nodes)
    keepers = roles.keepers(name, replicas)
    assert keepers[0] == roles.owner(name) and len(keepers) == min(replicas + 1, count)
    for gone in nodes if count > 1 else []:
        after = Roles(each for each in nodes if each != gone)
        assert after.owner(name) == (roles.owner(name) if gone != roles.owner(name) else roles.keepers(name, 1)[1])
