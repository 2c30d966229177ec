"""One question to an NTP server: what is sent, which answers are believed, and a whole exchange over loopback."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from guthi import Address, DeadlineExceeded, MalformedMessage
from guthi.host.udp import SystemHost
from guthi_gutfs.clocks.sntp import TO_1970_S, ServerRefuses, ask, question, sample_of

COOKIE = b"12345678"
NOW_S = 1_900_000_000.0
HOST = SystemHost(1200, 1 << 20)


def stamp(seconds: float) -> int:
    return round((seconds + TO_1970_S) * (1 << 32)) % (1 << 64)


def answer(
    first: int = 4 << 3 | 4, stratum: int = 2, cookie: bytes = COOKIE, at_s: float = NOW_S, code: bytes = b"RATE"
) -> bytes:
    return struct.pack("!BB10x4s8x8sQQ", first, stratum, code, cookie, stamp(at_s), stamp(at_s + 0.001))


def test_the_question_tells_nothing_but_the_cookie() -> None:
    assert question(COOKIE) == bytes([0x23]) + bytes(39) + COOKIE


def test_four_moments_come_of_an_answer() -> None:
    sample = sample_of(answer(), COOKIE, NOW_S - 5.0, NOW_S - 4.9)
    assert sample.offset_s == pytest.approx(4.9505, abs=1e-3)
    assert sample.delay_s == pytest.approx(0.099, abs=1e-3)


def test_the_era_after_2036_is_understood() -> None:
    at_s = 2_200_000_000.0  # in 2039
    assert sample_of(answer(at_s=at_s), COOKIE, at_s, at_s).offset_s == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        answer()[:47],
        answer(cookie=b"87654321"),
        answer(first=4 << 3 | 3),
        answer(first=3 << 6 | 4 << 3 | 4),
        answer(stratum=16),
        answer()[:40] + bytes(8),
    ],
)
def test_other_answers_are_not_believed(odd: bytes) -> None:
    with pytest.raises(MalformedMessage):
        sample_of(odd, COOKIE, NOW_S, NOW_S)


def test_a_kiss_of_death_is_a_refusal() -> None:
    with pytest.raises(ServerRefuses, match="RATE"):
        sample_of(answer(stratum=0), COOKIE, NOW_S, NOW_S)


class Server(asyncio.DatagramProtocol):
    """An NTP server whose clock is ahead; before each answer it sends a forged one."""

    def __init__(self, ahead_s: float, *, stratum: int = 2) -> None:
        self._ahead_s, self._stratum = ahead_s, stratum

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        at_s = time.time() + self._ahead_s
        self._transport.sendto(answer(cookie=bytes(8), at_s=0.0), addr)  # type: ignore[attr-defined]
        self._transport.sendto(answer(cookie=data[40:], at_s=at_s, stratum=self._stratum), addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def served(protocol: Callable[[], asyncio.DatagramProtocol]) -> AsyncIterator[Address]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(protocol, local_addr=("127.0.0.1", 0))
    try:
        yield Address(*transport.get_extra_info("sockname"))
    finally:
        transport.close()


async def test_a_server_is_asked_over_loopback() -> None:
    async with served(lambda: Server(30.0)) as server:
        sample = await ask(HOST, server, 5.0)
    assert sample.offset_s == pytest.approx(30.0, abs=0.5)


async def test_a_server_that_refuses_or_is_silent_is_told_apart() -> None:
    async with served(lambda: Server(0.0, stratum=0)) as server:
        with pytest.raises(ServerRefuses):
            await ask(HOST, server, 5.0)
    async with served(asyncio.DatagramProtocol) as silent:
        with pytest.raises(DeadlineExceeded, match="NTP server"):
            await ask(HOST, silent, 0.05)
