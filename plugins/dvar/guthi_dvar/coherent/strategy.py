"""The strategy `coherent`, on a member: what a caller reads and writes is as if there were one copy of each variable.

Linearizable (Herlihy and Wing 1990): each operation happens at one moment between its call and its return. The states
of copies are those of write-invalidation (Li and Hudak 1989), with owners that follow from views instead of a manager,
and leases (Gray and Cheriton 1989), so that a holder that does not answer does not stop a writer for ever.

| file         | decides                                                                            |
|--------------|------------------------------------------------------------------------------------|
| `standing`   | whether this node may act as a member of its view, and waits for it                |
| `roles`      | who owns a variable, and who keeps it                                              |
| `succession` | how the owners of a new view take over; `recovery` what they take for the newest   |
| `terms`      | what the owner of variables knows of them in one view; `turns` whose turn it is    |
| `owner`      | in which order operations happen; `checking` whether a write fits                  |
| `founding`   | how variables begin and end                                                        |
| `telling`    | when a write has happened; `ledger` whether it did before                          |
| `witnesses`  | how a writer that is not the owner knows that sooner                               |
| `shelf`      | what this node has (`items`), and what may be read; `hearing` is told so by owners |
| `copies`     | how a version travels to who has another one                                       |
| `asking`     | whom to ask, until there is an answer; `answering` what an owner says to that      |
| `rounds`     | how members are asked until they answer; `questions` that they are asked at once   |
| `distant`    | the same for nodes that are in no view, clients above all: a member does it        |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from guthi import GuthiError
from guthi_dvar.bodies import Write
from guthi_dvar.coherence import Expected
from guthi_dvar.coherent.asking import Asker, Split
from guthi_dvar.coherent.operations import Compare, Create, Delete, Put
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.coherent.standing import Standing
from guthi_dvar.coherent.succession import Succession
from guthi_dvar.coherent.terms import Term
from guthi_dvar.errors import UnknownVariable
from guthi_dvar.holding import Holding
from guthi_dvar.peers import Peers
from guthi_dvar.readings import VariableInfo, info_of
from guthi_dvar.records import Declaration
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Copy
from guthi_dvar.upkeep import Upkeep
from guthi_dvar.watching import Change, Lagged, watched
from guthi_mutex import Fence

if TYPE_CHECKING:
    from guthi import Node
    from guthi_dvar.publishing import Publisher

__all__ = ["Coherent"]


class Coherent:
    """The strategy at work on one node."""

    def __init__(
        self,
        node: Node,
        holding: Holding,
        shelf: Shelf,
        standing: Standing,
        succession: Succession,
        asker: Asker,
        upkeep: Upkeep,
        publisher: Publisher,
        peers: Peers,
    ) -> None:
        self._node, self._holding, self._shelf, self._standing = node, holding, shelf, standing
        self._succession, self._asker, self._upkeep = succession, asker, upkeep
        self._publisher, self._peers = publisher, peers
        self._under_way: dict[tuple[str, int], tuple[Term | None, Stamp, asyncio.Task[Copy | GuthiError]]] = {}

    # ---- reading

    async def read(self, name: str, index: int) -> Copy:
        """The newest version there is. Raises Unavailable, UnknownVariable, ValueUnavailable."""
        copy = self._shelf.readable(name, index)
        if copy is not None:
            if self._holding.now >= self._standing.views.until:
                await self._standing.certain(self._holding.now + self._standing.patience_s)
                copy = self._shelf.readable(name, index)
            if copy is not None:
                self._standing.use()
                copy.confirmed_at = self._holding.now
                return copy
        return await self._obtain(name, index)

    read_confirmed = read

    async def _obtain(self, name: str, index: int) -> Copy:
        """Fetch the newest version. Whoever wants the same waits for one fetch, unless there has been a write since."""
        key, now = (name, index), (self._succession.term, self._holding.variable(name).newest(index))
        under_way = self._under_way.get(key)
        if under_way is not None and under_way[:2] == now:
            task = under_way[2]
        else:
            task = self._node.start(self._outcome(name, index), f"obtain {name}")
            self._under_way[key] = (*now, task)
            task.add_done_callback(lambda done: self._ended(key, done))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, GuthiError):
            raise outcome
        return outcome

    def _ended(self, key: tuple[str, int], task: asyncio.Task[Copy | GuthiError]) -> None:
        if key in self._under_way and self._under_way[key][2] is task:
            del self._under_way[key]

    async def _outcome(self, name: str, index: int) -> Copy | GuthiError:
        try:
            return await self._asker.obtain(name, index)
        except GuthiError as error:
            return error

    # ---- creating and deleting

    async def create(
        self, name: str, declaration: Declaration, values: Mapping[int, Any], token: bytes | None = None
    ) -> None:
        """Create a variable with these values. Raises VariableExists, TableFull, Unavailable."""
        await self._asker.operate(Create(name, declaration, values), token or self._asker.token())
        await self._publisher.publish([], [name])

    async def delete(self, name: str, token: bytes | None = None) -> None:
        """Delete a variable. Raises UnknownVariable, Unavailable."""
        try:
            await self._asker.operate(Delete(name), token or self._asker.token())
        finally:
            if self._holding.table.known(name) is not None:
                await self._publisher.publish([], [name])

    # ---- writing

    async def write(
        self,
        writes: Sequence[Write],
        fence: Fence | None = None,
        token: bytes | None = None,
        tried_in: int | None = None,
    ) -> None:
        """Write these values, those of one owner in one round. Raises Unavailable, UnknownVariable, StaleFence."""
        token = token or self._asker.token()
        if len(writes) == 1:
            await self._put(writes, fence, token, tried_in)
            return
        groups = await self._asker.by_owner(writes)
        if len(groups) == 1:
            await self._put(groups[0], fence, token, tried_in)
            return
        await asyncio.gather(*(self._put(some, fence, token, tried_in) for some in groups))

    async def _put(self, writes: Sequence[Write], fence: Fence | None, token: bytes, tried_in: int | None) -> None:
        try:
            await self._asker.operate(Put(writes, fence), token, tried_in)
        except Split as split:
            await self.write(writes, fence, token, split.tried_in)

    async def compare_and_set(
        self,
        name: str,
        expected: Expected,
        value: Any,
        fence: Fence | None = None,
        token: bytes | None = None,
        tried_in: int | None = None,
    ) -> bool:
        """Write if the value is as expected. Raises Unavailable, UnknownVariable, ValueUnavailable, StaleFence."""
        compare = Compare(name, expected, value, fence)
        return bool(await self._asker.operate(compare, token or self._asker.token(), tried_in))

    # ---- watching and looking

    async def watched(self, name: str, queue: int) -> AsyncIterator[Change | Lagged]:
        """The current value and each change after it; see `watching`."""
        self._shelf.follow(name)
        try:
            self._know(name, await self._asker.follow(name, follows=True))
            async for each in watched(self._holding, self._upkeep, name, queue):
                yield each
        finally:
            self._shelf.unfollow(name)

    def _know(self, name: str, versions: Sequence[tuple[int, Stamp]]) -> None:
        self._holding.tell(event for index, stamp in versions for event in self._shelf.heard(name, index, stamp))

    async def info(self, name: str) -> VariableInfo:
        """What a variable is, as its owner knows it."""
        versions = await self._asker.follow(name, follows=False)
        variable, term = self._holding.variable(name), self._succession.term
        declaration = variable.declaration
        if declaration is None or term is None:
            raise UnknownVariable(f"there is no variable {name!r:.80} any more")
        keepers = term.roles.keepers(name, declaration.replicas)
        newest = max((stamp for _, stamp in versions), default=variable.newest(0))
        is_valid = all(self._shelf.readable(name, index) is not None for index, _ in versions)
        return info_of(variable, self._peers, newest, keepers, is_valid)
