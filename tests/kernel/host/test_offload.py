"""Runs of datagrams: how they are cut, and that the socket carries them whole, with and without the system's help."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address, Buffer, Departing, Ecn
from guthi.errors import AddressUnavailable
from guthi.host.offload import MOST_RUN_BYTES, MOST_SEGMENTS, joins_on_receipt, noted, runs
from guthi.host.udp import SystemHost, UdpPort

HERE, THERE = Address("127.0.0.1", 1), Address("127.0.0.1", 2)
PATIENCE_S = 60.0


@given(st.lists(st.tuples(st.sampled_from([0, 10, 1400, 60_000]), st.sampled_from([HERE, THERE])), max_size=200))
def test_runs_are_what_the_system_takes_and_lose_nothing(sizes: list[tuple[int, Address]]) -> None:
    datagrams = [(bytes(size), address, Ecn.ECT0 if size % 20 else Ecn.NOT_ECT) for size, address in sizes]
    cut = list(runs(datagrams))
    assert [(each, run.address, run.mark) for run in cut for each in run.datagrams] == datagrams
    for run in cut:
        assert all(len(each) == run.size_bytes for each in run.datagrams[:-1])
        assert len(run.datagrams[-1]) <= run.size_bytes
        assert len(run.datagrams) <= MOST_SEGMENTS
        assert len(run.datagrams) == 1 or sum(map(len, run.datagrams)) <= MOST_RUN_BYTES


def test_equal_datagrams_are_one_run() -> None:
    datagrams: list[Departing] = [(bytes(1400), HERE, Ecn.NOT_ECT)] * 40 + [(bytes(20), HERE, Ecn.NOT_ECT)]
    assert [len(run.datagrams) for run in runs(datagrams)] == [41]


def test_other_ancillary_data_is_not_mistaken() -> None:
    assert noted(((socket.SOL_SOCKET, 1, b"\x03"),)) == (0, Ecn.NOT_ECT)


class Ear:
    """What a port received."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []

    def datagram_received(self, datagram: Buffer, source: Address, mark: int = Ecn.NOT_ECT) -> None:
        self.datagrams.append(bytes(datagram))

    def turn_ended(self) -> None:
        pass


async def carried(
    bodies: Sequence[bytes], change: Callable[[UdpPort], object] = lambda _: None
) -> tuple[list[bytes], UdpPort]:
    """Send the bodies from one port to another; returns what came, and the sender."""
    host, ear = SystemHost(), Ear()
    sender = await host.open_datagrams(Address("127.0.0.1", 0), Ear())
    receiver = await host.open_datagrams(Address("127.0.0.1", 0), ear)
    change(sender)
    sender.send_many([(body, receiver.local_address, Ecn.NOT_ECT) for body in bodies])
    async with asyncio.timeout(PATIENCE_S):
        while len(ear.datagrams) < len(bodies):
            await asyncio.sleep(0.001)
    sender.close()
    receiver.close()
    return ear.datagrams, sender


BODIES = [bytes([number]) * 1400 for number in range(100)] + [b"short"] + [bytes([number]) * 50 for number in range(9)]


async def test_datagrams_sent_together_arrive_one_by_one() -> None:
    came, _ = await carried(BODIES)
    assert came == BODIES


async def test_without_the_systems_help_too() -> None:
    came, _ = await carried(BODIES, lambda sender: setattr(sender, "_sends_runs", False))
    assert came == BODIES


class Refusing:
    """A socket whose device knows no segmentation."""

    def __init__(self, inner: socket.socket, error: int) -> None:
        self._inner, self._error = inner, error

    def sendmsg(self, *_: Any) -> int:
        raise OSError(self._error, "refused")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize(("error", "asks_again"), [(errno.EIO, False), (errno.EINVAL, True)])
async def test_a_run_that_is_refused_goes_out_one_by_one(error: int, asks_again: bool) -> None:
    def refuse(sender: UdpPort) -> None:
        sender._socket = Refusing(sender._socket, error)  # type: ignore[assignment]
        sender._sends_runs = True

    came, sender = await carried(BODIES, refuse)
    assert came == BODIES
    assert sender._sends_runs is asks_again


def test_this_linux_joins_runs_on_receipt() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        if not joins_on_receipt(bound):
            pytest.skip("this system has no UDP_GRO")
        bound.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"one alone", bound.getsockname())
        _, ancillary, _, _ = bound.recvmsg_into([bytearray(100)], 64)
        assert noted(tuple(ancillary)) == (0, Ecn.NOT_ECT)


class Reader(Ear):
    """Notes marks as well."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[int] = []

    def datagram_received(self, datagram: Buffer, source: Address, mark: int = Ecn.NOT_ECT) -> None:
        super().datagram_received(datagram, source)
        self.marks.append(mark)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("sends_runs", [True, False])
async def test_marks_are_sent_and_read(host: str, sends_runs: bool) -> None:
    ear = Reader()
    try:
        sender = await SystemHost().open_datagrams(Address(host, 0), Ear())
        receiver = await SystemHost().open_datagrams(Address(host, 0), ear)
    except AddressUnavailable:
        pytest.skip("this machine has no IPv6")
    if not sender._marks:
        pytest.skip("this system tells no marks")
    sender._sends_runs &= sends_runs
    marks = [Ecn.NOT_ECT, Ecn.ECT0, Ecn.ECT0, Ecn.CE, Ecn.NOT_ECT, Ecn.ECT1]
    sender.send_many([(bytes(1000), receiver.local_address, mark) for mark in marks])
    async with asyncio.timeout(PATIENCE_S):
        while len(ear.marks) < len(marks):
            await asyncio.sleep(0.001)
    sender.close()
    receiver.close()
    assert ear.marks == marks


async def test_a_short_datagram_leaves_before_the_next_is_asked_for() -> None:
    sender = await SystemHost().open_datagrams(Address("127.0.0.1", 0), Ear())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE_S)
        destination = Address(*receiver.getsockname())
        came: list[bytes] = []

        def departing() -> Iterator[Departing]:
            for body in (b"first", b"second"):
                yield body, destination, Ecn.NOT_ECT
                came.append(receiver.recv(100))

        sender.send_many(departing())
    sender.close()
    assert came == [b"first", b"second"]


async def test_each_datagram_is_told_with_its_own_source() -> None:
    heard: list[tuple[bytes, Address]] = []

    class Sources(Ear):
        def datagram_received(self, datagram: Buffer, source: Address, mark: int = Ecn.NOT_ECT) -> None:
            heard.append((bytes(datagram), source))

    host, ear = SystemHost(), Sources()
    receiver = await host.open_datagrams(Address("127.0.0.1", 0), ear)
    senders = [await host.open_datagrams(Address("127.0.0.1", 0), Ear()) for _ in range(2)]
    sent = []
    for number, sender in enumerate((senders[0], senders[1], senders[1], senders[0])):
        body = bytes([number])
        sender.send(body, receiver.local_address)
        sent.append((body, sender.local_address))
    async with asyncio.timeout(PATIENCE_S):
        while len(heard) < len(sent):
            await asyncio.sleep(0.001)
    for port in (receiver, *senders):
        port.close()
    assert heard == sent
