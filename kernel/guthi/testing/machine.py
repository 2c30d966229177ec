"""A simulated machine: it implements the kernel's Host port, has a processor, clocks and a disk of its own, and can
crash, restart, pause and be slow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from guthi.api import Address, Announcement, Beacon, Buffer, DatagramReceiver, Departing, Ecn, Workers
from guthi.errors import AddressUnavailable
from guthi.testing.clock import MachineClock
from guthi.testing.executor import SimulatedExecutor, SimulatedWorkers
from guthi.testing.loop import VirtualLoop
from guthi.testing.processor import Power, Processor

if TYPE_CHECKING:
    from guthi.testing.network import SimulatedNetwork

__all__ = ["SimulatedMachine", "SimulatedPort"]

FIRST_EPHEMERAL_PORT = 49152
RECEIVE_BUFFER_BYTES = 4 << 20


class SimulatedMachine:
    """A machine of a simulated network.

    `clock` can gain, lose and jump; `callback_s` is what each callback costs on its processor, `call_s` what a call in
    an executor takes; `path_bytes` is the largest datagram that it sends, and `receive_buffer_bytes` what its ports
    hold of datagrams that the processor has had no time for.
    """

    def __init__(
        self, name: str, ip: str, loop: VirtualLoop, network: SimulatedNetwork, random: Random, disk: Path
    ) -> None:
        self._name, self.ip, self.loop, self._network = name, ip, loop, network
        self._random = random
        self.disk = disk
        self.clock = MachineClock()
        self.callback_s = 0.0
        self.call_s = 0.001
        self.path_bytes = 1200
        self.receive_buffer_bytes = RECEIVE_BUFFER_BYTES
        self.processor = Processor(self)
        self._ports: dict[int, SimulatedPort] = {}
        self._next_port = FIRST_EPHEMERAL_PORT

    @property
    def name(self) -> str:
        """What people call the machine."""
        return self._name

    @property
    def power(self) -> Power:
        """Whether it runs."""
        return self.processor.power

    # ---- faults

    def crash(self) -> None:
        """Lose power: nothing that runs here runs on, nothing is said."""
        self.processor.die()
        self._ports.clear()

    def boot(self) -> None:
        """Have power again after a crash; nothing of before goes on."""
        if self.power is Power.OFF:
            self.processor = Processor(self)

    def pause(self) -> None:
        """Stand still, as under SIGSTOP: datagrams are kept while the receive buffer holds them, timers come late."""
        self.processor.pause()

    def resume(self) -> None:
        """Go on after `pause`: what was kept meanwhile is handled now."""
        self.processor.resume()

    def set_clock_rate(self, rate: float) -> None:
        """Let the machine's clock gain or lose from now on; 1.01 gains one per cent."""
        self.clock.set_rate(rate, self.loop.now)

    # ---- the Host port

    async def open_datagrams(self, address: Address, receiver: DatagramReceiver) -> SimulatedPort:
        """Bind a port of this machine; raises AddressUnavailable."""
        if address.host not in (self.ip, self._name) and not address.is_wildcard and not address.is_loopback:
            raise AddressUnavailable(f"cannot listen on {address}: {address.host} is no address of {self._name}")
        number = address.port or self._free_port()
        if number in self._ports:
            raise AddressUnavailable(f"cannot listen on {address}: port {number} is taken by another process")
        port = SimulatedPort(self, self._network, Address(self.ip, number), receiver)
        self._ports[number] = port
        return port

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    def close_port(self, number: int) -> None:
        """Nothing is received there any more."""
        self._ports.pop(number, None)

    def deliver(self, datagram: bytes, source: Address, number: int, mark: Ecn) -> str | None:
        """A datagram arrives from the network; returns why it is dropped, None if it is not."""
        port = self._ports.get(number)
        if port is None:
            return "nobody listens"
        return port.deliver(datagram, source, mark)

    async def open_beacon(self, announcement: Announcement, found: Callable[[Announcement], None]) -> Beacon:
        """Announce on the simulated local network."""
        return self._network.lan.open(self, announcement, found)

    async def resolve(self, address: Address) -> list[Address]:
        """Names of machines are host names."""
        return self._network.resolve(address)

    def interface_addresses(self, bound: Address) -> list[Address]:
        """A simulated machine has one address."""
        return [Address(self.ip, bound.port)]

    def hold_identity(self, data_dir: Path) -> AbstractContextManager[None]:
        """One node lives on a simulated machine: nobody has to be kept out."""
        return nullcontext()

    def entropy(self, size_bytes: int) -> bytes:
        """Bytes that follow from the world's seed."""
        return self._random.randbytes(size_bytes)

    def wall_time_s(self) -> float:
        """The world's time on this machine's wall clock; worlds begin on the first of January 2030."""
        return self.clock.wall_time_s(self.loop.now)

    def thread_executor(self, name: str, workers: int, *, daemon: bool = False) -> Executor:
        """Workers that take virtual time."""
        return SimulatedExecutor(self, workers)

    def worker_processes(self, name: str, workers: int) -> Workers:
        """Workers that take virtual time."""
        return SimulatedWorkers(SimulatedExecutor(self, workers))


class SimulatedPort:
    """A datagram port of a simulated machine; it belongs to the life of the machine in which it was opened."""

    def __init__(
        self, machine: SimulatedMachine, network: SimulatedNetwork, address: Address, receiver: DatagramReceiver
    ) -> None:
        self._machine, self._network, self._address, self._receiver = machine, network, address, receiver
        self._processor = machine.processor
        self._buffered_bytes = 0
        self._is_open = True

    @property
    def local_address(self) -> Address:
        """The bound address."""
        return self._address

    @property
    def dropped(self) -> Mapping[str, int]:
        """A simulated system takes all; what links lose is counted by the network."""
        return {}

    def max_datagram_bytes(self, destination: Address) -> int:
        """What the path there takes, as a host that knew its route would say."""
        return min(self._network.path_bytes(self._machine.name, destination), self._machine.path_bytes)

    def send(self, datagram: Buffer, destination: Address, mark: Ecn = Ecn.NOT_ECT) -> None:
        """Send, unless the machine has crashed since."""
        if self._is_open and self._processor.power is not Power.OFF:
            self._network.send(self._machine.name, self._address, destination, bytes(datagram), mark)

    def send_many(self, datagrams: Iterable[Departing]) -> None:
        """One after the other."""
        for datagram, destination, mark in datagrams:
            self.send(datagram, destination, mark)

    def poll(self, limit_s: float, ended: Callable[[bool], None]) -> None:
        """A simulated loop does not sleep."""

    def close(self) -> None:
        """Release the port; what is buffered is lost."""
        if self._is_open and self._processor is self._machine.processor:
            self._machine.close_port(self._address.port)
        self._is_open = False

    def deliver(self, datagram: bytes, source: Address, mark: Ecn) -> str | None:
        """Buffer a datagram until the processor has time for it; returns why it is dropped, None if it is not."""
        if self._buffered_bytes + len(datagram) > self._machine.receive_buffer_bytes:
            return "receive buffer full"
        self._buffered_bytes += len(datagram)
        self._machine.loop.call_soon(self._receive, datagram, source, mark, context=self._processor.context.copy())
        return None

    def _receive(self, datagram: bytes, source: Address, mark: Ecn) -> None:
        self._buffered_bytes -= len(datagram)
        if self._is_open:
            self._receiver.datagram_received(datagram, source, mark)
            self._receiver.turn_ended()
