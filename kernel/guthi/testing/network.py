"""A simulated network: machines by address, links between them, and what cuts them off from each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from guthi.api import Address, Ecn
from guthi.errors import UsageError
from guthi.testing.lan import SimulatedLan
from guthi.testing.links import Link, LinkState
from guthi.testing.loop import VirtualLoop
from guthi.testing.machine import SimulatedMachine
from guthi.testing.trace import Trace

__all__ = ["SimulatedNetwork"]

CLOG_LATENCY_S = 0.5
CLOG_LOSS = 0.3
INTERNET_BYTES = 1200  # what passes everywhere; said of addresses that no machine has


class SimulatedNetwork:
    """Carries datagrams between simulated machines; all of its chances come from one seeded generator."""

    def __init__(self, loop: VirtualLoop, random: Random, trace: Trace, link: Link) -> None:
        self._loop, self._random, self._trace = loop, random, trace
        self._link = link
        self._machines: dict[str, SimulatedMachine] = {}
        self._by_ip: dict[str, SimulatedMachine] = {}
        self._special: dict[tuple[str, str], Link] = {}
        self._states: dict[tuple[str, str], LinkState] = {}
        self._clogged: set[str] = set()
        self._cut: set[tuple[str, str]] = set()
        self.sent_datagrams: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.lan: SimulatedLan = SimulatedLan(loop)

    # ---- machines

    def add(self, machine: SimulatedMachine) -> None:
        """Plug a machine in; its name and its address must be new."""
        self._machines[machine.name] = machine
        self._by_ip[machine.ip] = machine

    @property
    def machines(self) -> list[str]:
        """The names of all machines, in the order in which they were plugged in."""
        return list(self._machines)

    def resolve(self, address: Address) -> list[Address]:
        """A machine's name is a host name; addresses are themselves."""
        machine = self._machines.get(address.host)
        if machine is not None:
            return [Address(machine.ip, address.port)]
        return [address] if address.host in self._by_ip else []

    # ---- links

    def set_link(self, link: Link, sources: Iterable[str] | None = None, to: Iterable[str] | None = None) -> None:
        """Change the links from `sources` to `to`; None is all machines. Both directions are to be set one by one.

        Without `sources` and `to` it becomes every link, also of machines to come, and forgets the special ones. Cuts
        and clogs stay. What is under way arrives as it would have.
        """
        if sources is None and to is None:
            self._link = link
            self._special.clear()
            self._states.clear()
            return
        for source in self._known(sources):
            for destination in self._known(to):
                self._special[source, destination] = link
                self._states.pop((source, destination), None)

    def reset_link(self, sources: Iterable[str], to: Iterable[str]) -> None:
        """Give links from `sources` to `to` the properties that all have."""
        destinations = self._known(to)
        for source in self._known(sources):
            for destination in destinations:
                self._special.pop((source, destination), None)
                self._states.pop((source, destination), None)

    def link(self, source: str, destination: str) -> Link:
        """The link from one machine to another as it was set, without clogs."""
        return self._special.get((source, destination), self._link)

    def clog(self, name: str) -> None:
        """Let all links of a machine, in both directions, be slow and lossy besides what they are."""
        self._set_clogged(name, True)

    def unclog(self, name: str) -> None:
        """Undo `clog`."""
        self._set_clogged(name, False)

    def _set_clogged(self, name: str, clogged: bool) -> None:
        self._known(name)
        (self._clogged.add if clogged else self._clogged.discard)(name)
        for pair in [pair for pair in self._states if name in pair]:
            del self._states[pair]

    def _working_link(self, source: str, destination: str) -> Link:
        link = self.link(source, destination)
        clogs = (source in self._clogged) + (destination in self._clogged)
        if not clogs or source == destination:
            return link
        return replace(link, latency_s=link.latency_s + clogs * CLOG_LATENCY_S, loss=max(link.loss, CLOG_LOSS))

    def path_bytes(self, source: str, destination: Address) -> int:
        """The largest datagram that the link takes."""
        machine = self._by_ip.get(destination.host)
        return self.link(source, machine.name).mtu_bytes if machine is not None else INTERNET_BYTES

    # ---- partitions

    def cut(self, sources: Iterable[str], to: Iterable[str], *, both_ways: bool = True) -> None:
        """Let nothing through from `sources` to `to`, and nothing back unless `both_ways` is False."""
        destinations = self._known(to)
        for source in self._known(sources):
            for destination in destinations:
                if source != destination:
                    self._cut.add((source, destination))
                    if both_ways:
                        self._cut.add((destination, source))

    def mend(self, sources: Iterable[str], to: Iterable[str]) -> None:
        """Undo `cut` between these machines, in both directions."""
        destinations = self._known(to)
        for source in self._known(sources):
            for destination in destinations:
                self._cut.discard((source, destination))
                self._cut.discard((destination, source))

    def partition(self, *groups: Iterable[str]) -> None:
        """Split the network into groups that do not reach each other; machines in no group form one more."""
        listed = [self._known(group) for group in groups]
        rest = [name for name in self._machines if not any(name in group for group in listed)]
        parts = [*listed, rest]
        for index, part in enumerate(parts):
            for other in parts[index + 1 :]:
                self.cut(part, other)

    def heal(self) -> None:
        """Undo every cut."""
        self._cut.clear()

    def _known(self, names: Iterable[str] | None) -> list[str]:
        if names is None:
            return list(self._machines)
        chosen = [names] if isinstance(names, str) else list(names)
        for name in chosen:
            if name not in self._machines:
                raise UsageError(f"there is no machine {name!r}; there are: {', '.join(self._machines)}")
        return chosen

    # ---- datagrams

    def send(
        self, source: str, source_address: Address, destination: Address, datagram: bytes, mark: Ecn = Ecn.NOT_ECT
    ) -> None:
        """Take a datagram and deliver it, or not, when its link says."""
        self.sent_datagrams[source] += 1
        self.sent_bytes[source] += len(datagram)
        machine = self._by_ip.get(destination.host)
        if machine is None:
            self.dropped["no such address"] += 1
            return
        pair = (source, machine.name)
        if pair in self._cut:
            self.dropped["cut"] += 1
            return
        state = self._states.get(pair)
        if state is None:
            state = self._states[pair] = LinkState(self._working_link(*pair), self.dropped)
        loop = self._loop
        arrivals = state.arrivals(len(datagram), loop.now, self._random)
        if mark and state.is_congested:
            mark = Ecn.CE
        for arrival in arrivals:
            # The delivery belongs to no machine until the receiver's processor takes it.
            what = (pair, machine, datagram, source_address, destination.port, mark)
            loop.call_at(arrival, self._arrive, *what, context=loop.outside)

    def _arrive(
        self, pair: tuple[str, str], machine: SimulatedMachine, datagram: bytes, source: Address, port: int, mark: Ecn
    ) -> None:
        if pair in self._cut:
            self.dropped["cut"] += 1
            return
        refusal = machine.deliver(datagram, source, port, mark)
        if refusal is None:
            self._trace.datagram(self._loop.now, pair[0], pair[1], datagram)
        else:
            self.dropped[refusal] += 1
