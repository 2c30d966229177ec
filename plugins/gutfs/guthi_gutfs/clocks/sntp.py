"""Asks an NTP server for the time: one packet there and one back (SNTP, RFC 5905 section 14).

What is sent says nothing of this machine: the field for our own time has random bits, by which the answer is known to
be one (RFC 8915 calls it data minimization). An answer is believed if it is a server's, synchronized, and repeats them.
A server that sends "kiss-o'-death" (stratum 0) wants to be left alone.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

from guthi import Address, DeadlineExceeded, GuthiError, MalformedMessage
from guthi.api import Host
from guthi_health import ClockSample

__all__ = ["ServerRefuses", "ask", "question", "sample_of"]

SIZE_BYTES = 48
CLIENT = 4 << 3 | 3  # version 4, mode 3
SERVER_MODE = 4
UNSYNCHRONIZED = 3
LAST_STRATUM = 15
TO_1970_S = 2_208_988_800  # from the first of January 1900
ERA_S = 1 << 32  # the seconds wrap in 2036
_HEAD = struct.Struct("!BB22x8sQQ")  # mode, stratum, …, origin, received, transmitted


class ServerRefuses(GuthiError):
    """An NTP server asks not to be asked again."""


def question(cookie: bytes) -> bytes:
    """The packet; `cookie` is 8 random bytes."""
    return bytes([CLIENT]).ljust(SIZE_BYTES - len(cookie), b"\0") + cookie


def sample_of(answer: bytes, cookie: bytes, sent_s: float, back_s: float) -> ClockSample:
    """The four moments, of which the answer has two; raises MalformedMessage, ServerRefuses."""
    if len(answer) < SIZE_BYTES:
        raise MalformedMessage("an NTP server's answer has at least 48 bytes")
    first, stratum, origin, received, transmitted = _HEAD.unpack_from(answer)
    if origin != cookie or first & 7 != SERVER_MODE:
        raise MalformedMessage("this answers another question")
    if stratum == 0:
        raise ServerRefuses(f"the NTP server says {answer[12:16].decode('ascii', 'replace')!r}")
    if first >> 6 == UNSYNCHRONIZED or stratum > LAST_STRATUM or not transmitted:
        raise MalformedMessage("the NTP server does not know the time itself")
    return ClockSample(sent_s, _unix_s(received, sent_s), _unix_s(transmitted, sent_s), back_s)


def _unix_s(timestamp: int, near_s: float) -> float:
    """Seconds since 1970 of an NTP timestamp, in the era that is nearest to `near_s`."""
    seconds = timestamp / (1 << 32) - TO_1970_S
    return seconds + round((near_s - seconds) / ERA_S) * ERA_S


async def ask(host: Host, server: Address, timeout_s: float) -> ClockSample:
    """One exchange; raises DeadlineExceeded, ServerRefuses, OSError."""
    cookie = host.entropy(8)
    loop = asyncio.get_running_loop()
    client = _Client(cookie, host.wall_time_s, loop.create_future())
    transport, _ = await loop.create_datagram_endpoint(lambda: client, remote_addr=(server.host, server.port))
    try:
        client.sent_s = host.wall_time_s()
        transport.sendto(question(cookie))
        async with asyncio.timeout(timeout_s):
            return await client.outcome
    except TimeoutError:
        raise DeadlineExceeded(f"the NTP server {server} did not answer within {timeout_s:g} s") from None
    finally:
        transport.close()


class _Client(asyncio.DatagramProtocol):
    """Takes the first answer that is one."""

    def __init__(self, cookie: bytes, wall_time_s: Callable[[], float], outcome: asyncio.Future[ClockSample]) -> None:
        self._cookie, self._wall_time_s = cookie, wall_time_s
        self.outcome, self.sent_s = outcome, 0.0

    def datagram_received(self, data: bytes, addr: object) -> None:
        back_s = self._wall_time_s()
        if self.outcome.done():
            return
        try:
            self.outcome.set_result(sample_of(data, self._cookie, self.sent_s, back_s))
        except MalformedMessage:
            return  # somebody else's; the true answer may follow
        except ServerRefuses as refusal:
            self.outcome.set_exception(refusal)

    def error_received(self, exc: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(exc)
