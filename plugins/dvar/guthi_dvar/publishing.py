"""How a write becomes known: first copies go to where they outlive the writer, then everybody hears of the version.

On `dvar.store` a node sends a list of `[record, index, ["value", value] or ["patch", places, values], base or null]`,
and is answered a list that says of each whether it is kept; who has not the base of a patch is sent the value. On the
broadcast topic `dvar.told` it tells records: the invalidation. It is told when each value has a second copy (or none
can be had), so that a version of which somebody has heard is not lost with its writer alone. `publish` returns when all
copies are made, or have taken too long; what is missing is made up for later (see `upkeep`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi_dvar.bodies import change_from_wire, change_to_wire, size_of, value_of
from guthi_dvar.holding import Holding
from guthi_dvar.patches import Patch, Step
from guthi_dvar.peers import Peers
from guthi_dvar.records import Record, records_from_wire
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Variable

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Publisher"]

STORE, TOLD = "dvar.store", "dvar.told"
STORE_TIMEOUT_S = 2.0
SLOWEST_BYTES_A_S = 8 << 20
MOST_BYTES_A_STORE = 8 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A version that was written here; `step` is set where only a part of a chunk has changed."""

    variable: Variable
    index: int
    stamp: Stamp
    value: Any
    step: Step | None

    @property
    def key(self) -> tuple[str, int]:
        """Which value it is."""
        return self.variable.name, self.index

    def to_wire(self, *, whole: bool) -> list[Any]:
        """An item of a store; `whole` where the receiver has not the base of the patch."""
        variable = self.variable
        record = Record(variable.name, variable.birth, variable.declaration, ((self.index, self.stamp),)).to_wire()
        if self.step is None or whole:
            return [record, self.index, change_to_wire(self.value), None]
        return [record, self.index, change_to_wire(self.step.patch), self.step.base.to_wire()]

    def size_bytes(self, *, whole: bool) -> int:
        """About what it takes to send."""
        return size_of(self.value if self.step is None or whole else self.step.patch)


