"""The strategy `eventual`: the write-invalidation protocol of the source document, mended where it loses values.

| who            | does                                                                                              |
|----------------|---------------------------------------------------------------------------------------------------|
| a writer       | makes the next version and is its *source*; copies go to `replicas` nodes, the version to all     |
| whoever hears  | holds its own copy for invalid, and fetches the value when it next needs it                       |
| a reader       | asks the source, and where that is gone or slow, whoever else may have a copy                     |
| all, at times  | compare what they know; a copy that is missing where it belongs is fetched                        |

Two writes at once make two versions of one number; the one of the greater node id wins everywhere, and the other is
lost. What must not be lost so is done by the source for everybody, one after the other: it writes what touches a part
of a chunk only, and it compares before it writes. A client writes through a peer, and is no source.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from guthi import DeadlineExceeded, Incoming, MalformedMessage, NodeId, PeerLost, UnknownTopic, UsageError
from guthi_dvar.bodies import Write, value_of
from guthi_dvar.coherence import AtVersion, Equal, Expected
from guthi_dvar.errors import SourceUnreachable, UnknownVariable, VariableExists
from guthi_dvar.fetching import Fetcher
from guthi_dvar.holding import Holding
from guthi_dvar.patches import Patch
from guthi_dvar.peers import Peers
from guthi_dvar.publishing import Publisher
from guthi_dvar.readings import VariableInfo, info_of
from guthi_dvar.records import Declaration, Record, is_name
from guthi_dvar.same import is_same
from guthi_dvar.stamps import Stamp
from guthi_dvar.syncing import Syncer
from guthi_dvar.table import Copy
from guthi_dvar.upkeep import Upkeep
from guthi_dvar.watching import Change, Lagged, watched
from guthi_mutex import Fence

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Eventual"]

CREATE, DELETE, WRITE, COMPARE = "dvar.create", "dvar.delete", "dvar.write", "dvar.compare"
TIMEOUT_S = 30.0
UNANSWERED = (PeerLost, DeadlineExceeded, UnknownTopic)
MOST_MOVES = 32


class Eventual:
    """The strategy at work on one node."""

    def __init__(
        self,
        node: Node,
        holding: Holding,
        peers: Peers,
        fetcher: Fetcher,
        publisher: Publisher,
        syncer: Syncer,
        upkeep: Upkeep,
    ) -> None:
        self._node, self._holding, self._peers = node, holding, peers
        self._fetcher, self._publisher, self._syncer, self._upkeep = fetcher, publisher, syncer, upkeep
        self._rng = Random(node.host.entropy(16))
        if peers.is_keeper:
            node.handle(CREATE, self._asked_to_create)
            node.handle(DELETE, self._asked_to_delete)
            node.handle(WRITE, self._asked_to_write)
            node.handle(COMPARE, self._asked_to_compare)

    # ---- reading

    async def read(self, name: str, index: int) -> Copy:
        """The newest version that is known here."""
        return await self._fetcher.fetch(name, index)

    async def read_confirmed(self, name: str, index: int) -> Copy:
        """The newest version as its source knows it now."""
        for _ in range(MOST_MOVES):
            source = self._holding.variable(name).newest(index).node
            is_confirmed = source == self._node.id or await self._fetcher.confirm(name, index)
            if not is_confirmed and self._holding.variable(name).newest(index).node == source:
                break
            copy = await self._fetcher.fetch(name, index)
            if copy.stamp.node == source:
                copy.confirmed_at = self._holding.now
                return copy
        raise self._unreachable(name, source, "says whether there is a newer version")

    def _unreachable(self, name: str, source: NodeId, what: str) -> SourceUnreachable:
        return SourceUnreachable(
            f"{self._peers.name_of(source)}, which wrote the newest version of {name!r}, cannot be reached, and only "
            f"it {what}; try again later, or set the value, which makes another node its source"
        )

    # ---- creating and deleting

    async def create(self, name: str, declaration: Declaration, values: Mapping[int, Any]) -> None:
        """Create a variable here, or through a peer where this node is a client."""
        if not self._peers.is_keeper:
            body = [name, declaration.to_wire(), [[index, value] for index, value in sorted(values.items())]]
            self._holding.merge([Record.from_wire(await self._by_peer(CREATE, body, name))])
            return
        await self._syncer.done_once.wait()
        if self._holding.table.known(name) is None:
            await self._syncer.find(name)
        if self._holding.table.get(name) is not None:
            raise VariableExists(f"there is a variable {name!r} already; delete it first, or choose another name")
        self._holding.declare(name, declaration)
        for index, value in sorted(values.items()):
            self._holding.write(name, index, value)
        await self._publish([(name, index) for index in sorted(values)], name)

    async def _publish(self, keys: Iterable[tuple[str, int]], name: str) -> None:
        """Tell all of a variable that was created or deleted; first those who are asked for a name that is unknown."""
        first = self._peers.ranked(name)[:2]
        await asyncio.gather(*(self._syncer.tell(peer, name) for peer in first))
        await self._publisher.publish(keys, [name])

    async def delete(self, name: str) -> None:
        """Delete a variable here, or through a peer."""
        if not self._peers.is_keeper:
            self._holding.merge([Record.from_wire(await self._by_peer(DELETE, name, name))])
            return
        self._holding.delete(name)
        await self._publish([], name)

    # ---- writing

    async def write(self, writes: Sequence[Write], fence: Fence | None = None) -> None:
        """Make the next version of each value: at its source where a part of it changes, else here."""
        _refuse(fence)
        forwarded: dict[NodeId, list[Write]] = {}
        here: list[Write] = []
        for each in writes:
            source = self._holding.variable(each.name).newest(each.index).node
            is_elsewhere = isinstance(each.change, Patch) and source != self._node.id and self._peers.is_there(source)
            (forwarded.setdefault(source, []) if is_elsewhere else here).append(each)
        for source, some in sorted(forwarded.items()):
            try:
                await self._write_at(source, some)
            except UNANSWERED:
                here += some  # to write the same elements twice does no harm
        if not here:
            return
        if self._peers.is_keeper:
            await self._write_here(here)
        else:
            body = [each.to_wire() for each in here]
            self._learn(await self._by_peer(WRITE, body, here[0].name))

    async def _write_at(self, source: NodeId, writes: Sequence[Write]) -> None:
        self._learn(await self._node.request(source, WRITE, [each.to_wire() for each in writes], timeout_s=TIMEOUT_S))

    def _learn(self, records: object) -> None:
        """What was written elsewhere on our behalf is known here before the writer goes on."""
        if not isinstance(records, list):
            raise MalformedMessage("a write is answered by records")
        self._holding.merge(Record.from_wire(each) for each in records)

    async def _write_here(self, writes: Sequence[Write]) -> Iterable[tuple[str, int]]:
        """Which values were written."""
        written: dict[tuple[str, int], None] = {}
        for each in writes:
            if isinstance(each.change, Patch):
                base = await self._fetcher.fetch(each.name, each.index)  # nothing is awaited from here to the write
                self._holding.write(each.name, each.index, each.change.apply(base.value), each.change)
            else:
                self._holding.write(each.name, each.index, each.change)
            written[each.name, each.index] = None
        await self._publisher.publish(written)
        return written

    def _records(self, keys: Iterable[tuple[str, int]]) -> list[Record]:
        known = ((self._holding.table.get(name), index) for name, index in keys)
        return [variable.record(self._holding.now, index) for variable, index in known if variable is not None]

    # ---- comparing

    async def compare_and_set(self, name: str, expected: Expected, value: Any, fence: Fence | None = None) -> bool:
        """Let the source compare and write."""
        _refuse(fence)
        for _ in range(MOST_MOVES):
            source = self._holding.variable(name).newest(0).node
            if source == self._node.id:
                answer = await self._compare(name, expected, value)
            else:
                answer = await self._compare_at(source, name, expected, value)
            if answer is not None:
                return answer
        raise SourceUnreachable(f"others write {name!r} so often that its source moves on each time; try again")

    async def _compare_at(self, source: NodeId, name: str, expected: Expected, value: Any) -> bool | None:
        variable = self._holding.variable(name)
        wanted = ["version", expected.stamp.to_wire()] if isinstance(expected, AtVersion) else ["value", expected.value]
        body = [name, variable.birth.to_wire(), wanted, value]
        if not self._peers.is_there(source):
            raise self._unreachable(name, source, "can compare")
        try:
            answer = await self._node.request(source, COMPARE, body, timeout_s=TIMEOUT_S)
        except UNANSWERED as error:
            refusal = self._unreachable(name, source, "can compare")
            raise SourceUnreachable(f"{refusal} (it may have written: {error})") from error
        match answer:
            case [bool() | None as outcome, record]:
                self._holding.merge([Record.from_wire(record)])
                return outcome
        raise MalformedMessage("a comparison is answered by its outcome and a record")

    async def _compare(self, name: str, expected: Expected, value: Any) -> bool | None:
        """At the source: compare, and write with nothing in between; None if it is the source no more."""
        copy = await self._fetcher.fetch(name, 0)
        if copy.stamp.node != self._node.id:
            return None
        if isinstance(expected, AtVersion):
            is_as_expected = copy.stamp == expected.stamp
        else:
            is_as_expected = is_same(copy.value, expected.value)
        if is_as_expected:
            self._holding.write(name, 0, value)
            await self._publisher.publish([(name, 0)])
        return is_as_expected

    # ---- watching and looking

    def watched(self, name: str, queue: int) -> AsyncIterator[Change | Lagged]:
        """The current value and each change; see `watching`."""
        return watched(self._holding, self._upkeep, name, queue)

    async def info(self, name: str) -> VariableInfo:
        """What a variable is, as this node knows it."""
        variable = self._holding.variable(name)
        newest = max((each.newest for each in variable.cells.values()), default=variable.newest(0))
        is_valid = all(each.is_valid for each in variable.cells.values())
        return info_of(variable, self._peers, newest, self._peers.places(variable, 0), is_valid)

    # ---- what others ask for

    async def _by_peer(self, topic: str, body: Any, name: str) -> Any:
        """Let a peer do what a client cannot; raises PeerLost where there is none."""
        lost: Exception = PeerLost(
            "all peers", "no node of this network keeps variables; enable the plugin dvar on some"
        )
        for peer in self._peers.ranked(name):
            try:
                return await self._node.request(peer, topic, body, timeout_s=TIMEOUT_S)
            except UnknownTopic as error:  # it is just starting
                lost = error
        raise lost

    async def _asked_to_create(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [str(name), told, list(items)] if is_name(name) and all(isinstance(each, list) for each in items):
                declaration = Declaration.from_wire(told)
                values = dict(_item(declaration, each) for each in items)
            case _:
                raise MalformedMessage("a variable is created by a name, a declaration and values")
        await self.create(name, declaration, values)
        return self._holding.variable(name).record(self._holding.now).to_wire()

    async def _asked_to_delete(self, incoming: Incoming) -> list[Any]:
        name = incoming.value
        if not isinstance(name, str):
            raise MalformedMessage("a variable is deleted by its name")
        await self.delete(name)
        deleted = self._holding.table.known(name)
        if deleted is None:
            raise UnknownVariable(f"there is no variable {name!r} any more")
        return deleted.record(self._holding.now).to_wire()

    async def _asked_to_write(self, incoming: Incoming) -> list[Any]:
        if not isinstance(incoming.value, list):
            raise MalformedMessage("writes are a list")
        writes = [self._checked(Write.from_wire(each)) for each in incoming.value]
        return [each.to_wire() for each in self._records(await self._write_here(writes))]

    def _checked(self, write: Write) -> Write:
        declaration = self._declaration(write.name)
        if isinstance(write.change, Patch):
            if declaration.grid is None or write.index >= declaration.count:
                raise MalformedMessage("a patch is of a chunk of an array")
            return write
        return Write(write.name, write.index, value_of(declaration, write.index, write.change))

    def _declaration(self, name: str) -> Declaration:
        declaration = self._holding.variable(name).declaration
        if declaration is None or declaration.is_constant:
            raise MalformedMessage("a constant is not written")
        return declaration

    async def _asked_to_compare(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [str(name), birth, [str(by), wanted], value]:
                declaration = self._declaration(name)
                value = value_of(declaration, 0, value)
            case _:
                raise MalformedMessage("a comparison is a name, a birth, what is expected, and a value")
        if self._holding.variable(name).birth != Stamp.from_wire(birth):
            raise UnknownVariable(f"there is another variable {name!r} now")
        expected = AtVersion(Stamp.from_wire(wanted)) if by == "version" else Equal(value_of(declaration, 0, wanted))
        is_source = self._holding.variable(name).newest(0).node == self._node.id
        outcome = await self._compare(name, expected, value) if is_source else None
        return [outcome, self._holding.variable(name).record(self._holding.now).to_wire()]


def _refuse(fence: Fence | None) -> None:
    if fence is not None:
        raise UsageError('fences are checked by the owner of a variable; create it with coherence="coherent"')


def _item(declaration: Declaration, item: list[Any]) -> tuple[int, Any]:
    match item:
        case [int(index), value] if type(index) is int:
            return index, value_of(declaration, index, value)
    raise MalformedMessage("a value is told with its number")
