"""Carries ethernet frames between the hosts, as far as the cable lets them.

A host's network card is a tap device, whose other end is a file descriptor here. So loss, delay and cuts need nothing
of the system's: no netem, no nftables, and nothing to take back when the run ends.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from tests.chaos.cable import Cable

__all__ = ["Switch", "mac_of"]

MOST_FRAMES_A_TURN = 64
FRAME_BYTES = 65_536
BROADCAST_BIT = 1


def mac_of(number: int) -> bytes:
    """The hardware address of a host's card: a locally administered one."""
    return bytes([2, 0, 0, 0, 0, number])


class Switch:
    """One for all hosts; frames to an address that no host has go to all others, as do broadcasts."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self._taps: dict[str, int] = {}
        self._at: dict[bytes, str] = {}
        self.carried = self.lost = 0

    def plug(self, host: str, number: int, tap: int) -> None:
        """Connect a host; the descriptor is the switch's from now on."""
        os.set_blocking(tap, False)
        self._taps[host], self._at[mac_of(number)] = tap, host
        asyncio.get_running_loop().add_reader(tap, self._readable, host, tap)

    def close(self) -> None:
        """Unplug all hosts, whose cards cease to be."""
        for tap in self._taps.values():
            asyncio.get_running_loop().remove_reader(tap)
            os.close(tap)
        self._taps.clear()

    def _readable(self, host: str, tap: int) -> None:
        for _ in range(MOST_FRAMES_A_TURN):
            try:
                frame = os.read(tap, FRAME_BYTES)
            except OSError:  # there is nothing more, or the card is down
                return
            self._carry(host, frame)

    def _carry(self, source: str, frame: bytes) -> None:
        known = None if frame[0] & BROADCAST_BIT else self._at.get(frame[:6])
        for target in [known] if known is not None else [each for each in self._taps if each != source]:
            delay_s = self._cable.delay_s(source, target)
            if delay_s is None:
                self.lost += 1
            elif delay_s:
                asyncio.get_running_loop().call_later(delay_s, self._deliver, target, frame)
            else:
                self._deliver(target, frame)

    def _deliver(self, target: str, frame: bytes) -> None:
        if (tap := self._taps.get(target)) is not None:
            self.carried += 1
            with suppress(OSError):  # its queue is full, as a real card's may be, or it is down
                os.write(tap, frame)
