"""How much slower a node's calls are while somebody floods it: `PYTHONPATH=tests python -m performance.flood`.

Three processes on this machine: a node that echoes, a node that calls it one call at a time, and a flooder that sends
10,000 datagrams a second. Rounds with and without the flood alternate, so that both see the same machine. Printed are
the median latencies, the median of the rounds' ratios, and which share of a core the flood alone costs the node. The
flooder either has the cluster key, and sends authentic handshake initiations, or has not, and sends what looks like
them. Three processes want two free cores: on a busy machine only the share means anything.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import count
from multiprocessing.synchronize import Event
from typing import Any

from guthi import Config, Incoming, Node
from guthi.api import Address
from guthi.security.identity import Identity
from guthi.security.keyring import ClusterKey, Keyring
from guthi.security.seal import OVERHEAD_BYTES, ClusterSeal
from guthi.transport.endpoint import Endpoint, Route
from guthi.transport.session import SessionSettings

KEY = ClusterKey(b"k" * 32)
FLOOD_PER_S = 10_000
BATCH = 10
ROUNDS, ROUND_S = 5, 1.0
SALT_BYTES = 16


def config(name: str, *join: str) -> Config:
    return Config.from_mapping({"node": {"name": name, "join": list(join)}, "security": {"cluster_key": KEY.text()}})


def serve(ready: Any) -> None:
    """The process of the node that is flooded."""

    async def run() -> None:
        async with Node(config("server")) as node:
            node.handle("echo", echo)
            node.handle("processor", lambda _: time.process_time())
            ready.put((tuple(node.address), node.me.public_key))
            await asyncio.Event().wait()

    asyncio.run(run())


def echo(incoming: Incoming) -> Any:
    return incoming.value


def initiations(address: Address, public_key: bytes, *, has_key: bool) -> Iterator[bytes]:
    """Handshake initiations without end, all different."""
    me = Identity.generate(os.urandom)
    peer = Identity.generate(os.urandom).node_id
    endpoint = Endpoint(
        me,
        Keyring([KEY]),
        entropy=os.urandom,
        route=lambda _: Route(address, public_key),
        datagram_bytes=lambda _: 1200,
        settings=SessionSettings(),
        hello=b"h" * 150,
    )
    endpoint.connect(peer, 0.0)
    ((datagram, *_),) = endpoint.take_datagrams(0.0)
    plain = ClusterSeal(Keyring([KEY]), os.urandom).open(datagram)
    assert plain is not None
    seal = ClusterSeal(Keyring([KEY]), os.urandom)
    forged = os.urandom(OVERHEAD_BYTES - 5 - SALT_BYTES + len(plain))
    for number in count():
        yield seal.seal(plain) if has_key else b"\1" + KEY.key_id + number.to_bytes(SALT_BYTES, "big") + forged


def flood(address: Address, public_key: bytes, has_key: bool, on: Event) -> None:
    """The process of the flooder."""
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams = initiations(address, public_key, has_key=has_key)
    due = time.monotonic()
    while True:
        if not on.is_set():
            on.wait()
            due = time.monotonic()
        for _ in range(BATCH):
            port.sendto(next(datagrams), address)
        due += BATCH / FLOOD_PER_S
        time.sleep(max(due - time.monotonic(), 0.0))


async def latencies_s(node: Node, seconds: float) -> list[float]:
    taken, end = [], time.monotonic() + seconds
    while (before := time.monotonic()) < end:
        await node.request("server", "echo", 1, timeout_s=10.0)
        taken.append(time.monotonic() - before)
    return taken


async def share(node: Node, seconds: float) -> float:
    """Which part of a core the server uses while nobody calls it."""
    before, started_at = await node.request("server", "processor", None), time.monotonic()
    await asyncio.sleep(seconds)
    used_s = await node.request("server", "processor", None) - before
    return float(used_s / (time.monotonic() - started_at))


async def measure(address: Address, on: Event) -> tuple[list[tuple[float, float]], float]:
    """The median latency of a call in seconds, quiet and flooded, of each round; and the share of a core."""
    rounds = []
    async with Node(config("caller", str(address))) as node:
        await latencies_s(node, 0.5)
        for _ in range(ROUNDS):
            on.clear()
            await asyncio.sleep(0.1)
            quiet = await latencies_s(node, ROUND_S)
            on.set()
            await asyncio.sleep(0.1)
            flooded = await latencies_s(node, ROUND_S)
            rounds.append((statistics.median(quiet), statistics.median(flooded)))
        return rounds, await share(node, 2.0)


def main() -> int:
    """Prints a line for each flood; 1 when one makes calls twice as slow."""
    worst = 0.0
    context = multiprocessing.get_context("spawn")
    for has_key in (False, True):
        ready, on = context.Queue(), context.Event()
        server = context.Process(target=serve, args=(ready,), daemon=True)
        server.start()
        host_port, public_key = ready.get(timeout=30)
        address = Address(*host_port)
        flooder = context.Process(target=flood, args=(address, public_key, has_key, on), daemon=True)
        flooder.start()
        try:
            rounds, flood_share = asyncio.run(measure(address, on))
        finally:
            for process in (server, flooder):
                process.kill()
                process.join()
        ratio = statistics.median(flooded_s / quiet_s for quiet_s, flooded_s in rounds)
        worst = max(worst, ratio)
        quiet_s, flooded_s = (statistics.median(column) for column in zip(*rounds, strict=True))
        who = "with the cluster key" if has_key else "a stranger"
        print(f"{who:20}  quiet {quiet_s * 1e6:.0f} µs, flooded {flooded_s * 1e6:.0f} µs", end="")
        print(f", ratio {ratio:.2f}, the flood takes {flood_share:.0%} of a core")
    return int(worst >= 2.0)


if __name__ == "__main__":
    sys.exit(main())
