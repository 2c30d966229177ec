"""Decides which datagrams share a system call: segmentation offload (UDP_SEGMENT) and its inverse on receipt (UDP_GRO).

Linux takes a run of datagrams to one address in one call, if all but the last are of one size, and hands such a run
over in one piece. A call costs more than a datagram, so with 1,400-byte datagrams this is worth a factor of four.
Systems without it, and devices that refuse it, get one call a datagram.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from guthi.api import Address, Buffer

__all__ = ["ANCILLARY_BYTES", "Run", "joins_on_receipt", "may_send_runs", "runs", "segment_bytes", "segment_size_note"]

SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
MOST_SEGMENTS = 64
MOST_RUN_BYTES = 65_000
ANCILLARY_BYTES = 64


class Run(NamedTuple):
    """Datagrams to one address, of `size_bytes` each; the last may be shorter."""

    datagrams: list[Buffer]
    address: Address
    size_bytes: int


def may_send_runs(bound: socket.socket) -> bool:
    """Whether the system knows UDP_SEGMENT."""
    return sys.platform == "linux" and _accepts(bound, UDP_SEGMENT, 0)


def joins_on_receipt(bound: socket.socket) -> bool:
    """Ask the system to hand over runs in one piece; False where it cannot."""
    return sys.platform == "linux" and _accepts(bound, UDP_GRO, 1)


def _accepts(bound: socket.socket, option: int, value: int) -> bool:
    try:
        bound.setsockopt(SOL_UDP, option, value)
    except OSError:
        return False
    return True


def runs(datagrams: Iterable[tuple[Buffer, Address]]) -> Iterator[Run]:
    """Cut what is to be sent into runs, in order."""
    current: Run | None = None
    is_open, total_bytes = False, 0
    for datagram, address in datagrams:
        size_bytes = len(datagram)
        if (
            current is not None
            and is_open
            and size_bytes <= current.size_bytes
            and address == current.address
            and len(current.datagrams) < MOST_SEGMENTS
            and total_bytes + size_bytes <= MOST_RUN_BYTES
        ):
            current.datagrams.append(datagram)
            total_bytes += size_bytes
            is_open = size_bytes == current.size_bytes
            continue
        if current is not None:
            yield current
        current, is_open, total_bytes = Run([datagram], address, size_bytes), True, size_bytes
    if current is not None:
        yield current


def segment_size_note(size_bytes: int) -> list[tuple[int, int, bytes]]:
    """The ancillary data that tells the system where to cut a run."""
    return [(SOL_UDP, UDP_SEGMENT, size_bytes.to_bytes(2, sys.byteorder))]


def segment_bytes(ancillary: Sequence[tuple[int, int, bytes]]) -> int | None:
    """The size of the datagrams that were handed over in one piece; None if there was one only."""
    for level, kind, value in ancillary:
        if level == SOL_UDP and kind == UDP_GRO:
            return int.from_bytes(value[:4], sys.byteorder)
    return None
