"""The plugin `health`: which detector runs, and what the node's life and its members' mean to it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import guthi
from guthi_health.choosing import choose, settings_of
from guthi_health.detector import Detector
from guthi_health.hooks import HealthHooks
from guthi_health.service import HEALTH, Health, Pending

if TYPE_CHECKING:
    import click

__all__ = ["HealthPlugin"]

FOLDER, FILE = "health", "pending.sqlite"


@dataclass(frozen=True)
class HealthConfig:
    """The table [plugins.health]. `interval` and `timeout` None: as the detector has them."""

    detector: str = "echo"
    """The [failure detector](health.md#detectors): `echo`, `swim`, `phi-accrual`, or one that a plugin brings."""
    interval: guthi.Duration | None = None
    """How often the detector asks; none: its own, `20s` for `echo`, `700ms` for `swim`, `1s` for `phi-accrual`."""
    timeout: guthi.Duration | None = None
    """How long it waits for an answer; none: its own, `10s` for `echo`, `350ms` for `swim`, `5s` for `phi-accrual`."""
    most_events: int = 10_000
    """How many [pending events](health.md#pending-events) this node keeps at most."""
    most_bytes: guthi.Size = 256 << 20
    """How many bytes of them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else the detector can be told, as in `settings = { tries = 5 }`; see [health](health.md#detectors)."""

    def __post_init__(self) -> None:
        if self.most_events < 0:
            raise ValueError("most_events must be 0 or more")


class HealthPlugin(guthi.Plugin):
    """Failure detectors, callbacks, pending events."""

    name = "health"
    provides = (HEALTH,)
    hookspecs = HealthHooks
    Config = HealthConfig

    def __init__(self, node: guthi.Node, config: HealthConfig) -> None:
        super().__init__(node, config)
        self._health: Health | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Choose the detector, load durable events, watch whoever is there."""
        folder, config = self.node.config.node.data_dir, self.config
        file = folder / FOLDER / FILE if folder is not None else None
        pending = Pending(self.node, config.most_events, config.most_bytes, file)
        self._health = health = Health(self.node, self._detector(), pending)
        self.node.provide(HEALTH, health)
        stack.callback(health.watch.close)
        stack.callback(health.callbacks.close)
        stack.push_async_callback(pending.close)
        await pending.keeper.open()
        for member in self.node.members:
            health.watch.present(member)

    def _detector(self) -> Detector:
        config = self.config
        brought = [each for some in self.node.hooks.gather("failure_detectors") for each in some]
        chosen = choose(config.detector, brought)
        settings = settings_of(chosen, config.settings, config.interval, config.timeout)
        return chosen(self.node.id, settings, random.Random(self.node.host.entropy(16)))

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi health`."""
        from guthi_health.command import health

        return [health]

    def _present(self, member: guthi.Member) -> None:
        if self._health is not None and member.is_present:
            self._health.watch.present(member)

    def _gone(self, member: guthi.Member, reason: str) -> None:
        if self._health is not None:
            self._health.watch.gone(member)
            self._health.pending.keeper.lost(member, reason)

    @guthi.hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        """Somebody more to watch."""
        self._present(member)

    @guthi.hookimpl
    def member_updated(self, member: guthi.Member) -> None:
        """It may answer pings now, where it did not before."""
        self._present(member)

    @guthi.hookimpl
    def member_suspected(self, member: guthi.Member) -> None:
        """By this node's detector, or by another's."""
        self._present(member)

    @guthi.hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        """It is watched again."""
        self._present(member)

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """It is watched no more, what it had in hand is free, and whoever waits for this is called."""
        self._gone(member, f"{member.name} failed")
        if self._health is not None:
            self._health.callbacks.failed(member)

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """It is watched no more, and what it had in hand is free."""
        self._gone(member, f"{member.name} left")
