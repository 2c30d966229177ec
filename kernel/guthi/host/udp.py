"""The real machine: its only socket, its entropy, its wall clock, its threads and processes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import platform
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from guthi.api import Address, Announcement, Beacon, Buffer, DatagramReceiver, Departing, Ecn, Workers
from guthi.errors import AddressUnavailable, ConfigError
from guthi.host.memory import keep_freed_memory
from guthi.host.offload import (
    ANCILLARY_BYTES,
    Note,
    Run,
    joins_on_receipt,
    mark_note,
    may_send_runs,
    noted,
    runs,
    segment_size_note,
    tells_marks,
)
from guthi.host.threads import DaemonThreads
from guthi.host.workers import ProcessWorkers
from guthi.security.identity import hold_identity

__all__ = ["SystemHost", "UdpPort"]

LARGEST_DATAGRAM_BYTES = 65_536
UNFRAGMENTED_BYTES = 1200  # what any path takes in one piece, for systems that cannot be told not to fragment
# On Linux: send as it is, never in fragments, and whatever the system believes of the path: sessions find out.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3
RECEIVES_A_TURN = 8  # then what came is answered: the sender is not kept waiting until the queue is empty
_clock = time.perf_counter  # noqa: TID251 - of the port alone; the clock of a loop may count in milliseconds
LONE_BYTES = 1200  # what is shorter comes alone as a rule: to look for more would cost a call that finds nothing


class UdpPort:
    """A non-blocking UDP socket that hands all waiting datagrams of a loop turn to its receiver."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, bound: socket.socket, receiver: DatagramReceiver, path_bytes: int
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._loop, self._socket, self._receiver, self._path_bytes = loop, bound, receiver, path_bytes
        self._polls_until, self._keeps_awake = 0.0, False
        self._poll_ended: Callable[[bool], None] | None = None  # who waits for the outcome of polling
        self._view = memoryview(bytearray(LARGEST_DATAGRAM_BYTES))
        self._views = [self._view]
        # What came beside the last datagram, raw and read: it mostly comes beside the next one, too.
        self._last_source: tuple[Any, ...] = ()
        self._last_notes: list[Note] = []
        self._address, self._noted = Address("", 0), noted(())
        self._sends_runs = may_send_runs(bound)
        self._marks = tells_marks(bound)
        self._ancillary_bytes = ANCILLARY_BYTES if joins_on_receipt(bound) or self._marks else 0
        self._local = Address(*bound.getsockname()[:2])
        loop.add_reader(bound.fileno(), self._on_readable)

    @property
    def local_address(self) -> Address:
        """The bound address, with the port that the system chose."""
        return self._local

    def max_datagram_bytes(self, destination: Address) -> int:
        """The largest datagram that is worth trying: the configured one, where the system never fragments."""
        return self._path_bytes

    def send(self, datagram: Buffer, destination: Address, mark: Ecn = Ecn.NOT_ECT) -> None:
        """Send, or drop and count when the system will not take it."""
        try:
            if mark and self._marks:
                self._socket.sendmsg([datagram], [mark_note(mark, destination)], 0, destination)
            else:
                self._socket.sendto(datagram, destination)
        except (BlockingIOError, InterruptedError):
            self.dropped["send buffer full"] += 1
        except OSError as error:
            self.dropped[errno.errorcode.get(error.errno or 0, "send failed")] += 1

    def send_many(self, datagrams: Iterable[Departing]) -> None:
        """Send in order, with as few system calls as may be; a short one leaves before the next is asked for."""
        departing = iter(datagrams)
        for datagram, destination, mark in departing:
            if len(datagram) < LONE_BYTES or not self._sends_runs:
                self.send(datagram, destination, mark)
                continue
            for run in runs(chain([(datagram, destination, mark)], departing)):
                if len(run.datagrams) == 1:
                    self.send(run.datagrams[0], run.address, run.mark)
                else:
                    self._send_run(run)

    def _send_run(self, run: Run) -> None:
        notes = [segment_size_note(run.size_bytes)]
        if run.mark and self._marks:
            notes.append(mark_note(run.mark, run.address))
        try:
            self._socket.sendmsg(run.datagrams, notes, 0, run.address)
        except (BlockingIOError, InterruptedError):
            self.dropped["send buffer full"] += len(run.datagrams)
        except OSError as error:  # EIO: the device cannot; EINVAL, EMSGSIZE: not on this path, not at this size
            self._sends_runs = error.errno != errno.EIO
            for datagram in run.datagrams:
                self.send(datagram, run.address, run.mark)

    def close(self) -> None:
        """Release the port."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def poll(self, limit_s: float, ended: Callable[[bool], None]) -> None:
        """Keep the loop awake until a datagram comes, for so long at most, and tell whether one came."""
        self._polls_until, self._poll_ended = _clock() + limit_s, ended
        if not self._keeps_awake:
            self._keeps_awake = True
            self._loop.call_soon(self._keep_awake)

    def _keep_awake(self) -> None:
        """A loop that has a callback to run looks at its sockets, but does not sleep over it."""
        if self._poll_ended is not None and _clock() < self._polls_until and self._socket.fileno() >= 0:
            self._loop.call_soon(self._keep_awake)
        else:
            self._keeps_awake = False
            self._end_poll(came=False)

    def _end_poll(self, *, came: bool) -> None:
        ended, self._poll_ended = self._poll_ended, None
        if ended is not None:
            ended(came)

    def _on_readable(self) -> None:
        """Hand over what has arrived."""
        came = False
        receive, received = self._socket.recvmsg_into, self._receiver.datagram_received
        for _ in range(RECEIVES_A_TURN):
            try:
                size, notes, _, source = receive(self._views, self._ancillary_bytes)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # an ICMP error of an earlier send; the next datagram is not to blame
                continue
            came = True
            if source != self._last_source:
                self._last_source, self._address = source, Address(*source[:2])
            if notes != self._last_notes:
                self._last_notes, self._noted = notes, noted(tuple(notes))
            step, mark = self._noted
            if not 0 < step < size:
                received(self._view[:size], self._address, mark)
            else:
                for start in range(0, size, step):
                    received(self._view[start : min(start + step, size)], self._address, mark)
            if size < LONE_BYTES or self._socket.fileno() < 0:
                break
        if came:
            if self._poll_ended is not None:
                self._end_poll(came=True)
            self._receiver.turn_ended()


class SystemHost:
    """The machine this process runs on.

    `path_bytes` is the largest datagram that is tried on a path, `receive_buffer_bytes` what the system is to hold.
    """

    def __init__(self, path_bytes: int = 1200, receive_buffer_bytes: int = 4 << 20) -> None:
        self._path_bytes, self._receive_buffer_bytes = path_bytes, receive_buffer_bytes

    @property
    def name(self) -> str:
        """What people call the machine."""
        return platform.node() or "node"

    async def open_datagrams(self, address: Address, receiver: DatagramReceiver) -> UdpPort:
        """Bind a port; raises AddressUnavailable with the mend."""
        keep_freed_memory()  # messages are about to come
        loop = asyncio.get_running_loop()
        resolved = await self.resolve(address)
        if not resolved:
            raise AddressUnavailable(f"cannot listen on {address}: no such host; use an address of this machine")
        family = socket.AF_INET6 if ":" in resolved[0].host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                with contextlib.suppress(OSError):
                    bound.setsockopt(socket.SOL_SOCKET, option, self._receive_buffer_bytes)
            bound.bind(resolved[0])
        except OSError as error:
            bound.close()
            raise AddressUnavailable(f"cannot listen on {address}: {_mend(error, address)}") from error
        path_bytes = self._path_bytes if _forbid_fragments(bound) else min(self._path_bytes, UNFRAGMENTED_BYTES)
        return UdpPort(loop, bound, receiver, path_bytes)

    async def open_beacon(self, announcement: Announcement, found: Callable[[Announcement], None]) -> Beacon:
        """Announce by multicast DNS; raises AddressUnavailable without multicast, ConfigError without the library."""
        try:
            from guthi.host.discovery_mdns import MulticastBeacon
        except ImportError:
            raise ConfigError(
                'discovery = "lan" needs the library zeroconf: pip install "guthi[lan]"; or choose "gossip"'
            ) from None
        return await MulticastBeacon.open(announcement, found)

    async def resolve(self, address: Address) -> list[Address]:
        """All literal addresses of a host name; empty when it has none."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
        except OSError:
            return []
        return list(dict.fromkeys(Address(str(entry[4][0]), address.port) for entry in found))

    def interface_addresses(self, bound: Address) -> list[Address]:
        """The bound address, or for a wildcard the address that routes lead out of, and loopback."""
        if not bound.is_wildcard:
            return [bound]
        family = socket.AF_INET6 if ":" in bound.host else socket.AF_INET
        outward = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # documentation nets: nothing is sent
        loopback = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        hosts = []
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outward, 9))
            hosts.append(str(probe.getsockname()[0]))
        return [Address(host, bound.port) for host in dict.fromkeys([*hosts, loopback])]

    def hold_identity(self, data_dir: Path) -> contextlib.AbstractContextManager[None]:
        """Lock the identity's file."""
        return hold_identity(data_dir)

    def entropy(self, size_bytes: int) -> bytes:
        """Unpredictable bytes from the operating system."""
        return os.urandom(size_bytes)  # noqa: TID251 - this is the port that hides it

    def wall_time_s(self) -> float:
        """Seconds since 1970."""
        return time.time()  # noqa: TID251 - this is the port that hides it

    def thread_executor(self, name: str, workers: int, *, daemon: bool = False) -> Executor:
        """Threads for blocking functions."""
        return DaemonThreads(workers, name) if daemon else ThreadPoolExecutor(workers, thread_name_prefix=name)

    def worker_processes(self, name: str, workers: int) -> Workers:
        """Processes for functions that burn the processor."""
        return ProcessWorkers(name, workers)


def _forbid_fragments(bound: socket.socket) -> bool:
    """Let a datagram that the path does not take be lost rather than cut up; False where the system cannot."""
    if sys.platform != "linux":
        return False
    try:
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        else:
            bound.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    except OSError:
        return False
    return True


def _mend(error: OSError, address: Address) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {address.port} is taken by another process; stop it, or choose another port (0 lets us choose)"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is no address of this machine; 0.0.0.0 listens on every interface"
    if error.errno == errno.EACCES:
        return f"the system does not allow port {address.port}; choose one above 1023"
    return error.strerror or str(error)
