"""Fuzzing of the receive path: recorded traffic, seeded mutations of it, and a measure of what a node remembers."""

from __future__ import annotations

import asyncio
import enum
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from guthi import Incoming, Node
from guthi.api import Address, Ecn
from guthi.testing import World
from guthi.testing.world import PORT

__all__ = ["Mutator", "Recorded", "Traffic", "attack", "conversation", "footprint", "growth"]

BATCH = 64
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x18, 0x1B, 0x5B, 0x9F, 0xC0, 0xD8, 0xF7)  # and what is special in CBOR


class Mutator:
    """Makes bad bytes out of good ones, the same for the same seed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ways = (self._flip, self._set, self._cut, self._drop, self._double, self._insert, self._count)

    def mutated(self, good: bytes, others: Sequence[bytes] = ()) -> bytes:
        """One to four changes; sometimes the end of another one in place of its own."""
        data = bytearray(good)
        if others and self._random.random() < 0.1:
            other = self._random.choice(others)
            data[self._at(data) :] = other[self._random.randrange(len(other) + 1) :]
        for _ in range(self._random.choice((1, 1, 2, 4))):
            self._random.choice(self._ways)(data)
        return bytes(data)

    def _at(self, data: bytearray) -> int:
        size = len(data)  # heads are where the decisions are
        return self._random.randrange(min(size, 40) if size and self._random.random() < 0.5 else size) if size else 0

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._at(data)] ^= 1 << self._random.randrange(8)

    def _set(self, data: bytearray) -> None:
        if data:
            data[self._at(data)] = self._random.choice(EDGES)

    def _cut(self, data: bytearray) -> None:
        del data[self._at(data) :]

    def _drop(self, data: bytearray) -> None:
        at = self._at(data)
        del data[at : at + self._random.randrange(1, 9)]

    def _double(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = data[at : at + self._random.randrange(1, 65)]

    def _insert(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = self._random.randbytes(self._random.randrange(1, 33))

    def _count(self, data: bytearray) -> None:
        """A number as it stands in heads, with a value at the edge."""
        at, size = self._at(data), self._random.choice((2, 4, 8))
        value = self._random.choice((0, 1, (1 << 8 * size) - 1, 1 << 8 * size - 1, len(data)))
        data[at : at + size] = value.to_bytes(size, "big")


class Recorded(NamedTuple):
    """A datagram that was sent."""

    datagram: bytes
    source: Address
    to: Address


class Traffic:
    """All datagrams of a world from now on, up to a number."""

    def __init__(self, world: World, most: int = 4096) -> None:
        self.recorded: deque[Recorded] = deque(maxlen=most)
        carry = world.network.send

        def send(name: str, source: Address, to: Address, datagram: bytes, *rest: Any) -> None:
            self.recorded.append(Recorded(datagram, source, to))
            carry(name, source, to, datagram, *rest)

        world.network.send = send  # type: ignore[method-assign, assignment]


async def conversation(world: World) -> tuple[Node, Node, Node]:
    """Three nodes that have said to one another whatever there is to say."""
    for name in ("alice", "bob", "carol"):
        node = (await world.start(name, join=[] if name == "alice" else ["alice"])).node
        node.handle("echo", lambda incoming: incoming.value)
        node.handle("slow", _slow)
        node.handle_datagram("ping", lambda incoming: None)
    await world.until(world.is_whole)
    await talk(world)
    alice, bob, carol = (world.nodes[name].node for name in ("alice", "bob", "carol"))
    return alice, bob, carol


async def _slow(incoming: Incoming) -> Any:
    await asyncio.sleep(0.01)
    return incoming.value


async def talk(world: World) -> None:
    """Requests short and long, casts, datagrams, a fault, a cancellation; raises when one is not answered."""
    names = [each.name for each in world.running()]
    for each in world.running():
        for peer in names:
            if peer == each.name:
                continue
            for value in ("namaste", {"a": [1, 2.5, None]}, bytes(20_000), list(range(300))):
                assert await each.node.request(peer, "echo", value, timeout_s=5.0) == value
            assert await each.node.request(peer, "slow", 1, timeout_s=5.0) == 1
            await each.node.cast(peer, "echo", "by the way")
            each.node.send_datagram(peer, "ping", 1)
    await world.sleep(0.5)


async def attack(world: World, victim: str, datagrams: Iterator[bytes], count: int, source: Address) -> None:
    """Hand so many datagrams to a node, as the network would."""
    machine = world.nodes[victim].machine
    for number in range(count):
        machine.deliver(next(datagrams), source, PORT, Ecn.NOT_ECT)
        if number % BATCH == 0:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)


def footprint(node: Node) -> Counter[str]:
    """How many things each container holds that can be reached from a node's network, by class and attribute.

    Counters of dropped datagrams are left out: their keys are fixed texts.
    """
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    queue: list[tuple[str, Any]] = [("network", node.network)]
    while queue:
        name, thing = queue.pop()
        if id(thing) in seen or isinstance(thing, Node | enum.Enum | type | Counter):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict | list | set | frozenset | tuple | deque):
            if not isinstance(thing, tuple | frozenset):  # those cannot grow
                sizes[name] += len(thing)
            items = [*thing.keys(), *thing.values()] if isinstance(thing, Mapping) else list(thing)
            queue += [(f"{name}[]", item) for item in items]
        elif type(thing).__module__.partition(".")[0] == "guthi" and ".testing" not in type(thing).__module__:
            queue += [(f"{type(thing).__name__}.{key}", value) for key, value in _attributes(thing)]
    return sizes


def _attributes(thing: object) -> list[tuple[str, Any]]:
    slots = [slot for kind in type(thing).__mro__ for slot in getattr(kind, "__slots__", ())]
    found = [(slot, getattr(thing, slot)) for slot in slots if hasattr(thing, slot)]
    return [*found, *getattr(thing, "__dict__", {}).items()]


def growth(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """What holds more than before, and how much more."""
    return {name: size - before[name] for name, size in after.items() if size > before[name]}
