"""The simulated local network's multicast: who announces itself there, and who hears it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from guthi.api import Announcement
from guthi.errors import AddressUnavailable
from guthi.testing.loop import VirtualLoop

if TYPE_CHECKING:
    from guthi.testing.machine import SimulatedMachine

__all__ = ["SimulatedBeacon", "SimulatedLan"]

DELAY_S = 0.1  # a question and an answer of multicast DNS, which waits a little so that others may answer first


class SimulatedLan:
    """All machines are on one local network; `has_multicast` False makes it one that drops multicast."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._beacons: dict[str, SimulatedBeacon] = {}
        self.has_multicast = True

    def open(
        self, machine: SimulatedMachine, announcement: Announcement, found: Callable[[Announcement], None]
    ) -> SimulatedBeacon:
        """Announce, and hear all others; the machine's beacon of before a crash is gone. Raises AddressUnavailable."""
        if not self.has_multicast:
            raise AddressUnavailable("the simulated network drops multicast")
        beacon = self._beacons[machine.name] = SimulatedBeacon(self, machine, announcement, found)
        for other in self._beacons.values():
            self.tell(beacon, other)
        self.spread(beacon)
        return beacon

    def spread(self, beacon: SimulatedBeacon) -> None:
        """Let all others hear it."""
        for other in self._beacons.values():
            self.tell(other, beacon)

    def tell(self, listener: SimulatedBeacon, speaker: SimulatedBeacon) -> None:
        """Let one hear another, on the listener's processor."""
        if listener is not speaker:
            context = listener.machine.processor.context.copy()
            self._loop.call_later(DELAY_S, listener.hear, speaker.announcement, context=context)

    def forget(self, beacon: SimulatedBeacon) -> None:
        """It announces nothing any more."""
        if self._beacons.get(beacon.machine.name) is beacon:
            del self._beacons[beacon.machine.name]


class SimulatedBeacon:
    """One machine's announcement."""

    def __init__(
        self,
        lan: SimulatedLan,
        machine: SimulatedMachine,
        announcement: Announcement,
        found: Callable[[Announcement], None],
    ) -> None:
        self._lan, self.machine, self.announcement, self._found = lan, machine, announcement, found
        self._is_open = True

    def hear(self, announcement: Announcement) -> None:
        """Somebody announced itself."""
        if self._is_open:
            self._found(announcement)

    async def update(self, announcement: Announcement) -> None:
        """Say something else from now on."""
        self.announcement = announcement
        self._lan.spread(self)

    async def close(self) -> None:
        """Say goodbye."""
        self._is_open = False
        self._lan.forget(self)
