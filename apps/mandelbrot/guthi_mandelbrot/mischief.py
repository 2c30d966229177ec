"""What the demo does to its own nodes on request: when so much of the picture is done, some are killed, others started.

The nodes are killed as a crash would: with SIGKILL, and without a farewell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guthi.api import Address
from guthi.configuration.config import Config
from guthi.launcher import Launcher, LaunchFailed

__all__ = ["Mischief", "Troublemaker"]


@dataclass(frozen=True, slots=True)
class Mischief:
    """What happens when the part `at` (0 to 1) of the bands is done.

    `kill` of those nodes die that only help, with `kill_initiator` also the one that began the picture; `late` further
    ones are started.
    """

    kill: int = 0
    late: int = 0
    at: float = 0.3
    kill_initiator: bool = False


class Troublemaker:
    """Keeps count of the bands of one picture; `latecomers` are the nodes that are not started yet."""

    def __init__(
        self,
        mischief: Mischief,
        launcher: Launcher,
        latecomers: Sequence[Config],
        bands: int,
        tell: Callable[[str], None],
    ) -> None:
        self._mischief, self._launcher, self._latecomers, self._tell = mischief, launcher, latecomers, tell
        self._wanted = max(round(mischief.at * bands), 1)
        self._starting: list[asyncio.Task[None]] = []

    def band_done(self, done: int, initiator: str) -> None:
        """So many bands are done of a picture that this node has begun."""
        if done == self._wanted:
            helpers = [each for name, each in self._launcher.processes.items() if name != initiator]
            victims = helpers[: self._mischief.kill]
            if self._mischief.kill_initiator:
                victims.append(self._launcher.processes[initiator])
            survivors = [each for each in self._launcher.processes.values() if each not in victims]
            for victim in victims:
                victim.kill()
            entries = [each.address.from_here for each in survivors if each.address is not None]
            self._starting = [asyncio.ensure_future(self._start(config, entries)) for config in self._latecomers]

    async def _start(self, config: Config, entries: Sequence[Address]) -> None:
        try:
            node = await self._launcher.start_node(config, entries)
        except LaunchFailed as error:
            self._tell(f"guthi: {error}")
        else:
            self._tell(f"guthi: node {node.name} was started and has joined")

    async def close(self) -> None:
        """Start no more."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
