"""Nodes that read and write coherent variables in a bad world, and the history of what they saw."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import guthi
from guthi.testing import UNKNOWN, History, Link, Operation, PowerLost, Register, World, linearizable
from guthi_dvar import DVAR, UnknownVariable, ValueUnavailable

ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)
VARIABLES = {"a": 4, "b": 2, "c": 1, "d": 0}  # how many replicas each has
FIRST = 0


@dataclass(frozen=True, slots=True)
class Growing(Register):
    """A register whose value may also be made ten times as large, and some: `("update", digit)` gives the new one."""

    def step(self, state: Any, input: Any, output: Any) -> tuple[Hashable, ...]:
        """See Model."""
        match input:
            case ("update", digit):
                new = (state, digit)
                return (new,) if output is UNKNOWN or output == new else ()
        return Register.step(self, state, input, output)


class Workload:
    """What the nodes of a world do, until it is told to stop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.history = History(lambda: world.now)
        self._numbers = iter(range(1, 1_000_000))
        self.refused = 0

    async def run(self, faults: asyncio.Future[Any], *, clients: int = 2, pause_s: float = 0.3) -> None:
        """Work while the faults last: so many clients on each node, each doing one thing at a time."""

        async def work(node: str) -> None:
            while not faults.done():
                if self.world.nodes[node] in self.world.running():
                    await self.one(node)
                await self.world.sleep(self.world.random.uniform(0, pause_s))

        await asyncio.wait({self.world.background(work(node)) for node in self.world.nodes for _ in range(clients)})
        await faults

    async def one(self, node: str) -> None:
        """One operation of one node."""
        rng = self.world.random
        variable = rng.choice(list(VARIABLES))
        kind = rng.choice(["read", "read", "read", "write", "compare", "update"])
        number = next(self._numbers)
        seen = [each.output for each in self.history.operations if each.key == variable and each.input == ("read",)]
        guess = next((each for each in reversed(seen) if each is not UNKNOWN), FIRST)
        called: list[Operation] = []

        async def do(running: guthi.Node) -> None:
            dvar = running.require(DVAR)
            inputs = {"write": (number,), "compare": (guess, number), "update": (number,)}
            operation = self.history.called(node, (kind, *inputs.get(kind, ())), variable)
            called.append(operation)
            output: Any = None
            if kind == "read":
                output = tupled(await dvar.get(variable))
            elif kind == "write":
                await dvar.set(variable, number)
            elif kind == "compare":
                output = await dvar.compare_and_set(variable, listed(guess), number)
            else:
                output = tupled(await dvar.update(variable, lambda old: [old, number]))
            self.history.returned(operation, output)

        try:
            await self.world.nodes[node].run(do)
        except (guthi.PeerLost, guthi.DeadlineExceeded, PowerLost, ValueUnavailable, UnknownVariable, guthi.NodeClosed):
            self.refused += 1
        except guthi.GuthiError as error:
            assert type(error).__name__ == "Unavailable", error
            self.refused += 1
        if kind == "read" and called and called[0].output is UNKNOWN:
            self.history.failed(called[0])

    def check(self) -> int:
        """The history is linearizable; how many operations have an outcome."""
        linearizable(self.history.operations, Growing(FIRST))
        return sum(each.output is not UNKNOWN for each in self.history.operations)


def tupled(value: Any) -> Any:
    """Values that can be states of a model."""
    return tuple(map(tupled, value)) if isinstance(value, list | tuple) else value


def listed(value: Any) -> Any:
    """And back."""
    return [listed(each) for each in value] if isinstance(value, tuple) else value
