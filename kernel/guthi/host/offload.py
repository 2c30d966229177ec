"""Decides which datagrams share a system call, by UDP_SEGMENT and its inverse UDP_GRO, and what is noted beside them.

Linux takes a run of datagrams to one address in one call, if all but the last are of one size, and hands such a run
over in one piece. A call costs more than a datagram, so with 1,400-byte datagrams this is worth a factor of four.
Systems without it, and devices that refuse it, get one call a datagram.

Beside the bytes, in *ancillary data*, stand the size of the datagrams of a run and their mark (`Ecn`, RFC 3168): those
of a run have the same. Linux does not join datagrams with different marks.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from guthi.api import Address, Buffer, Departing, Ecn

__all__ = [
    "ANCILLARY_BYTES",
    "Note",
    "Run",
    "joins_on_receipt",
    "mark_note",
    "may_send_runs",
    "noted",
    "runs",
    "segment_size_note",
    "tells_marks",
]

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
MOST_SEGMENTS = 64
MOST_RUN_BYTES = 65_000
ANCILLARY_BYTES = 128
_MARK_BITS = 0x03  # of the byte that IPv4 calls type of service, and IPv6 traffic class

Note: TypeAlias = tuple[int, int, bytes]


class Run(NamedTuple):
    """Datagrams to one address with one mark, of `size_bytes` each; the last may be shorter."""

    datagrams: list[Buffer]
    address: Address
    size_bytes: int
    mark: Ecn


def may_send_runs(bound: socket.socket) -> bool:
    """Whether the system knows UDP_SEGMENT."""
    return sys.platform == "linux" and _accepts(bound, UDP_SEGMENT, 0)


def joins_on_receipt(bound: socket.socket) -> bool:
    """Ask the system to hand over runs in one piece; False where it cannot."""
    return sys.platform == "linux" and _accepts(bound, UDP_GRO, 1)


def tells_marks(bound: socket.socket) -> bool:
    """Ask the system for the mark of each datagram; False where it cannot, and then none is to be sent."""
    if sys.platform != "linux":
        return False
    if bound.family == socket.AF_INET6:
        _accepts(bound, socket.IP_RECVTOS, 1, socket.IPPROTO_IP)  # a port of IPv6 may serve IPv4 as well
        return _accepts(bound, socket.IPV6_RECVTCLASS, 1, socket.IPPROTO_IPV6)
    return _accepts(bound, socket.IP_RECVTOS, 1, socket.IPPROTO_IP)


def _accepts(bound: socket.socket, option: int, value: int, level: int = SOL_UDP) -> bool:
    try:
        bound.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def runs(datagrams: Iterable[Departing]) -> Iterator[Run]:
    """Cut what is to be sent into runs, in order."""
    run: list[Buffer] = []
    to, run_mark = Address("", 0), Ecn.NOT_ECT
    longest_bytes = room_bytes = 0  # of each datagram of the run, and of what it may still take; -1: it is closed
    for datagram, address, mark in datagrams:
        size_bytes = len(datagram)
        fits = size_bytes <= longest_bytes and size_bytes <= room_bytes and address == to and mark is run_mark
        if fits and len(run) < MOST_SEGMENTS:
            run.append(datagram)
            room_bytes = room_bytes - size_bytes if size_bytes == longest_bytes else -1
            continue
        if run:
            yield Run(run, to, longest_bytes, run_mark)
        run, to, run_mark = [datagram], address, mark
        longest_bytes, room_bytes = size_bytes, MOST_RUN_BYTES - size_bytes
    if run:
        yield Run(run, to, longest_bytes, run_mark)


def segment_size_note(size_bytes: int) -> Note:
    """The ancillary data that tells the system where to cut a run."""
    return (SOL_UDP, UDP_SEGMENT, size_bytes.to_bytes(2, sys.byteorder))


def mark_note(mark: Ecn, address: Address) -> Note:
    """The ancillary data that marks what is sent to the address."""
    value = mark.to_bytes(4, sys.byteorder)
    if ":" in address.host and not address.host.startswith("::ffff:"):
        return (socket.IPPROTO_IPV6, socket.IPV6_TCLASS, value)
    return (socket.IPPROTO_IP, socket.IP_TOS, value)


@lru_cache(maxsize=64)  # nearly all datagrams have the same few notes
def noted(notes: tuple[Note, ...]) -> tuple[int, int]:
    """What stood beside received bytes: the size of the datagrams in them, 0 for one alone, and their mark."""
    size_bytes = mark = 0
    for level, kind, value in notes:
        if level == SOL_UDP and kind == UDP_GRO:
            size_bytes = int.from_bytes(value[:4], sys.byteorder)
        elif (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
            mark = value[0] & _MARK_BITS
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_TCLASS):
            mark = int.from_bytes(value[:4], sys.byteorder) & _MARK_BITS
    return size_bytes, mark
