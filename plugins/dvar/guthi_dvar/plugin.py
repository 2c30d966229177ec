"""The plugin `dvar`: puts the parts together, and connects them with the node's life and its members."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, ClassVar

import guthi
from guthi.calmlog import CalmLog
from guthi_dvar import errors
from guthi_dvar.coherence import Strategy
from guthi_dvar.coherent.distant import Distant
from guthi_dvar.coherent.member import member
from guthi_dvar.coherent.strategy import Coherent
from guthi_dvar.eventual import Eventual
from guthi_dvar.fetching import Fetcher
from guthi_dvar.finding import Finder
from guthi_dvar.holding import Holding
from guthi_dvar.hooks import DvarHooks
from guthi_dvar.peers import Peers, has_dvar
from guthi_dvar.publishing import Publisher
from guthi_dvar.records import Coherence
from guthi_dvar.room import Room
from guthi_dvar.service import DVAR, Dvar
from guthi_dvar.syncing import Syncer
from guthi_dvar.table import Limits
from guthi_dvar.upkeep import Upkeep
from guthi_mutex import VIEWS

if TYPE_CHECKING:
    import click

__all__ = ["DvarPlugin"]

log = logging.getLogger("guthi_dvar")


@dataclass(frozen=True)
class DvarConfig:
    """The table [plugins.dvar]."""

    sync_interval: guthi.Duration = 10.0
    """About how often a node compares what it knows with another, and fetches copies that it should have."""
    tombstones: guthi.Duration = 3600.0
    """How long a deleted name is remembered. A node that is cut off for longer may bring the variable back."""
    most_variables: int = 10_000
    """How many names a node knows, those deleted of late included."""
    most_values: int = 262_144
    """How many values with a version of their own: one a variable, one a chunk of an array."""
    most_bytes: guthi.Size = 4 << 30
    """How many bytes of values a node keeps. Beyond, it takes none for others and drops what it has only read; what
    it writes itself it keeps in any case; of a coherent variable that it owns it refuses what is too much.
    """

    def __post_init__(self) -> None:
        if self.sync_interval <= 0:
            raise ValueError("sync_interval must be more than 0 s")
        if min(self.most_variables, self.most_values, self.most_bytes) < 1:
            raise ValueError("most_variables, most_values and most_bytes must be at least 1")


class DvarPlugin(guthi.Plugin):
    """Variables and arrays that all nodes share."""

    name = "dvar"
    provides = (DVAR,)
    hookspecs = DvarHooks
    Config: ClassVar[type] = DvarConfig

    def __init__(self, node: guthi.Node, config: DvarConfig) -> None:
        super().__init__(node, config)
        self.holding: Holding | None = None
        self._syncer: Syncer | None = None
        self._upkeep: Upkeep | None = None
        self._strategies: dict[Coherence, Strategy] = {}
        self._service: Dvar | None = None
        self._make_member: Callable[[], Coherent] | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service."""
        node, config = self.node, self.config
        for name in errors.__all__:
            node.codec.register(getattr(errors, name), f"dvar.{name}")
        rng = Random(node.host.entropy(16))
        peers = Peers(node)
        limits = Limits(config.most_variables, config.most_values, config.tombstones)
        holding = self.holding = Holding(
            node, peers, limits, Room(config.most_bytes), CalmLog(log, lambda: holding.now)
        )
        fetcher, publisher = Fetcher(node, holding, peers), Publisher(node, holding, peers)
        syncer = self._syncer = Syncer(node, holding, peers, config.sync_interval, rng)
        strategies = self._strategies
        upkeep = self._upkeep = Upkeep(node, holding, strategies, config.sync_interval, rng)
        strategies[Coherence.EVENTUAL] = Eventual(node, holding, peers, fetcher, publisher, syncer, upkeep)
        strategies[Coherence.COHERENT] = Distant(node, holding, holding.shelf, peers)
        self._make_member = lambda: member(node, holding, upkeep, publisher, peers)
        service = self._service = Dvar(node, holding, Finder(holding, syncer), strategies)
        node.provide(DVAR, service)

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi var`."""
        from guthi_dvar.command import var

        return [var]

    @guthi.hookimpl
    def node_started(self) -> None:
        """From now on there are others to compare with, and to be in a view with."""
        is_member = VIEWS in self.node.services and self.node.me.role is guthi.Role.PEER
        if is_member and self._make_member is not None and self._service is not None:
            self._strategies[Coherence.COHERENT] = self._make_member()
            self._service.lease = self.node.require(VIEWS)
        if self._syncer is not None and self._upkeep is not None:
            self.node.start(self._syncer.run(), "dvar sync")
            self.node.start(self._upkeep.run(), "dvar upkeep")

    def _came(self, member: guthi.Member) -> None:
        if self._syncer is not None and self._upkeep is not None and has_dvar(member):
            self._syncer.soon(member.id)
            self._upkeep.soon()

    def _went(self) -> None:
        if self._upkeep is not None:
            self._upkeep.soon()

    @guthi.hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        """It may know variables that are not known here, and some copies belong there now."""
        self._came(member)

    @guthi.hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        """Each may have missed what the other has heard."""
        self._came(member)

    @guthi.hookimpl
    def member_suspected(self, member: guthi.Member) -> None:
        """What it kept had better be kept by another."""
        self._went()

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """What it kept is to be kept by another."""
        self._went()

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """What it kept is to be kept by another."""
        self._went()
