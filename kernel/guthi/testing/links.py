"""What happens to a datagram between two machines: delay, loss, duplication, reordering, a narrow pipe.

Delay is a constant and a random part, the jitter, drawn for each datagram alone: datagrams that leave closer together
than the jitter may overtake one another; without jitter, and without `reorder`, they keep their order. Loss in bursts
is the Gilbert-Elliott model: a link is good or bad, and changes at random; a bad one loses most of what is sent.
Bandwidth is a queue that drains at a fixed rate and drops what does not fit (tail drop), and may mark beyond a length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

from guthi.errors import UsageError

__all__ = ["Bursts", "Jitter", "Link", "LinkState"]

PARETO_SHAPE = 2.5
MOST_JITTERS = 100.0


class Jitter(Enum):
    """How the random part of the delay is spread; the mean is half of `jitter_s` in each."""

    UNIFORM = "uniform"  # from 0 to jitter_s
    EXPONENTIAL = "exponential"  # mostly short, sometimes several times as long
    PARETO = "pareto"  # a heavy tail: now and then a hundred times as long

    def draw(self, random: Random) -> float:
        """A multiple of `jitter_s`."""
        return _DRAWS[self](random)


_DRAWS: dict[Jitter, Callable[[Random], float]] = {
    Jitter.UNIFORM: lambda random: random.random(),
    Jitter.EXPONENTIAL: lambda random: min(random.expovariate(2.0), MOST_JITTERS),
    Jitter.PARETO: lambda random: min((random.paretovariate(PARETO_SHAPE) - 1) * (PARETO_SHAPE - 1) / 2, MOST_JITTERS),
}


@dataclass(frozen=True, slots=True)
class Bursts:
    """Loss in bursts: the chances, for each datagram, to enter and to leave a bad spell, and to be lost in one."""

    enter: float = 0.01
    leave: float = 0.3
    loss: float = 0.8

    def __post_init__(self) -> None:
        _check_chances(self, "enter", "leave", "loss")


@dataclass(frozen=True, slots=True)
class Link:
    """One direction between two machines. Times in seconds, sizes in bytes, chances from 0 to 1.

    A datagram takes `latency_s` and a jitter that is spread as `jitter` says. With chance `reorder` it is held back by
    up to `reorder_s` more, so that later ones overtake it. `bandwidth_bytes_s` None: no limit. Datagrams over
    `mtu_bytes` are dropped. Those that heed marks (ECN, RFC 3168) get one when `mark_bytes` or more wait before them.
    """

    latency_s: float = 0.0005
    jitter_s: float = 0.001
    jitter: Jitter = Jitter.UNIFORM
    loss: float = 0.0
    bursts: Bursts | None = None
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.01
    bandwidth_bytes_s: float | None = None
    queue_bytes: int = 256 * 1024
    mtu_bytes: int = 65_507
    mark_bytes: int | None = None

    def __post_init__(self) -> None:
        _check_chances(self, "loss", "duplicate", "reorder")
        for name in ("latency_s", "jitter_s", "reorder_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is a time in seconds, 0 or more, not {getattr(self, name)}")
        for name in ("queue_bytes", "mtu_bytes"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} is a size in bytes, above 0, not {getattr(self, name)}")
        if self.mark_bytes is not None and self.mark_bytes < 0:
            raise UsageError(f"mark_bytes is a size in bytes, 0 or more, not {self.mark_bytes}; None marks nothing")
        if self.bandwidth_bytes_s is not None and not self.bandwidth_bytes_s > 0:
            raise UsageError("bandwidth_bytes_s must be above 0; None is without limit")


def _check_chances(owner: object, *names: str) -> None:
    for name in names:
        if not 0.0 <= getattr(owner, name) <= 1.0:
            raise UsageError(f"{name} is a chance, from 0 to 1, not {getattr(owner, name)}")


@dataclass(slots=True)
class LinkState:
    """A link at work: what it remembers from one datagram to the next; it counts what it drops in `dropped`.

    `is_congested` tells whether the datagram that was taken last found a queue that is to be marked.
    """

    link: Link
    dropped: Counter[str]
    in_burst: bool = False
    drains_at: float = 0.0  # when the queue of a narrow link will be empty
    is_congested: bool = False

    def arrivals(self, size_bytes: int, now: float, random: Random) -> list[float]:
        """When copies of a datagram that is sent now arrive: mostly one, none if it is lost, two if it is doubled."""
        link = self.link
        if size_bytes > link.mtu_bytes:
            return self._drop("mtu")
        queued_s = self._queue(size_bytes, now)
        if queued_s is None:
            return self._drop("queue")
        if self._is_lost(random):
            return self._drop("loss")
        copies = 2 if link.duplicate and random.random() < link.duplicate else 1
        return [now + queued_s + self._delay_s(random) for _ in range(copies)]

    def _drop(self, cause: str) -> list[float]:
        self.dropped[cause] += 1
        return []

    def _queue(self, size_bytes: int, now: float) -> float | None:
        """How long the datagram takes to get through the pipe; None if the queue is full."""
        rate = self.link.bandwidth_bytes_s
        if rate is None:
            return 0.0
        waiting_s = max(self.drains_at - now, 0.0)
        self.is_congested = self.link.mark_bytes is not None and waiting_s * rate >= self.link.mark_bytes
        if waiting_s * rate + size_bytes > self.link.queue_bytes:
            return None
        self.drains_at = now + waiting_s + size_bytes / rate
        return self.drains_at - now

    def _is_lost(self, random: Random) -> bool:
        link = self.link
        if link.bursts is not None:
            turn = link.bursts.leave if self.in_burst else link.bursts.enter
            if random.random() < turn:
                self.in_burst = not self.in_burst
            if self.in_burst and random.random() < link.bursts.loss:
                return True
        return link.loss > 0 and random.random() < link.loss

    def _delay_s(self, random: Random) -> float:
        link = self.link
        delay_s = link.latency_s + (link.jitter_s * link.jitter.draw(random) if link.jitter_s else 0.0)
        if link.reorder and random.random() < link.reorder:
            delay_s += link.reorder_s * random.random()
        return delay_s
