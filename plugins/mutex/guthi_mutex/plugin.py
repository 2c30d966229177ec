"""The plugin `mutex`: connects the service to the node's life and to its members' comings and goings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import guthi
from guthi_mutex.algorithm import Algorithm
from guthi_mutex.clients import ClientLocks
from guthi_mutex.counter import Counter
from guthi_mutex.errors import AlgorithmConflict, LockLost, LockNotHeld, NoQuorum, StaleFence
from guthi_mutex.fences import Fence
from guthi_mutex.hooks import MutexHooks
from guthi_mutex.keeper import Keeper
from guthi_mutex.maekawa import Maekawa
from guthi_mutex.naimi_trehel import NaimiTrehel
from guthi_mutex.occasion import Settings
from guthi_mutex.raymond import Raymond
from guthi_mutex.ricart_agrawala import RicartAgrawala
from guthi_mutex.service import MUTEX, Mutex
from guthi_mutex.suzuki_kasami import SuzukiKasami
from guthi_mutex.view import MAX_POLICY_LOCKS, Policy, is_name
from guthi_mutex.views import VIEWS, Views

if TYPE_CHECKING:
    import click

__all__ = ["MutexPlugin"]

SHIPPED: tuple[type[Algorithm], ...] = (SuzukiKasami, RicartAgrawala, Raymond, NaimiTrehel, Maekawa)
SHORTEST_LEASE_S = 0.1


@dataclass(frozen=True)
class MutexConfig:
    """The table [plugins.mutex]; `locks` gives locks an algorithm of their own."""

    algorithm: str = SuzukiKasami.name
    """The [algorithm](mutex-algorithms.md) of all locks: `suzuki-kasami`, `ricart-agrawala`, `raymond`,
    `naimi-trehel`, `maekawa`, or one that a plugin brings. Nodes that differ get `AlgorithmConflict`.
    """
    lease: guthi.Duration = 3.0
    """How long a holder may hold a lock without hearing from a majority. A lock whose holder died is free after about
    one and a half to two leases. Nodes may differ: the shortest holds for all.
    """
    turn: guthi.Duration = 0.001
    """For so long after it got a lock a node gives it to its own callers again, if they wait or come at once, though
    other nodes wait too. Longer: more entries a second where many contend, and longer waits. 0: the others are next.
    """
    quorum: int = 0
    """The fewest nodes that may begin to grant locks in a new network. 0: more than half of those that a node knows."""
    locks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Locks that have an algorithm of their own, as in `locks = { render = "raymond" }`."""

    def __post_init__(self) -> None:
        if self.lease < SHORTEST_LEASE_S:
            raise ValueError(f"lease must be at least {SHORTEST_LEASE_S:g} s")
        if self.quorum < 0:
            raise ValueError("quorum must be 0 (more than half of the known nodes) or a number of nodes")
        if len(self.locks) > MAX_POLICY_LOCKS or not all(map(is_name, self.locks)):
            raise ValueError(f"locks must name at most {MAX_POLICY_LOCKS} locks")

    @property
    def policy(self) -> Policy:
        """What others are told of it."""
        return Policy(self.algorithm, tuple(sorted(self.locks.items())), self.lease)


class MutexPlugin(guthi.Plugin):
    """Named locks, one holder at a time, fenced, safe under failure."""

    name = "mutex"
    provides = (MUTEX, VIEWS)
    hookspecs = MutexHooks
    Config: ClassVar[type] = MutexConfig

    def __init__(self, node: guthi.Node, config: MutexConfig) -> None:
        super().__init__(node, config)
        self._keeper: Keeper | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service. Raises ConfigError for an algorithm that nobody brings."""
        for error in (AlgorithmConflict, LockLost, LockNotHeld, NoQuorum, StaleFence):
            self.node.codec.register(error, f"mutex.{error.__name__}")
        self.node.codec.register(Fence, "mutex.Fence")
        if self.node.me.role is guthi.Role.CLIENT:  # it asks a peer, whatever the algorithm
            client = ClientLocks(self.node)
            stack.push_async_callback(client.leave)
            self.node.provide(MUTEX, Mutex(self.node, client, None))
            self.node.provide(VIEWS, Views(lambda _: None, self.config.lease))  # a client is in none
            return
        settings = Settings(self.config.policy, self.config.lease, self.config.quorum, self.config.turn)
        keeper = self._keeper = Keeper(self.node, settings, self._algorithms())
        stack.push_async_callback(keeper.leave)
        counter = Counter(self.node, keeper)
        stack.push_async_callback(counter.leave)
        self.node.provide(MUTEX, Mutex(self.node, keeper, counter))
        self.node.provide(VIEWS, keeper.views)

    def _algorithms(self) -> Mapping[str, type[Algorithm]]:
        brought: list[Iterable[type[Algorithm]]] = self.node.hooks.gather("mutex_algorithms")
        known = {each.name: each for each in [*SHIPPED, *(each for several in brought for each in several)]}
        for name in (self.config.algorithm, *self.config.locks.values()):
            if name not in known:
                raise guthi.ConfigError(f"[plugins.mutex]: there is no algorithm {name!r}; {_mend(name, known)}")
        return known

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi lock` and `guthi locks`."""
        from guthi_mutex.command import lock, locks

        return [lock, locks]

    def _look_around(self) -> None:
        if self._keeper is not None:
            self._keeper.look_around()

    @guthi.hookimpl
    def node_started(self) -> None:
        """A first view may be made; a node that has restarted asks to be taken in again."""
        if self._keeper is not None:
            self._keeper.joined()

    @guthi.hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        """It is to vote, if it can."""
        self._look_around()

    @guthi.hookimpl
    def member_updated(self, member: guthi.Member) -> None:
        """It may run the plugin now, or no more."""
        self._look_around()

    @guthi.hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        """It may have been left out meanwhile."""
        self._look_around()

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """What it held is free once its lease has run out."""
        self._look_around()

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """It has no vote any more."""
        self._look_around()


def _mend(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=1)
    listed = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}."
    return f"{listed} A plugin that brings one stands before 'mutex' in [node] plugins"
