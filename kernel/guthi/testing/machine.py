"""A simulated machine: it implements the kernel's Host port, has a processor, a clock and a disk of its own, and can
crash, restart, pause and be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from contextvars import Context
from enum import Enum, auto
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from guthi.api import Address, Buffer, DatagramReceiver
from guthi.errors import AddressUnavailable, UsageError
from guthi.testing.loop import PROCESSOR, VirtualLoop

if TYPE_CHECKING:
    from guthi.testing.network import SimulatedNetwork

__all__ = ["Power", "SimulatedExecutor", "SimulatedMachine", "SimulatedPort"]

P = ParamSpec("P")
T = TypeVar("T")

FIRST_EPHEMERAL_PORT = 49152
MOST_AWAITS_IN_FINALLY = 100
_OUTSIDE = Context()  # empty: for what belongs to no processor


class Power(Enum):
    """Whether a machine runs."""

    ON = auto()
    PAUSED = auto()
    OFF = auto()


class Processor:
    """One life of a machine, from power-on to crash: callbacks of an earlier life never run in a later one."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine
        self.power = Power.ON
        self._held: deque[Callable[[], object]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._busy_until = 0.0
        self.context = _OUTSIDE.copy()
        self.context.run(PROCESSOR.set, self)

    def local_time(self, now: float) -> float:
        """The machine's own clock, which may run at a rate of its own."""
        machine = self._machine
        return machine.local_since + (now - machine.rate_since) * machine.clock_rate

    def world_time(self, local: float) -> float:
        """The inverse of `local_time`."""
        machine = self._machine
        return machine.rate_since + (local - machine.local_since) / machine.clock_rate

    def is_free(self, now: float) -> bool:
        """Whether a callback may run now; a slow processor is then busy for the machine's `callback_s`."""
        if self.power is not Power.ON or self._held or now < self._busy_until:
            return False
        self._busy_until = now + self._machine.callback_s
        return True

    def hold(self, run: Callable[[], object]) -> None:
        """Keep a callback until the processor has time for it; a dead one forgets it."""
        if self.power is Power.OFF:
            return
        self._held.append(run)
        if self.power is Power.ON and len(self._held) == 1:
            self._wake_at(self._busy_until)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task was created in this life; it is kept until it is done, even when the machine is dead."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard, context=_OUTSIDE.copy())

    def bury(self) -> None:
        """The world ends: let no task be finalized by chance, with a warning that it is pending."""
        for task in list(self._tasks):
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
        self._tasks.clear()

    def resume(self) -> None:
        """Go on with what was held back."""
        self.power = Power.ON
        self._wake_at(max(self._machine.loop.now, self._busy_until))

    def _wake_at(self, when: float) -> None:
        self._machine.loop.call_at(when, self._run_held, context=_OUTSIDE.copy())

    def _run_held(self) -> None:
        now = self._machine.loop.now
        if self.power is not Power.ON or not self._held:
            return
        if now < self._busy_until:
            self._wake_at(self._busy_until)
            return
        self._busy_until = now + self._machine.callback_s
        self._held.popleft()()
        if self._held:
            self._wake_at(self._busy_until)


def _close(work: Any) -> None:
    """End a coroutine that will never be resumed; its `finally` blocks find a dead machine and change nothing."""
    for _ in range(MOST_AWAITS_IN_FINALLY):
        try:
            work.close()
        except BaseException:  # noqa: BLE001 - what a dead coroutine says is nobody's business
            continue
        return


class SimulatedMachine:
    """A machine of a simulated network. `clock_rate` 1.01 is a clock that gains one per cent; `wall_offset_s` shifts
    the wall clock; `callback_s` is what each callback costs on its processor; `call_s` what a call in an executor
    takes."""

    def __init__(
        self, name: str, ip: str, loop: VirtualLoop, network: SimulatedNetwork, random: Random, disk: Path
    ) -> None:
        self._name, self.ip, self.loop, self._network = name, ip, loop, network
        self._random = random
        self.disk = disk
        self.clock_rate = 1.0
        self.rate_since = self.local_since = 0.0  # when the rate was last changed, on the world's clock and on our own
        self.wall_offset_s = 0.0
        self.callback_s = 0.0
        self.call_s = 0.001
        self.processor = Processor(self)
        self._past_lives: list[Processor] = []
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
        if self.processor.power is not Power.OFF:
            self.processor.power = Power.OFF
            self._past_lives.append(self.processor)
        self._ports.clear()

    def boot(self) -> None:
        """Have power again after a crash; nothing of before goes on."""
        if self.power is Power.OFF:
            self.processor = Processor(self)

    def bury(self) -> None:
        """The world ends."""
        self.crash()
        for life in self._past_lives:
            life.bury()

    def pause(self) -> None:
        """Stand still, as under SIGSTOP; datagrams are kept, timers come late."""
        if self.power is Power.ON:
            self.processor.power = Power.PAUSED

    def resume(self) -> None:
        """Go on."""
        if self.power is Power.PAUSED:
            self.processor.resume()

    def set_clock_rate(self, rate: float) -> None:
        """Let the clock gain or lose from now on; timers that are already set keep their moment."""
        if rate <= 0:
            raise UsageError(f"a clock runs at a rate above 0, not {rate}")
        now = self.loop.now
        self.local_since, self.rate_since = self.processor.local_time(now), now
        self.clock_rate = rate

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

    def deliver(self, datagram: bytes, source: Address, number: int) -> bool:
        """A datagram arrives from the network; False if nobody listens."""
        port = self._ports.get(number)
        if port is None or self.power is Power.OFF:
            return False
        self.processor.context.run(self.loop.call_soon, port.receive, datagram, source)
        return True

    async def resolve(self, address: Address) -> list[Address]:
        """Names of machines are host names."""
        return self._network.resolve(address)

    def interface_addresses(self, bound: Address) -> list[Address]:
        """A simulated machine has one address."""
        return [Address(self.ip, bound.port)]

    def entropy(self, size_bytes: int) -> bytes:
        """Bytes that follow from the world's seed."""
        return self._random.randbytes(size_bytes)

    def wall_time_s(self) -> float:
        """The world's time on this machine's wall clock; worlds begin on the first of January 2030."""
        return 1_893_456_000.0 + self.processor.local_time(self.loop.now) + self.wall_offset_s

    def thread_executor(self, name: str, workers: int) -> Executor:
        """Workers that take virtual time."""
        return SimulatedExecutor(self, workers)

    def process_executor(self, name: str, workers: int) -> Executor:
        """Workers that take virtual time."""
        return SimulatedExecutor(self, workers)


class SimulatedPort:
    """A datagram port of a simulated machine."""

    def __init__(
        self, machine: SimulatedMachine, network: SimulatedNetwork, address: Address, receiver: DatagramReceiver
    ) -> None:
        self._machine, self._network, self._address, self._receiver = machine, network, address, receiver
        self._processor = machine.processor

    @property
    def local_address(self) -> Address:
        """The bound address."""
        return self._address

    def max_datagram_bytes(self, destination: Address) -> int:
        """What the path there takes."""
        return self._network.path_bytes(self._machine.name, destination)

    def send(self, datagram: Buffer, destination: Address) -> None:
        """Send, if the machine still lives the life in which the port was opened."""
        if self._processor is self._machine.processor and self._processor.power is not Power.OFF:
            self._network.send(self._machine.name, self._address, destination, bytes(datagram))

    def send_many(self, datagrams: Iterable[tuple[Buffer, Address]]) -> None:
        """One after the other."""
        for datagram, destination in datagrams:
            self.send(datagram, destination)

    def poll(self, limit_s: float) -> bool:
        """Nothing comes while a callback runs."""
        return False

    def close(self) -> None:
        """Release the port."""
        if self._processor is self._machine.processor:
            self._machine.close_port(self._address.port)

    def receive(self, datagram: bytes, source: Address) -> None:
        """A datagram is here and the processor has time for it."""
        self._receiver.datagram_received(datagram, source)
        self._receiver.turn_ended()


class SimulatedExecutor(Executor):
    """Runs calls one after the other on `workers` workers; each takes the machine's `call_s` of virtual time.

    The function itself runs at the end of that time, in no time at all.
    """

    def __init__(self, machine: SimulatedMachine, workers: int) -> None:
        self._machine, self._workers = machine, workers
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._running = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As concurrent.futures has it."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        self._waiting.append((future, lambda: fn(*args, **kwargs)))
        self._start()
        return future

    def _start(self) -> None:
        while self._waiting and self._running < self._workers:
            future, call = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                self._running += 1
                self._machine.loop.call_later(self._machine.call_s, self._finish, future, call)

    def _finish(self, future: Future[Any], call: Callable[[], Any]) -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - as an executor does: it is the waiter's to see
            future.set_exception(error)
        self._running -= 1
        self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; nothing is ever waited for, because waiting would stop the world."""
        self._closed = True
        if cancel_futures:
            for future, _ in self._waiting:
                future.cancel()
            self._waiting.clear()
