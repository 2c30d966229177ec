"""Keeps the network's time on one node: asks some peers for theirs, and an NTP server where one is configured.

The arithmetic is in `ensemble`. On `gutfs.clock` a node answers a null with `[received, answered, served]`: its wall
clock when the question came and when the answer left, and what a server has told it to add to that, null without one.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING

from guthi import Address, GuthiError, Incoming, MalformedMessage, NodeId
from guthi.calmlog import CalmLog
from guthi_gutfs.clocks.ensemble import ClockEnsemble
from guthi_gutfs.clocks.sntp import ServerRefuses, ask
from guthi_gutfs.timestamps import ntp_from_unix
from guthi_health import ClockOffset, ClockSample

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["NetworkClock"]

TOPIC = "gutfs.clock"
TIMEOUT_S = 2.0
SERVER_TIMEOUT_S = 5.0
ASKED_AT_ONCE = 8
FIRST_ROUNDS, FIRST_PAUSE_S = 4, 0.5

log = logging.getLogger("guthi_gutfs.clocks")


class NetworkClock:
    """The network's time, as this node knows it. `server` is an NTP server, None for none."""

    def __init__(self, node: Node, interval_s: float, server: Address | None, rng: Random) -> None:
        self._node, self._interval_s, self._server, self._rng = node, interval_s, server, rng
        self._loop = asyncio.get_running_loop()
        self._log = CalmLog(log, self._loop.time)
        self._ensemble = ClockEnsemble()
        self._last = 0
        node.handle(TOPIC, self._answer)

    # ---- what time it is

    def time_s(self) -> float:
        """Seconds since 1970 by the network's clock. It may step back when clocks are set."""
        return self._node.host.wall_time_s() + self._ensemble.correction_s(self._loop.time())

    def now(self) -> int:
        """The same as an NTP timestamp for what is written now: greater than every one before it."""
        self._last = max(ntp_from_unix(self.time_s()), self._last + 1)
        return self._last

    def offset(self, peer: NodeId) -> ClockOffset | None:
        """How far a peer's wall clock is ahead of this node's; None while that is not known."""
        return self._ensemble.offset(peer, self._loop.time())

    # ---- learning it

    async def run(self) -> None:
        """Ask for ever: a few times soon, then each interval."""
        for turn in range(FIRST_ROUNDS):
            await self._round(asks_server=turn == 0)
            await asyncio.sleep(FIRST_PAUSE_S)
        while True:
            await asyncio.sleep(self._interval_s * self._rng.uniform(0.9, 1.1))
            await self._round(asks_server=True)

    def lost(self, peer: NodeId) -> None:
        """A member failed or left."""
        self._ensemble.lost(peer)

    async def _round(self, *, asks_server: bool) -> None:
        others = [each.id for each in self._node.members if any(name == "gutfs" for name, _ in each.plugins)]
        chosen = self._rng.sample(others, min(ASKED_AT_ONCE, len(others)))
        await asyncio.gather(*(self._ask(peer) for peer in chosen))
        if asks_server and self._server is not None:
            await self._ask_server(self._server)

    async def _ask(self, peer: NodeId) -> None:
        wall_time_s = self._node.host.wall_time_s
        sent_s = wall_time_s()
        try:
            answer = await self._node.request(peer, TOPIC, None, timeout_s=TIMEOUT_S)
            back_s = wall_time_s()
            received_s, answered_s, served_s = _read(answer)
        except GuthiError as error:
            log.info("%s does not tell its time: %s", peer, error)
            return
        sample = ClockSample(sent_s, received_s, answered_s, back_s)
        self._ensemble.heard(peer, sample, served_s, self._loop.time())

    async def _ask_server(self, server: Address) -> None:
        try:
            self._ensemble.served_s = (await ask(self._node.host, server, SERVER_TIMEOUT_S)).offset_s
        except ServerRefuses as error:
            self._server = None
            self._log.warning("%s is asked no more: %s", server, error)
        except (GuthiError, OSError) as error:
            self._log.warning("no time from the NTP server %s: %s", server, error)

    def _answer(self, incoming: Incoming) -> list[float | None]:
        received_s = self._node.host.wall_time_s()
        return [received_s, self._node.host.wall_time_s(), self._ensemble.served_s]


def _read(answer: object) -> tuple[float, float, float | None]:
    match answer:
        case [float(received_s), float(answered_s), None | float() as served_s]:
            if all(each is None or abs(each) < 1e12 for each in (received_s, answered_s, served_s)):  # neither is NaN
                return received_s, answered_s, served_s
    raise MalformedMessage("a node tells its time by two moments and what a server says")
