"""How much work lies between a write and another node's knowing of it, beside that of a request and its answer.

`make figures ONLY=dvar_work` prints a table of docs/dvar.md. By the clock (see `dvar`) a busy machine mostly measures
how long a process waits for its turn. Here it is processor time, and only that which a message waits for: from the call
until its datagram is handed to the system, then from where the next node is told that one is there until it sends
another, and at last until the copy is known to be invalid. What is done beside, and the system's part, do not count.
Three nodes in one process, real sockets; in an order drawn anew each round, each after a pause in which all are idle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from random import Random
from statistics import median, quantiles
from typing import Any, NamedTuple
from unittest.mock import patch

from tests.figures.dvar import PAUSE_S, owned_by, settings

import guthi
from guthi.host.udp import UdpPort
from guthi_dvar import DVAR

ROUNDS = 300
NAMES = ("alice", "bob", "carol")


class Moment(NamedTuple):
    """A node, by its port, sends to another one, or is told that something has come for it (`to` is 0)."""

    port: int
    to: int
    at_s: float


class Clock:
    """Notes the moments of all ports of this process, in processor time."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.outdated = asyncio.Event()
        self.outdated_at_s = 0.0
        self._send, self._come = UdpPort.send, UdpPort._on_readable

    def watch(self, stack: AsyncExitStack) -> None:
        """Note them until the stack is left, of ports that are opened from now on."""
        clock = self

        def send(port: UdpPort, datagram: Any, destination: Any, *rest: Any) -> None:
            clock.moments.append(Moment(port.local_address.port, destination.port, time.thread_time()))
            clock._send(port, datagram, destination, *rest)

        def come(port: UdpPort) -> None:
            clock.moments.append(Moment(port.local_address.port, 0, time.thread_time()))
            clock._come(port)

        stack.enter_context(patch.object(UdpPort, "send", send))
        stack.enter_context(patch.object(UdpPort, "_on_readable", come))

    @guthi.hookimpl
    def variable_invalidated(self) -> None:
        """On the node that is watched."""
        self.outdated_at_s = time.thread_time()
        self.outdated.set()

    def along(self, began_s: float, way: Sequence[int], ended_s: float) -> float | None:
        """The work between these moments that was done on the way over these ports; None if no datagram went there."""
        moments, taken_s, at_s = iter(self.moments), 0.0, began_s
        for here, there in pairwise(way):
            sent = next((each for each in moments if (each.port, each.to) == (here, there)), None)
            came = next((each for each in moments if (each.port, each.to) == (there, 0)), None)
            if sent is None or came is None:
                return None
            taken_s += sent.at_s - at_s
            at_s = came.at_s
        return taken_s + ended_s - at_s


async def measured_work() -> dict[str, list[float]]:
    """Seconds of processor time."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        clock.watch(stack)
        alice = await stack.enter_async_context(guthi.Node(settings("alice")))
        nodes = [
            alice,
            *[await stack.enter_async_context(guthi.Node(settings(n, str(alice.address)))) for n in NAMES[1:]],
        ]
        dvars, ports = [node.require(DVAR) for node in nodes], [node.address.port for node in nodes]
        nodes[1].hooks.register(clock, "clock")
        nodes[1].handle("echo", lambda incoming: incoming.value)
        owned = await owned_by(dvars[0], {"alice", "carol"})
        await dvars[0].create("count0", 0, replicas=0)
        a, b, c = ports
        rows = {"request": ("", (a, b, a)), "eventual, replicas=0": ("count0", (a, b))}
        rows |= {
            "coherent, owner alice": (owned["alice"], (a, b)),
            "coherent, owner carol": (owned["carol"], (a, c, b)),
        }
        taken: dict[str, list[float]] = {title: [] for title in rows}
        draw = Random(0)
        for number in range(ROUNDS):
            for title in draw.sample(list(rows), len(rows)):
                name, way = rows[title]
                await dvars[1].get(name or "count0")
                await asyncio.sleep(PAUSE_S)
                clock.moments.clear()
                clock.outdated.clear()
                began_s = time.thread_time()
                if name:
                    await dvars[0].set(name, number)
                    await clock.outdated.wait()
                    ended_s = clock.outdated_at_s
                else:
                    await alice.request("bob", "echo", 1)
                    ended_s = time.thread_time()
                along_s = clock.along(began_s, way, ended_s)
                if along_s is not None:
                    taken[title].append(along_s)
        return taken


def main() -> None:
    """Print the rows."""
    taken = asyncio.run(measured_work())
    for name, each in taken.items():
        first, second, third = (quartile_s * 1e6 for quartile_s in quantiles(each, n=4))
        of_request = second / 1e6 / median(taken["request"])
        print(f"| {name} | {second:.0f} µs | {first:.0f} to {third:.0f} µs | {of_request:.2f} |")


if __name__ == "__main__":
    main()
