"""Polling for answers: it goes on while it pays, rests when it does not, and never runs when switched off."""

from __future__ import annotations

from tests.kernel.host.test_offload import Ear

from guthi.api import Address
from guthi.host.spin import REST_TURNS, Spin
from guthi.host.udp import SystemHost


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


async def test_the_port_hands_over_what_comes_while_it_polls() -> None:
    host, ear = SystemHost(), Ear()
    sender = await host.open_datagrams(Address("127.0.0.1", 0), Ear())
    receiver = await host.open_datagrams(Address("127.0.0.1", 0), ear)
    assert not receiver.poll(1e-4)
    sender.send(b"answer", receiver.local_address)
    assert receiver.poll(1.0)
    assert ear.datagrams == [b"answer"]
    sender.close()
    receiver.close()
