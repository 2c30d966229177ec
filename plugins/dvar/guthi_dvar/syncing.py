"""How tables that have missed something become equal: at times each node compares its own with another's.

On `dvar.sync` a node sends the fingerprint of its table, and is answered null if the other's is the same, else the
other's digests, `{name: hash}`. Then on `dvar.records` it sends its records of the names that differ, and the names
that it wants; both merge what they get. Demers and others 1987 call it anti-entropy. It is done with one other node
each `sync_interval`, soon after a member has come or come back, and before a node creates its first variable.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, NodeId
from guthi_dvar.holding import Holding
from guthi_dvar.peers import Peers
from guthi_dvar.records import is_name, records_from_wire

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Syncer"]

SYNC, RECORDS = "dvar.sync", "dvar.records"
TIMEOUT_S = 10.0
RETRY_S = 0.5
SOON_S = 0.2
FIND_TIMEOUT_S = 2.0
FIRST_PEERS = 3
MOST_NAMES = 1024  # in one message: a node has other work than to read all of a large table at once


class Syncer:
    """Compares this node's table with those of others, until the node stops."""

    def __init__(self, node: Node, holding: Holding, peers: Peers, interval_s: float, rng: Random) -> None:
        self._node, self._holding, self._peers = node, holding, peers
        self._interval_s, self._rng = interval_s, rng
        self._is_wanted = asyncio.Event()
        self._first: list[NodeId] = []  # who has just come, and is to be compared with before all others
        self.done_once = asyncio.Event()
        """This node knows what the network knows, or nobody else is there."""
        node.handle(SYNC, self._compared)
        node.handle(RECORDS, self._exchanged)

    async def run(self) -> None:
        """Sync for ever; it begins when the node has joined."""
        while True:
            peer = self._choose()
            if peer is None or await self._succeeds(peer):
                self.done_once.set()
            pause_s = self._interval_s if self.done_once.is_set() else RETRY_S
            try:
                async with asyncio.timeout(pause_s * self._rng.uniform(0.75, 1.25)):
                    await self._is_wanted.wait()
                await asyncio.sleep(SOON_S * self._rng.random())
            except TimeoutError:
                pass
            self._is_wanted.clear()
            self._holding.table.forget(self._holding.now)

    def soon(self, peer: NodeId | None = None) -> None:
        """Do not wait for the next turn: a node has come, and may know what this one has missed."""
        if peer is not None and peer not in self._first:
            self._first.append(peer)
        self._is_wanted.set()

    def _choose(self) -> NodeId | None:
        others = self._peers.others
        while self._first:
            if self._first[0] in others:
                return self._first.pop(0)
            self._first.pop(0)
        return self._rng.choice(others) if others else None

    async def _succeeds(self, peer: NodeId) -> bool:
        try:
            await self._sync(peer)
        except GuthiError:
            return False
        if self._first:
            self._is_wanted.set()
        return True

    async def _sync(self, peer: NodeId) -> None:
        table = self._holding.table
        theirs = await self._node.request(peer, SYNC, table.fingerprint, timeout_s=TIMEOUT_S)
        if theirs is None:
            return
        if not isinstance(theirs, dict):
            raise MalformedMessage("a sync is answered by digests")
        mine = table.digests()
        differing = sorted(name for name in mine if theirs.get(name) != mine[name])
        wanted = sorted(name for name in theirs if isinstance(name, str) and theirs[name] != mine.get(name))
        for start in range(0, max(len(differing), len(wanted)), MOST_NAMES):
            portion = slice(start, start + MOST_NAMES)
            await self._exchange(peer, differing[portion], wanted[portion], TIMEOUT_S)

    async def _exchange(self, peer: NodeId, told: list[str], wanted: list[str], timeout_s: float) -> None:
        answer = await self._node.request(peer, RECORDS, [self._records(told), wanted], timeout_s=timeout_s)
        self._holding.merge(records_from_wire(answer))

    async def find(self, name: str) -> None:
        """Ask the nodes that are the first to keep a variable of that name whether there is one."""
        for peer in self._peers.ranked(name)[:FIRST_PEERS]:
            try:
                await self._exchange(peer, [], [name], FIND_TIMEOUT_S)
            except GuthiError:
                continue
            if self._holding.table.get(name) is not None:
                return

    async def tell(self, peer: NodeId, name: str) -> None:
        """Tell one node all that is known of a name; if it cannot be reached, it hears of it later."""
        try:
            await self._exchange(peer, [name], [], FIND_TIMEOUT_S)
        except GuthiError:
            return

    def _records(self, names: list[str]) -> list[Any]:
        known = (self._holding.table.known(name) for name in names)
        return [each.record(self._holding.now).to_wire() for each in known if each is not None]

    def _compared(self, incoming: Incoming) -> dict[str, bytes] | None:
        table = self._holding.table
        return table.digests() if incoming.value != table.fingerprint else None

    def _exchanged(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [list(told), list(wanted)] if all(isinstance(name, str) and is_name(name) for name in wanted):
                self._holding.merge(records_from_wire(told))
                return self._records(wanted)
        raise MalformedMessage("news are exchanged as records and the names that are wanted")
