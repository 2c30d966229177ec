"""A failure detector as simple as can be, for worlds where somebody has to say who failed.

Each second a node pings one member, in a random order that takes every member in turn. Who has not answered until then
is suspected, and a suspect that still has not recovered `grace_s` later has failed.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from random import Random

from guthi import Incoming, Member, MemberState, NodeId, Plugin, UsageError, hookimpl

__all__ = ["Detector"]

INTERVAL_S = 1.0
GRACE_S = 4.0
PING, PONG = "detector.ping", "detector.pong"


class Detector(Plugin):
    """Pings, suspects, gives up. `failed` are the names of all that this node saw fail."""

    name = "detector"

    async def run(self, stack: AsyncExitStack) -> None:
        self.failed: list[str] = []
        self._answered: set[NodeId] = set()
        self._turns: list[NodeId] = []
        self._random = Random(self.node.host.entropy(8))
        self.node.handle_datagram(PING, self._ping)
        self.node.handle_datagram(PONG, self._pong)
        self.node.start(self._probe())

    @hookimpl
    def member_failed(self, member: Member) -> None:
        self.failed.append(member.name)

    def _ping(self, incoming: Incoming) -> None:
        self.node.send_datagram(incoming.peer, PONG, None)

    def _pong(self, incoming: Incoming) -> None:
        self._answered.add(incoming.peer)

    async def _probe(self) -> None:
        while True:
            target = self._next()
            if target is not None:
                self._answered.discard(target)
                self.node.send_datagram(target, PING, None)
            await asyncio.sleep(INTERVAL_S)
            if target is not None and target not in self._answered:
                self._accuse(target, MemberState.SUSPECT)
                self.node.start(self._give_up(target))

    def _next(self) -> NodeId | None:
        if not self._turns:
            self._turns = [member.id for member in self.node.members]
            self._random.shuffle(self._turns)
        return self._turns.pop() if self._turns else None

    async def _give_up(self, target: NodeId) -> None:
        await asyncio.sleep(GRACE_S)
        if self.node.member(target).state is MemberState.SUSPECT:
            self._accuse(target, MemberState.FAILED)

    def _accuse(self, target: NodeId, state: MemberState) -> None:
        try:
            self.node.accuse(target, state, evidence=f"no answer to a ping within {INTERVAL_S:g} s")
        except UsageError:
            self._answered.discard(target)  # it has left, or was forgotten
