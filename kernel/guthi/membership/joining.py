"""When each of the addresses to join through is said hello to."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from guthi.api import Address, NodeId
from guthi.membership.settings import Discovery, GossipSettings

__all__ = ["JoinList", "jittered"]


@dataclass(slots=True)
class _Attempt:
    """When one address is next said hello to, and who answered there."""

    due: float
    delay_s: float
    answered_by: NodeId | None = None


class JoinList:
    """The addresses given to `join`, and when each is said hello to.

    Impatient (with back-off) until the first answer, with discovery STATIC until the address's own answer; then
    slow, so that networks that were started apart become one, and a neighbour that restarted is found again.
    """

    def __init__(self, rng: random.Random, settings: GossipSettings) -> None:
        self._rng = rng
        self._settings = settings
        self._attempts: dict[Address, _Attempt] = {}
        self.deadline: float | None = None
        """When `due` is to be asked next; kept, because the driver asks each turn."""

    def add(self, address: Address, now: float) -> None:
        """Say hello there at once, and then until somebody answers."""
        self._attempts[address] = _Attempt(due=now, delay_s=self._settings.join_retry_s)
        self._look_ahead()

    def cross_off(self, addresses: Iterable[Address]) -> None:
        """Say hello there no more: these are our own, or nobody is looked for there."""
        for address in addresses:
            self._attempts.pop(address, None)
        self._look_ahead()

    def clear(self) -> None:
        """Say hello to nobody any more."""
        self._attempts.clear()
        self._look_ahead()

    def answered(self, addresses: Iterable[Address], id: NodeId) -> list[Address]:
        """This member lives at these addresses; returns those of the list of which that is new."""
        news = []
        for address in addresses:
            attempt = self._attempts.get(address)
            if attempt is not None and attempt.answered_by != id:
                attempt.answered_by = id
                news.append(address)
        return news

    def due(self, now: float, is_present: Callable[[NodeId], bool]) -> list[Address]:
        """The addresses to say hello to now: those where nobody lives who is still present."""
        due = []
        is_joined = any(attempt.answered_by is not None for attempt in self._attempts.values())
        for address, attempt in self._attempts.items():
            if now >= attempt.due:
                attempt.due = now + jittered(self._rng, self._delay_s(attempt, is_joined))
                if attempt.answered_by is None or not is_present(attempt.answered_by):
                    due.append(address)
        self._look_ahead()
        return due

    def _look_ahead(self) -> None:
        self.deadline = min((attempt.due for attempt in self._attempts.values()), default=None)

    def _delay_s(self, attempt: _Attempt, is_joined: bool) -> float:
        is_static = self._settings.discovery is Discovery.STATIC
        if attempt.answered_by is not None or (is_joined and not is_static):
            return self._settings.rejoin_interval_s
        delay_s = attempt.delay_s
        attempt.delay_s = min(2 * delay_s, self._settings.join_retry_limit_s)
        return delay_s


def jittered(rng: random.Random, delay_s: float) -> float:
    """Up to a quarter more or less, so that nodes started together do not act together."""
    return delay_s * rng.uniform(0.75, 1.25)
