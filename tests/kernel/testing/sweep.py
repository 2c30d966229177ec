"""One seeded world of five nodes that talk to one another while everything goes wrong, and what must hold in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from guthi import Node, Plugin
from guthi.errors import DeadlineExceeded, PeerLost, UnknownMember
from guthi.messages.requests import Incoming
from guthi.testing import Link, PowerLost, SimulatedNode, World

NAMES = ["alice", "bob", "carol", "dave", "erin"]
QUICK = {"keepalive": "500ms", "timeout": "1s"}
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.02, reorder=0.1)
EVERY_S = 0.2
TROUBLE_S = 1.5
PATIENCE_S = 2.0

Trouble = Callable[[World], object]


@dataclass
class Ledger:
    """What was asked, how each question ended, and how often each piece of work was done."""

    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    done: Counter[int] = field(default_factory=Counter)
    answered: set[int] = field(default_factory=set)

    def work(self, incoming: Incoming) -> int:
        """The handler of every node."""
        number: int = incoming.value["number"]
        self.done[number] += 1
        return number + 1


def partition_and_crash(world: World) -> None:
    """One node is cut off, in one direction or both, and another crashes; both come back."""
    random = world.random
    lonely, victim = random.sample(NAMES[1:], 2)
    cut, mend, crash, restart = [f"{random.uniform(0, TROUBLE_S):.3f}s" for _ in range(4)]
    (cut, mend), (crash, restart) = sorted([cut, mend]), sorted([crash, restart])
    verb = random.choice(["cut", "oneway"])
    world.play(f"{cut} {verb} {lonely} *; {mend} mend {lonely} *; {crash} crash {victim}; {restart} restart {victim}")


def swarm(world: World) -> None:
    """Whatever the seed draws, clocks that drift included."""
    world.swarm(TROUBLE_S, spare=NAMES[:1], drift=True)


def nothing(world: World) -> None:
    """Only what the links do."""


async def sweep(
    world: World,
    trouble: Trouble = partition_and_crash,
    *,
    body_bytes: int = 20,
    late_s: float = 0.01,
    handshake_timeout: str = "1s",
) -> Ledger:
    """Start five nodes and let all ask all, while there is trouble; then all are to be connected."""
    ledger = Ledger()

    class WorkPlugin(Plugin):
        """Answers questions."""

        name = "work"

        async def run(self, stack: AsyncExitStack) -> None:
            self.node.handle("work", ledger.work)

    world.network.set_link(ROUGH)
    transport = {**QUICK, "handshake_timeout": handshake_timeout}
    for name in NAMES:
        join = [NAMES[0]] if name != NAMES[0] else []
        world.add(name, plugins=[WorkPlugin], join=join, disk=False, transport=transport)
    await asyncio.gather(*(node.start() for node in world.nodes.values()))
    trouble(world)
    await asyncio.gather(*(_ask_all(world, ledger, node, body_bytes, late_s) for node in world.nodes.values()))
    await world.until(lambda: len(world.running()) == len(NAMES) and world.is_connected(), within=30)
    await _check_end(world, ledger)
    return ledger


async def _ask_all(world: World, ledger: Ledger, node: SimulatedNode, body_bytes: int, late_s: float) -> None:
    """Ask the others in turn until the trouble is over."""
    over_at = world.now + TROUBLE_S
    questions = []
    while world.now < over_at:
        for name in NAMES:
            if name != node.name:
                questions.append(asyncio.create_task(_question(world, ledger, node, name, body_bytes, late_s)))
                await asyncio.sleep(EVERY_S)
    await asyncio.gather(*questions)


async def _question(world: World, ledger: Ledger, node: SimulatedNode, to: str, body_bytes: int, late_s: float) -> None:
    """Ask once; it must end in time, by an answer or by an error that says why."""
    if not node.runs:
        return
    number, ledger.asked = ledger.asked, ledger.asked + 1
    body = {"number": number, "body": bytes(body_bytes)}

    async def ask(asker: Node) -> None:
        assert await asker.request(to, "work", body, timeout_s=PATIENCE_S) == number + 1
        ledger.answered.add(number)

    began = world.now
    try:
        await node.run(ask)
        ledger.ends["answered"] += 1
    except (DeadlineExceeded, PeerLost, PowerLost, UnknownMember) as error:
        ledger.ends[type(error).__name__] += 1
    assert world.now - began <= PATIENCE_S + late_s, "it did not end in time"


async def _check_end(world: World, ledger: Ledger) -> None:
    assert sum(ledger.ends.values()) == ledger.asked
    assert not [number for number, times in ledger.done.items() if times > 1], "an effect came twice"
    assert all(ledger.done[number] == 1 for number in ledger.answered), "an answer without the effect"
    for node in world.nodes.values():
        await node.stop()
    assert not {name: tasks for name, node in world.nodes.items() if (tasks := node.unfinished())}
