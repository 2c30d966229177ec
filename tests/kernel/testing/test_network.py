"""The simulated network: whom a datagram reaches, over which link, and what cuts and clogs do and undo."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from guthi.api import Address, Buffer, Ecn
from guthi.errors import UsageError
from guthi.testing import Link, SimulatedMachine, SimulatedNetwork, Trace, VirtualLoop

NAMES = ["a", "b", "c", "d"]
PLAIN = Link(latency_s=0.01, jitter_s=0.0)


class Ear:
    """Notes what arrives, and when."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.heard: list[tuple[float, bytes]] = []
        self.marks: list[int] = []

    def datagram_received(self, datagram: Buffer, source: Address, mark: int = Ecn.NOT_ECT) -> None:
        self.heard.append((self.loop.now, bytes(datagram)))
        self.marks.append(mark)

    def turn_ended(self) -> None:
        pass


class Net:
    """Four bare machines, each with an ear at port 1."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.trace = Trace()
        self.network = SimulatedNetwork(self.loop, Random(1), self.trace, PLAIN)
        self.ears: dict[str, Ear] = {}
        self.machines: dict[str, SimulatedMachine] = {}
        for number, name in enumerate(NAMES, 1):
            machine = SimulatedMachine(name, f"10.0.0.{number}", self.loop, self.network, Random(name), Path(name))
            self.network.add(machine)
            self.machines[name] = machine
            self.ears[name] = Ear(self.loop)
            self.loop.run(machine.open_datagrams(Address(machine.ip, 1), self.ears[name]))

    def send(self, source: str, to: str, datagram: bytes = b"x") -> None:
        self.network.send(source, Address(self.machines[source].ip, 1), Address(self.machines[to].ip, 1), datagram)

    def pass_time(self, seconds: float = 10.0) -> None:

        self.loop.run(asyncio.sleep(seconds))

    def reaches(self, source: str, to: str) -> bool:
        before = len(self.ears[to].heard)
        self.send(source, to)
        self.pass_time()
        return len(self.ears[to].heard) > before

    def delay_s(self, source: str, to: str) -> float:
        began = self.loop.now
        assert self.reaches(source, to)
        return self.ears[to].heard[-1][0] - began


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.loop.close()


def test_datagrams_keep_their_order_without_jitter(net):
    for number in range(200):
        net.send("a", "b", bytes([number]))
    net.pass_time()
    assert [datagram for _, datagram in net.ears["b"].heard] == [bytes([number]) for number in range(200)]


def test_nobody_listens_on_other_ports_and_addresses(net):
    net.network.send("a", Address("10.0.0.1", 1), Address("10.0.0.2", 9), b"x")
    net.network.send("a", Address("10.0.0.1", 1), Address("10.7.7.7", 1), b"x")
    net.pass_time()
    assert net.network.dropped == {"nobody listens": 1, "no such address": 1}


def test_a_cut_is_in_both_directions_or_in_one_and_loses_what_is_under_way(net):
    net.send("a", "b")
    net.network.cut(["a"], ["b"])
    net.pass_time()
    assert not net.ears["b"].heard
    assert not net.reaches("a", "b") and not net.reaches("b", "a")
    assert net.reaches("a", "c")
    net.network.mend(["b"], ["a"])
    assert net.reaches("a", "b") and net.reaches("b", "a")
    net.network.cut(["a"], ["b"], both_ways=False)
    assert not net.reaches("a", "b") and net.reaches("b", "a")
    net.network.heal()
    assert net.reaches("a", "b")


def test_a_partition_separates_groups_and_the_rest(net):
    net.network.partition(["a"], ["b", "c"])
    assert net.reaches("b", "c")
    assert not any(net.reaches(*pair) for pair in [("a", "b"), ("c", "a"), ("a", "d"), ("d", "b")])


def test_links_are_set_for_all_for_groups_and_for_pairs(net):
    net.network.set_link(Link(latency_s=1, jitter_s=0), ["a", "b"], ["c"])
    net.network.set_link(Link(latency_s=2, jitter_s=0), "d")
    assert [net.delay_s("a", "c"), net.delay_s("b", "c"), net.delay_s("c", "a")] == pytest.approx([1, 1, 0.01])
    assert [net.delay_s("d", "a"), net.delay_s("a", "d")] == pytest.approx([2, 0.01])
    net.network.reset_link(["a"], ["c"])
    assert [net.delay_s("a", "c"), net.delay_s("b", "c")] == pytest.approx([0.01, 1])
    net.network.set_link(Link(latency_s=3, jitter_s=0))
    assert [net.delay_s("a", "c"), net.delay_s("b", "c"), net.delay_s("d", "a")] == pytest.approx([3, 3, 3])


def test_unclogging_gives_a_special_link_back(net):
    special = Link(latency_s=1, jitter_s=0)
    net.network.set_link(special, ["a"], ["b"])
    net.network.clog("a")
    assert net.network.link("a", "b") == special
    net.network.set_link(PLAIN, ["a"], ["c"])
    net.network.unclog("a")
    assert [net.delay_s("a", "b"), net.delay_s("a", "c")] == pytest.approx([1, 0.01])


def test_a_clogged_machine_is_slow_and_lossy_also_when_all_links_change(net):
    net.network.clog("a")
    net.network.set_link(Link(latency_s=0.1, jitter_s=0))
    for _ in range(200):
        net.send("a", "b")
        net.send("b", "a")
        net.send("b", "c")
    began = net.loop.now
    net.pass_time()
    assert 100 < len(net.ears["b"].heard) < 180 and 100 < len(net.ears["a"].heard) < 180
    assert len(net.ears["c"].heard) == 200
    assert {round(when - began, 6) for when, _ in net.ears["b"].heard} == {0.6}
    net.network.clog("b")
    net.network.unclog("a")
    assert net.network.dropped["loss"] > 40
    net.network.unclog("b")
    assert net.delay_s("a", "b") == pytest.approx(0.1)


def test_the_path_takes_what_the_link_and_the_machine_take(net):
    port = net.loop.run(net.machines["a"].open_datagrams(Address("0.0.0.0", 0), net.ears["a"]))
    to = Address("10.0.0.2", 1)
    assert port.max_datagram_bytes(to) == 1200
    net.machines["a"].path_bytes = 8900
    assert port.max_datagram_bytes(to) == 8900
    net.network.set_link(Link(mtu_bytes=1500), ["a"], ["b"])
    assert port.max_datagram_bytes(to) == 1500
    assert port.max_datagram_bytes(Address("192.0.2.1", 1)) == 1200


def test_after_a_restart_only_the_new_life_hears(net):
    machine, old = net.machines["b"], net.ears["b"]
    net.send("a", "b", b"before")
    machine.crash()
    net.pass_time()
    machine.boot()
    assert not net.reaches("a", "b")
    fresh = Ear(net.loop)
    net.send("a", "b", b"under way")
    net.loop.run(machine.open_datagrams(Address(machine.ip, 1), fresh))
    net.pass_time()
    assert [datagram for _, datagram in fresh.heard] == [b"under way"]
    assert not old.heard


def test_the_port_of_a_former_life_neither_sends_nor_closes_the_new_one(net):
    machine = net.machines["b"]
    old = net.loop.run(machine.open_datagrams(Address(machine.ip, 2), net.ears["b"]))
    machine.crash()
    machine.boot()
    fresh = Ear(net.loop)
    net.loop.run(machine.open_datagrams(Address(machine.ip, 2), fresh))
    old.send(b"from the dead", Address("10.0.0.1", 1))
    old.close()
    net.network.send("a", Address("10.0.0.1", 1), Address(machine.ip, 2), b"x")
    net.pass_time()
    assert not net.ears["a"].heard and len(fresh.heard) == 1


def test_strangers_are_named(net):
    with pytest.raises(UsageError, match="no machine 'e'; there are: a, b, c, d"):
        net.network.cut(["a"], ["e"])
    with pytest.raises(UsageError, match="'e'"):
        net.network.clog("e")


def test_a_long_queue_marks_what_heeds_marks_and_nothing_else(net):
    net.network.set_link(Link(latency_s=0.01, jitter_s=0.0, bandwidth_bytes_s=1e6, mark_bytes=0), ["a"], ["b"])
    for mark in (Ecn.NOT_ECT, Ecn.ECT0):
        net.network.send("a", Address("10.0.0.1", 1), Address("10.0.0.2", 1), b"x", mark)
    net.pass_time()
    assert net.ears["b"].marks == [Ecn.NOT_ECT, Ecn.CE]
