"""What one node has of the coherent variables, and which of it may be read: Modified, Shared, Invalid, and one more.

A machine: the owner of a variable tells it what happens, in the present view. A copy is

| state    | in the table of this node             | leaves by                                                      |
|----------|---------------------------------------|----------------------------------------------------------------|
| Invalid  | older than the newest version, or none| a fetch: Shared                                                |
| Prepared | the newest, kept in `pending`         | `committed`: Shared; only keepers have it                      |
| Shared   | the newest version                    | `prepared`: Invalid, or on a keeper Prepared                   |

and may be read while it is Shared, its variable is open, and this node's lease runs. Each new view closes all
variables; the owner of a variable in that view opens it when it knows what all members have of it (see `recovery`).

`secured_in` is the epoch in which a variable was last opened here, `kept_in` that in which this node last was one of
its keepers. What holds: a write has returned only when all keepers of the epoch have its version, and nobody else has
one that is Shared. So of all who report, those of the greatest epoch know the newest version; one that was left out of
a view in between gives itself away by a smaller one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from guthi_dvar.bodies import Change, size_of, value_of
from guthi_dvar.coherent.items import Item, zeros
from guthi_dvar.coherent.messages import MOST_FENCES, Entry, Prepared, Report
from guthi_dvar.patches import Patch, Step, trimmed
from guthi_dvar.records import Coherence
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Arrived, Cell, Copy, Event, Outdated, Renewed, Table

__all__ = ["Shelf"]


class Shelf:
    """All items of one node; the variables themselves are in its table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._items: dict[str, Item] = {}
        self.followed: Counter[str] = Counter()
        """The variables of which all versions are wanted here, and by how many."""
        self.leased: dict[str, Any] = {}
        """The values that can be handed out as they are while the lease of this node runs."""

    # ---- looking

    def get(self, name: str) -> Item | None:
        """The item of a variable, unless that was deleted."""
        item = self._items.get(name)
        if item is not None and item.variable is not self._table.get(name):
            del self._items[name]
            self.leased.pop(name, None)
            return None
        return item

    def item(self, name: str) -> Item | None:
        """The same; of one that is only known by name an empty one. None for what is no coherent variable."""
        item = self.get(name)
        if item is None:
            variable = self._table.get(name)
            if variable is None or variable.declaration is None:
                return None
            if variable.declaration.coherence is not Coherence.COHERENT:
                return None
            item = self._items[name] = Item(variable)
        return item

    def forget(self, name: str) -> None:
        """The variable of that name is gone: nothing of it may be read any more."""
        self._items.pop(name, None)
        self.leased.pop(name, None)

    def items(self) -> Iterable[Item]:
        """All, by name."""
        return [item for name in sorted(self._items) if (item := self.get(name)) is not None]

    def known(self) -> Iterable[Item]:
        """The same, and those of which there is only the name here."""
        return [item for each in self._table.variables() if (item := self.item(each.name)) is not None]

    def readable(self, name: str, index: int) -> Copy | None:
        """The copy that may be read as long as the lease runs."""
        item = self.get(name)
        if item is None or not item.is_open or index in item.pending:
            return None
        cell = item.variable.cells.get(index)
        if cell is not None:
            return cell.copy if cell.is_valid else None
        return zeros(item.variable, index) if item.is_keeper and not item.is_damaged else None

    def growth(self, name: str, index: int, change: Change | None) -> tuple[int, int]:
        """How many more values, and bytes, there were here with that change."""
        item = self.item(name)
        if item is None or change is None:
            return 0, 0
        latest = item.latest(index)
        count = int(index not in item.variable.cells)
        if isinstance(change, Patch):
            empty = zeros(item.variable, index)
            return count, size_of(empty.value) if latest is None and empty is not None else 0
        return count, size_of(change) - (size_of(latest.value) if latest is not None else 0)

    def report(self, item: Item) -> Report:
        """What the owner in a new view is told."""
        is_followed = item.variable.name in self.followed
        record = item.variable.record(0.0)
        stamps = tuple(item.stamps())
        return Report(
            record, item.secured_in, item.kept_in, item.is_damaged, is_followed, stamps, item.ledger, item.fences
        )

    # ---- following

    def follow(self, name: str) -> None:
        """Somebody here wants all versions of a variable."""
        self.followed[name] += 1

    def unfollow(self, name: str) -> None:
        """One less does; the owner tells of them until there is another view."""
        self.followed[name] -= 1
        if not self.followed[name]:
            del self.followed[name]

    def heard(self, name: str, index: int, stamp: Stamp) -> list[Event]:
        """There is this version, somebody says."""
        item = self.item(name)
        cell = item.variable.cells.get(index) if item is not None else None
        if item is None or (cell is not None and cell.newest.number >= stamp.number):
            return []
        was_valid = cell is not None and cell.is_valid
        self._table.keep(item.variable, index, Cell(stamp, cell.copy if cell is not None else None))
        self.leased.pop(name, None)
        return [Renewed(name, index, stamp), *([Outdated(name, index, stamp)] if was_valid else [])]

    # ---- views

    def close(self) -> None:
        """There is another view: nothing may be read before its owners have opened it."""
        for item in self._items.values():
            item.is_open = False
        self.leased.clear()

    def secure(self, entry: Entry, epoch: int) -> list[Event]:
        """Open a variable: these are its newest versions; a keeper is told all of them, others those that concern them.

        The variable is in the table.
        """
        item = self.item(entry.record.name)
        if item is None:
            return []
        events: list[Event] = []
        newest = dict(entry.newest)
        for index in sorted({*item.variable.cells, *item.pending, *newest}):
            events += self._rebase(item, index, newest.get(index))
        item.pending.clear()
        item.secured_in, item.is_open, item.is_damaged = epoch, True, entry.is_damaged
        if entry.is_keeper:
            item.kept_in, item.ledger, item.fences = epoch, entry.ledger.copy(), dict(entry.fences)
        for index in sorted(item.variable.cells):
            self._offer(item, index)
        return events

    def _rebase(self, item: Item, index: int, newest: Stamp | None) -> list[Event]:
        """What was here of a value, seen from the version that is the newest now; None: nobody says."""
        name, copy, cell = item.variable.name, item.latest(index), item.variable.cells.get(index)
        if newest is None:
            self._table.lose(item.variable, index)
            return []
        old = cell.newest if cell is not None else None
        was_valid = cell is not None and cell.is_valid
        self._table.keep(item.variable, index, Cell(newest, copy))
        if copy is not None and copy.stamp == newest:
            return [] if was_valid and old == newest else [Renewed(name, index, newest), _arrived(name, index, copy)]
        if old == newest and not was_valid:
            return []
        return [Renewed(name, index, newest), *([Outdated(name, index, newest)] if was_valid else [])]

    def lacking(self, entry: Entry) -> list[int]:
        """The values of which a keeper has not the newest version."""
        item = self.get(entry.record.name)
        if item is None:
            return [index for index, _ in entry.newest]
        found = ((index, stamp, item.latest(index)) for index, stamp in entry.newest)
        return [index for index, stamp, copy in found if copy is None or copy.stamp != stamp]

    def hand(self, name: str, index: int, stamp: Stamp, value: Any, now: float) -> None:
        """A value that this node is to keep, before the variable is opened. Raises MalformedMessage."""
        item = self.item(name)
        if item is not None and item.variable.declaration is not None:
            item.pending[index] = Copy(stamp, value_of(item.variable.declaration, index, value), now)

    # ---- writes, as their owner tells of them

    def prepared(self, write: Prepared, now: float) -> tuple[bool, list[Event]]:
        """There is a newer version, which may not be read yet: no older one may be read any more.

        False if this node should keep it and lacks what the patch changes.
        """
        item = self.item(write.name)
        if item is None or item.variable.birth != write.birth:
            return True, []
        cell = item.variable.cells.get(write.index)
        if cell is not None and cell.newest == write.stamp and (write.index in item.pending or cell.is_valid):
            return True, []  # it is told again
        self.leased.pop(write.name, None)
        was_valid = cell is not None and cell.is_valid and write.index not in item.pending
        if write.change is None:  # a keeper that is told no more than others could not take it, and keeps it no longer
            item.kept_in = 0
            item.pending.pop(write.index, None)
        if write.change is not None and not self._keep(item, write, now):
            return False, []
        if cell is not None and cell.newest == write.stamp and not was_valid:
            return True, []
        self._table.keep(item.variable, write.index, Cell(write.stamp, cell.copy if cell is not None else None))
        renewed = Renewed(write.name, write.index, write.stamp)
        return True, [renewed, *([Outdated(write.name, write.index, write.stamp)] if was_valid else [])]

    def _keep(self, item: Item, write: Prepared, now: float) -> bool:
        declaration, latest = item.variable.declaration, item.latest(write.index)
        assert declaration is not None
        if not isinstance(write.change, Patch):
            item.pending[write.index] = Copy(write.stamp, value_of(declaration, write.index, write.change), now)
            return True
        if latest is None and write.base is not None and write.base.number == 0:
            latest = zeros(item.variable, write.index)
        if latest is None or latest.stamp != write.base:
            return False
        value = write.change.apply(latest.value)
        steps = trimmed([*latest.steps, Step(latest.stamp, write.stamp, write.change)], value.nbytes // 2)
        item.pending[write.index] = Copy(write.stamp, value, now, steps)
        return True

    def committed(self, name: str, versions: Mapping[int, Stamp]) -> list[Event]:
        """What was prepared may be read."""
        item = self.get(name)
        events: list[Event] = []
        for index, stamp in versions.items() if item is not None else ():
            assert item is not None
            pending = item.pending.get(index)
            if pending is None or pending.stamp != stamp:
                continue
            del item.pending[index]
            self._table.keep(item.variable, index, Cell(stamp, pending))
            self._offer(item, index)
            events.append(_arrived(name, index, pending))
        return events

    def arrived(self, name: str, index: int, copy: Copy) -> list[Event]:
        """A version was fetched in the present view; one that is too old by now is not kept."""
        item = self.item(name)
        if item is None or (index in item.pending and item.pending[index].stamp != copy.stamp):
            return []
        cell = item.variable.cells.get(index)
        if cell is not None and copy.stamp.number < cell.newest.number:
            return []
        is_news = cell is None or not cell.is_valid or index in item.pending
        item.pending.pop(index, None)
        self._table.keep(item.variable, index, Cell(copy.stamp, copy))
        self._offer(item, index)
        return [_arrived(name, index, copy)] if is_news else []

    def _offer(self, item: Item, index: int) -> None:
        declaration, cell = item.variable.declaration, item.variable.cells[index]
        is_readable = item.is_open and cell.is_valid and index not in item.pending
        if is_readable and declaration is not None and declaration.kind.is_immutable and cell.copy is not None:
            self.leased[item.variable.name] = cell.copy.value

    def note(self, name: str, token: bytes, epoch: int, fences: Mapping[str, int]) -> None:
        """What a keeper has to know of a write beside the values."""
        item = self.get(name)
        if item is not None:
            item.ledger.done(token, epoch)
            for lock, number in fences.items():
                item.fences.pop(lock, None)
                item.fences[lock] = number
            while len(item.fences) > MOST_FENCES:
                del item.fences[next(iter(item.fences))]

    def drop(self, name: str, index: int) -> None:
        """Keep no copy of a value, for want of room."""
        item = self.get(name)
        if item is not None and not item.is_keeper and index in item.variable.cells:
            item.variable.cells[index].copy = None
            self.leased.pop(name, None)


def _arrived(name: str, index: int, copy: Copy) -> Arrived:
    return Arrived(name, index, copy.stamp, copy.value)