class Publisher:
    """Publishes for this node, and takes what others publish."""

    def __init__(self, node: Node, holding: Holding, peers: Peers) -> None:
        self._node, self._holding, self._peers = node, holding, peers
        node.handle(STORE, self._store)
        node.handle_broadcast(TOLD, self._told)

    async def publish(self, keys: Iterable[tuple[str, int]], names: Iterable[str] = ()) -> None:
        """Make copies of the values that have just been written here, and tell everybody of them.

        `names` are of variables of which everybody is told as well, values or not: those created or deleted.
        """
        written = [each for name, index in keys if (each := self._written(name, index)) is not None]
        alone = {each.key for each in written}
        stores = [self._node.start(self._copy(to, batch)) for to, batch in self._by_place(written)]
        pending = set(stores)
        while pending and alone:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            alone.difference_update(*(each.result() for each in done))
        await self._tell(written, names)
        if pending:
            await asyncio.wait(pending)

    def _written(self, name: str, index: int) -> Written | None:
        variable = self._holding.table.get(name)
        cell = variable.cells.get(index) if variable is not None else None
        if variable is None or cell is None or cell.copy is None or not cell.is_valid:
            return None  # somebody else has written, or deleted, since
        steps = cell.copy.steps
        step = steps[-1] if steps and steps[-1].stamp == cell.newest else None
        return Written(variable, index, cell.newest, cell.copy.value, step)

    def _by_place(self, written: Sequence[Written]) -> Iterable[tuple[NodeId, list[Written]]]:
        """Which node is to keep what, in messages that are not too long."""
        batches: dict[NodeId, list[list[Written]]] = {}
        for each in written:
            for place in self._peers.places(each.variable, each.index):
                if place == self._node.id:
                    continue
                of_place = batches.setdefault(place, [[]])
                if of_place[-1] and sum(other.size_bytes(whole=False) for other in of_place[-1]) > MOST_BYTES_A_STORE:
                    of_place.append([])
                of_place[-1].append(each)
        return [(place, batch) for place in sorted(batches) for batch in batches[place]]

    async def _copy(self, to: NodeId, batch: Sequence[Written]) -> set[tuple[str, int]]:
        """Let a node keep copies; which values it keeps."""
        try:
            kept = await self._ask_to_keep(to, batch, whole=False)
            lacking = [each for each in batch if each.key not in kept and each.step is not None]
            if lacking:
                kept |= await self._ask_to_keep(to, lacking, whole=True)
        except GuthiError:
            return set()
        return kept

    async def _ask_to_keep(self, to: NodeId, batch: Sequence[Written], *, whole: bool) -> set[tuple[str, int]]:
        timeout_s = STORE_TIMEOUT_S + sum(each.size_bytes(whole=whole) for each in batch) / SLOWEST_BYTES_A_S
        items = [each.to_wire(whole=whole) for each in batch]
        answer = await self._node.request(to, STORE, items, timeout_s=timeout_s)
        if not isinstance(answer, list) or len(answer) != len(batch):
            raise MalformedMessage("a store is answered by whether each value is kept")
        return {each.key for each, is_kept in zip(batch, answer, strict=True) if is_kept is True}

    async def _tell(self, written: Iterable[Written], names: Iterable[str]) -> None:
        """One broadcast for all of it, and for no version that has been written since: that has no second copy yet."""
        of_name: dict[str, list[Written]] = {name: [] for name in names}
        for each in written:
            of_name.setdefault(each.variable.name, []).append(each)
        records = [self._record(name, some) for name, some in sorted(of_name.items())]
        if records:
            await self._node.broadcast(TOLD, [each.to_wire() for each in records])

    def _record(self, name: str, written: Sequence[Written]) -> Record:
        if written:
            variable = written[0].variable
            newest = tuple((each.index, each.stamp) for each in written)
            return Record(name, variable.birth, variable.declaration, newest)
        known = self._holding.table.known(name)
        assert known is not None  # it was created or deleted a moment ago
        return known.record(self._holding.now)

    # ---- what others publish

    def _store(self, incoming: Incoming) -> list[bool]:
        if not isinstance(incoming.value, list):
            raise MalformedMessage("a store is a list of values")
        return [self._keep(item) for item in incoming.value]

    def _keep(self, item: object) -> bool:
        match item:
            case [record_wire, int(index), change_wire, base_wire]:
                record, change = Record.from_wire(record_wire), change_from_wire(change_wire)
                base = Stamp.from_wire(base_wire) if base_wire is not None else None
            case _:
                raise MalformedMessage("an item of a store is a record, which value, a change and its base")
        stamp = dict(record.newest).get(index)
        if stamp is None or record.declaration is None:
            raise MalformedMessage("a store is of a version that its record tells of")
        self._holding.merge([Record(record.name, record.birth, record.declaration)])
        variable = self._holding.table.get(record.name)
        if variable is None or variable.birth != record.birth:
            return False
        if not self._holding.room.has_room(size_of(change)):
            return False
        if isinstance(change, Patch):
            return base is not None and self._keep_patch(variable, index, Step(base, stamp, change))
        self._holding.arrived(variable, index, stamp, value_of(record.declaration, index, change))
        return _has(variable, index, stamp)

    def _keep_patch(self, variable: Variable, index: int, step: Step) -> bool:
        cell = variable.cells.get(index)
        if cell is not None and cell.copy is not None and cell.copy.stamp == step.base:
            value = step.patch.apply(cell.copy.value)
            self._holding.arrived(variable, index, step.stamp, value, step)
        return _has(variable, index, step.stamp)

    def _told(self, incoming: Incoming) -> None:
        self._holding.merge(records_from_wire(incoming.value))


def _has(variable: Variable, index: int, stamp: Stamp) -> bool:
    """Whether that version, or a newer one, is kept."""
    cell = variable.cells.get(index)
    return cell is not None and cell.copy is not None and cell.copy.stamp >= stamp
