"""Connects the machines of a node to the event loop: datagrams in, datagrams out, one timer for everything.

All that happens in one turn of the loop is answered at its end, so that frames share datagrams: a datagram that
arrives, a message that the app sends and a deadline all lead to one `_pump`, at most one a turn. What arrives is told
to the layer above at once; if that leads to an answer at once, it leaves at once too. After one that the app
caused, and after an answer, the port may be polled for a moment if something is expected to come (see `spin`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from guthi.api import Address, Buffer, Datagrams, Ecn
from guthi.host.spin import Spin
from guthi.transport.endpoint import Endpoint, EndpointEvent

__all__ = ["Driver", "Timed"]

SHORTEST_WAIT_S = 0.001  # loops count in milliseconds: for one that rounds down, less would be a spin, and no wait

log = logging.getLogger("guthi.driver")


class Timed(Protocol):
    """Something that wants to be called at a moment."""

    @property
    def deadline(self) -> float | None:
        """The moment, in loop time; None for never."""

    def on_deadline(self, now: float) -> object:
        """The moment has come."""


class Driver:
    """Runs one endpoint, and further machines that only need time, on the running loop.

    `gather` is called before datagrams are made, so that who collects messages of one turn gives them to the endpoint.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        timed: Sequence[Timed],
        on_event: Callable[[EndpointEvent], None],
        *,
        spin: Spin | None = None,
        expects: Callable[[], bool] = lambda: False,
        gather: Callable[[], None] = lambda: None,
    ) -> None:
        self._spin, self._expects = spin or Spin(0.0), expects
        self._gather = gather
        self._loop, self._endpoint, self._on_event = loop, endpoint, on_event
        self._timed: tuple[Timed, ...] = (endpoint, *timed)
        self._port: Datagrams | None = None
        self._wants_pump = False
        self._scheduled = False
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # the handle itself may not know: uvloop makes a plain one of a timer that is due at once
        self._after_pump: list[Callable[[], None]] = []

    def attach(self, port: Datagrams) -> None:
        """Send through this port from now on."""
        self._port = port
        self.touch()

    def detach(self) -> None:
        """Send what is ready, then do nothing any more."""
        if self._port is None:
            return
        self._pump()
        self._port.close()
        self._port = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def touch(self) -> None:
        """A machine was given something to do: pump at the end of this turn of the loop."""
        self._wants_pump = True
        if not self._scheduled and self._port is not None:
            self._scheduled = True
            self._loop.call_soon(self._pump_soon)

    def on_progress(self, callback: Callable[[], None]) -> None:
        """Call back after each pump: something may have been acknowledged."""
        self._after_pump.append(callback)

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition holds, looking after each pump; False if it did not in that time."""
        holds = asyncio.Event()

        def look() -> None:
            if condition():
                holds.set()

        self._after_pump.append(look)
        self.touch()
        try:
            async with asyncio.timeout(timeout_s):
                await holds.wait()
        except TimeoutError:
            return False
        finally:
            self._after_pump.remove(look)
        return True

    def datagram_received(self, datagram: Buffer, source: Address, mark: int = Ecn.NOT_ECT) -> None:
        """One datagram arrived."""
        self._endpoint.receive(datagram, source, self._loop.time(), mark)

    def turn_ended(self) -> None:
        """All waiting datagrams were handed over."""
        if self._port is None:
            return
        self._wants_pump = False
        scheduled, self._scheduled = self._scheduled, True  # who touches meanwhile need not be called back
        try:
            self._tell()
        finally:
            self._scheduled = scheduled
        if self._wants_pump:
            self._pump()
            if self._spin.limit_s:
                self._poll()
        else:
            self.touch()  # tasks that this woke run first, and may have something to send

    def _pump_soon(self) -> None:
        self._scheduled = False
        if not self._wants_pump:
            return
        self._pump()
        if self._spin.limit_s:
            self._poll()

    def _pump(self) -> None:
        port = self._port
        if port is None:
            return
        now = self._loop.time()
        if self._timer is None or self._timer_at <= now:  # else nothing can be due: `_arm` saw to that
            self._ring(now)
        self._tell()
        scheduled, self._scheduled = self._scheduled, True  # what is gathered leaves at once: it needs no further pump
        try:
            self._gather()
        except Exception:
            log.exception("messages of this turn were lost; what else there is leaves")
        self._scheduled = scheduled
        self._wants_pump = False
        port.send_many(self._endpoint.take_datagrams(now))
        for callback in tuple(self._after_pump):
            callback()
        self._arm(now)

    def _poll(self) -> None:
        if self._port is not None and self._expects() and self._spin.pays():
            self._port.poll(self._spin.limit_s, self._spin.tried)

    def _tell(self) -> None:
        while events := self._endpoint.take_events():
            for event in events:
                try:
                    self._on_event(event)
                except Exception:
                    log.exception("an event was lost, the others are not: %s", type(event).__name__)

    def _ring(self, now: float) -> None:
        for machine in self._timed:
            deadline = machine.deadline
            if deadline is not None and deadline <= now:
                machine.on_deadline(now)

    def _arm(self, now: float) -> None:
        if self._port is None:
            return
        wanted: float | None = None
        for machine in self._timed:
            moment = machine.deadline
            if moment is not None and (wanted is None or moment < wanted):
                wanted = moment
        if self._timer is not None:
            if wanted is not None and self._timer_at <= wanted:
                return  # it fires early, finds nothing to do, and is armed again: cheaper than moving it each turn
            self._timer.cancel()
            self._timer = None
        if wanted is not None:
            wanted = max(wanted, now + SHORTEST_WAIT_S)
            self._timer, self._timer_at = self._loop.call_at(wanted, self._on_timer), wanted

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()
