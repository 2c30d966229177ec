"""Polling for answers: it goes on while it pays, rests when it does not, and never runs when switched off."""

from __future__ import annotations

import asyncio
import selectors

import pytest
from tests.kernel.host.test_offload import Ear

from guthi.api import Address
from guthi.host.spin import REST_TURNS, Spin
from guthi.host.udp import SystemHost, UdpPort


def test_it_goes_on_while_answers_come() -> None:
    spin = Spin(50e-6)
    for turn in range(1000):
        assert spin.pays()
        spin.tried(success=turn % 4 != 0)


def test_it_rests_when_they_do_not_and_tries_again_later() -> None:
    spin = Spin(50e-6)
    tries = 0
    while spin.pays():
        spin.tried(success=False)
        tries += 1
    assert tries == 7
    rests = 1
    while not spin.pays():
        rests += 1
    assert rests == REST_TURNS


def test_a_limit_of_nothing_switches_it_off() -> None:
    assert not Spin(0.0).pays()


class Waits(selectors.DefaultSelector):
    """A selector that notes for how long the loop would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts_s: list[float | None] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.timeouts_s.append(timeout)
        return super().select(timeout)


async def _two_ports() -> tuple[UdpPort, UdpPort, Ear]:
    host, ear = SystemHost(), Ear()
    sender = await host.open_datagrams(Address("127.0.0.1", 0), Ear())
    return sender, await host.open_datagrams(Address("127.0.0.1", 0), ear), ear


def test_the_loop_does_not_sleep_while_the_port_polls() -> None:
    waits = Waits()

    async def polled() -> None:
        sender, receiver, ear = await _two_ports()
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waits.timeouts_s.clear()
        receiver.poll(60.0, told.set_result)
        asyncio.get_running_loop().call_later(0.005, sender.send, b"answer", receiver.local_address)
        assert await told
        assert set(waits.timeouts_s) == {0}
        assert ear.datagrams == [b"answer"]
        sender.close()
        receiver.close()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(waits)) as runner:
        runner.run(polled())


async def test_polling_ends_when_nothing_comes_and_only_once() -> None:
    sender, receiver, ear = await _two_ports()
    told: list[bool] = []
    receiver.poll(1e-4, told.append)
    receiver.poll(1e-4, told.append)  # for longer
    while not told:
        await asyncio.sleep(0)
    sender.send(b"late", receiver.local_address)
    while not ear.datagrams:
        await asyncio.sleep(0.001)
    assert told == [False]
    sender.close()
    receiver.close()


async def test_polling_again_in_the_turn_in_which_it_ended_keeps_the_loop_awake_by_one_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender, receiver, _ = await _two_ports()
    told: list[bool] = []
    kept_awake, keep_awake = [0], UdpPort._keep_awake

    def counted(port: UdpPort) -> None:
        kept_awake[0] += 1
        keep_awake(port)

    monkeypatch.setattr(UdpPort, "_keep_awake", counted)
    for turn in range(5):
        receiver.poll(60.0, told.append)
        sender.send(b"question", receiver.local_address)
        while len(told) == turn:
            await asyncio.sleep(0)
    receiver.poll(60.0, told.append)
    await asyncio.sleep(0)
    kept_awake[0] = 0
    for _turn in range(10):
        await asyncio.sleep(0)
    assert 9 <= kept_awake[0] <= 11  # and not twice that
    assert told == [True] * 5
    sender.close()
    receiver.close()


async def test_a_port_that_is_closed_polls_no_more() -> None:
    sender, receiver, _ = await _two_ports()
    told: list[bool] = []
    receiver.poll(60.0, told.append)
    receiver.close()
    for _turn in range(3):
        await asyncio.sleep(0)
    assert told == [False]
    sender.close()
