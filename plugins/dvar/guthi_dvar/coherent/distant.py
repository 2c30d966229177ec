"""The strategy `coherent` on a node that is in no view, as a client or one without mutex: a member acts for it.

On `dvar.behalf` it sends what it wants; who is lost meanwhile, another is asked, under the same token. It keeps no
copies but the last, so that it is sent only what has changed. A watch is a stream, `dvar.watch`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from guthi import DeadlineExceeded, Incoming, MalformedMessage, NodeId, PeerLost, Stream, UnknownTopic, UsageError
from guthi_dvar.bodies import Write
from guthi_dvar.coherence import Expected
from guthi_dvar.coherent.copies import answer_of, copy_of
from guthi_dvar.coherent.operations import Asked, Compare, Create, Delete, Operation, Put
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.strategy import Coherent
from guthi_dvar.errors import Unavailable, UnknownVariable
from guthi_dvar.holding import Holding
from guthi_dvar.peers import Peers
from guthi_dvar.readings import VariableInfo
from guthi_dvar.records import Declaration, Record, is_name
from guthi_dvar.stamps import LIFE_BYTES, Stamp
from guthi_dvar.table import Cell, Copy
from guthi_dvar.watching import Change, Lagged
from guthi_mutex import Fence

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Agent", "Distant"]

BEHALF, WATCH = "dvar.behalf", "dvar.watch"
TIMEOUT_S = 60.0
TRIES = 8
UNANSWERED = (PeerLost, DeadlineExceeded, UnknownTopic)


class Distant:
    """The strategy at work on such a node."""

    def __init__(self, node: Node, holding: Holding, shelf: Shelf, peers: Peers) -> None:
        self._node, self._holding, self._shelf, self._peers = node, holding, shelf, peers
        self._life, self._numbers = node.host.entropy(LIFE_BYTES), count(1)

    def _agents(self, name: str) -> list[NodeId]:
        able = {each.id for each in self._node.members if any(plugin == "mutex" for plugin, _ in each.plugins)}
        agents = [id for id in self._peers.ranked(name) if id in able]
        if not agents:
            raise UsageError(
                "coherent variables are kept by peers that run the plugins mutex and dvar; enable both, as in "
                'plugins = ["mutex", "dvar"], on the nodes of this network'
            )
        return agents

    async def _ask(self, name: str, *body: Any) -> Any:
        lost: Exception | None = None
        for agent in self._agents(name)[:TRIES]:
            try:
                return await self._node.request(agent, BEHALF, [*body], timeout_s=TIMEOUT_S)
            except UNANSWERED as error:
                lost = error
        raise Unavailable(f"no node that keeps coherent variables answers: {lost}") from lost

    async def _operate(self, operation: Operation) -> Any:
        name = operation.names[0]
        token = bytes(self._node.id) + self._life + next(self._numbers).to_bytes(8)
        tried_in: int | None = None
        for agent in self._agents(name)[:TRIES]:
            asked = Asked(token, tried_in, operation)
            tried_in = 0
            try:
                answer = await self._node.request(agent, BEHALF, ["operate", asked.to_wire()], timeout_s=TIMEOUT_S)
            except UNANSWERED:
                continue
            match answer:
                case [outcome, record]:
                    self._holding.merge([Record.from_wire(record)] if record is not None else [])
                    return outcome
            raise MalformedMessage("what is done on behalf of a client is answered by its outcome and a record")
        raise Unavailable("no node that keeps coherent variables answers; what was to be written may have been")

    # ---- the strategy

    async def read(self, name: str, index: int) -> Copy:
        """The newest version there is. Raises Unavailable, UnknownVariable, ValueUnavailable."""
        item = self._shelf.item(name)
        if item is None:
            raise UnknownVariable(f"there is no variable {name!r:.80}")
        have = item.latest(index)
        stamp = have.stamp.to_wire() if have is not None else None
        copy = copy_of(item, index, have, await self._ask(name, "read", name, index, stamp), self._holding.now)
        if self._holding.table.get(name) is item.variable:
            self._holding.table.keep(item.variable, index, Cell(copy.stamp, copy))
        return copy

    read_confirmed = read

    async def create(self, name: str, declaration: Declaration, values: Mapping[int, Any]) -> None:
        """Create a variable. Raises VariableExists, TableFull, Unavailable."""
        await self._operate(Create(name, declaration, values))

    async def delete(self, name: str) -> None:
        """Delete a variable. Raises UnknownVariable, Unavailable."""
        await self._operate(Delete(name))

    async def write(self, writes: Sequence[Write], fence: Fence | None = None) -> None:
        """Write these values. Raises Unavailable, UnknownVariable, StaleFence."""
        await self._operate(Put(writes, fence))

    async def compare_and_set(self, name: str, expected: Expected, value: Any, fence: Fence | None = None) -> bool:
        """Write if the value is as expected. Raises Unavailable, UnknownVariable, ValueUnavailable, StaleFence."""
        return bool(await self._operate(Compare(name, expected, value, fence)))

    async def info(self, name: str) -> VariableInfo:
        """What a variable is, as its owner knows it."""
        return VariableInfo.from_wire(await self._ask(name, "info", name))

    async def watched(self, name: str, queue: int) -> AsyncIterator[Change | Lagged]:
        """The current value and each change, as a member tells them; the next one goes on if that is lost."""
        last: dict[int, int] = {}
        for agent in self._agents(name)[:TRIES]:
            try:
                async with self._node.open_stream(agent, WATCH, [name, queue]) as stream:
                    async for told in stream:
                        for each in self._told(name, told, last):
                            yield each
                return
            except UNANSWERED:
                continue
        raise Unavailable(f"no node that keeps coherent variables answers, so {name!r} cannot be watched")

    def _told(self, name: str, told: object, last: dict[int, int]) -> list[Change | Lagged]:
        match told:
            case [int(index), int(version), bytes(writer), value] if len(writer) == NodeId.SIZE:
                variable = self._holding.variable(name)
            case _:
                raise MalformedMessage("a change is which value, its version, its writer, and the value")
        grid = variable.declaration.grid if variable.declaration is not None else None
        at = grid.box(index) if grid is not None else None
        before = last.get(index)
        if before is not None and version <= before:
            return []
        last[index] = version
        change = Change(value, version, NodeId(writer), at)
        missed = version - before - 1 if before is not None else 0
        return [Lagged(missed, at), change] if missed else [change]


class Agent:
    """Does for others what they ask of this member."""

    def __init__(self, node: Node, holding: Holding, coherent: Coherent) -> None:
        self._holding, self._coherent = holding, coherent
        node.handle(BEHALF, self._asked)
        node.handle_stream(WATCH, self._watched)

    async def _asked(self, incoming: Incoming) -> Any:
        match incoming.value:
            case [str("read"), str(name), int(index), have_wire] if is_name(name) and type(index) is int:
                have = Stamp.from_wire(have_wire) if have_wire is not None else None
                return await self._read(name, index, have)
            case [str("operate"), asked]:
                return await self._operate(Asked.from_wire(asked))
            case [str("info"), str(name)]:
                return (await self._coherent.info(name)).to_wire()
        raise MalformedMessage("on behalf of another one reads, operates or informs")

    async def _read(self, name: str, index: int, have: Stamp | None) -> list[Any]:
        declaration = self._holding.variable(name).declaration
        if declaration is None or not 0 <= index < declaration.count:
            raise MalformedMessage("a value is read that the variable has not")
        return answer_of(await self._coherent.read(name, index), have, is_written=True)

    async def _operate(self, asked: Asked) -> list[Any]:
        operation, token, outcome = asked.operation, asked.token, True
        if isinstance(operation, Put):
            await self._coherent.write(operation.writes, operation.fence, token, asked.tried_in)
        elif isinstance(operation, Compare):
            name, expected, value = operation.name, operation.expected, operation.value
            outcome = await self._coherent.compare_and_set(
                name, expected, value, operation.fence, token, asked.tried_in
            )
        elif isinstance(operation, Create):
            await self._coherent.create(operation.name, operation.declaration, operation.values, token)
        else:
            await self._coherent.delete(operation.name, token)
        known = self._holding.table.known(operation.names[0])
        return [outcome, known.record(self._holding.now).to_wire() if known is not None else None]

    async def _watched(self, incoming: Incoming, stream: Stream) -> None:
        match incoming.value:
            case [str(name), int(queue)] if is_name(name) and queue >= 1:
                grid = self._grid(name)
            case _:
                raise MalformedMessage("a watch names a variable, and how many changes may wait")
        async for each in self._coherent.watched(name, queue):
            if isinstance(each, Change):
                index = grid.index(each.at) if grid is not None and each.at is not None else 0
                await stream.send([index, each.version, bytes(each.writer), each.value])

    def _grid(self, name: str) -> Any:
        declaration = self._holding.variable(name).declaration
        return declaration.grid if declaration is not None else None
