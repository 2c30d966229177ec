"""Decides in what order peers are measured, how often, and when there is no time for another round.

A round starts every peer once, in fresh processes, in an order of its own: a ratio then compares what was measured
within the same minute, and no peer always runs behind the same other. The median is over rounds, because the same
code may be twice as fast from one start of a process to the next.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from performance.peers import Peer
from performance.processes import Child, Failed
from performance.shape import Missing

__all__ = ["Limits", "Start", "run_rounds"]

READY_S = 20.0
TRIAL_S = 150.0


@dataclass(frozen=True, slots=True)
class Limits:
    """At most so many starts of each peer; `seconds` for each work item; no round that would end after `within_s`."""

    starts: int
    seconds: float
    within_s: float


@dataclass(frozen=True, slots=True)
class Start:
    """What one start of one peer brought: figures by name, or why there are none."""

    round: int
    peer: Peer
    measures: Mapping[str, float] = field(default_factory=dict)
    missing: str = ""
    failed: str = ""


def run_rounds(peers: Sequence[Peer], limits: Limits, tell: Callable[[Start], None]) -> list[Start]:
    """Measure; a peer that is missing is tried once, one that fails goes on being tried."""
    begun_at = time.monotonic()
    done: list[Start] = []
    longest_s = 0.0
    for index in range(limits.starts):
        round_at = time.monotonic()
        if round_at + longest_s > begun_at + limits.within_s:
            break
        for peer in _order(peers, done, index):
            done.append(_start(peer, index, limits.seconds))
            tell(done[-1])
        longest_s = max(longest_s, time.monotonic() - round_at)
    return done


def _order(peers: Sequence[Peer], done: Sequence[Start], index: int) -> list[Peer]:
    missing = {start.peer for start in done if start.missing}
    started = Counter(start.peer for start in done)
    order = [peer for peer in peers if peer not in missing and started[peer] < peer.starts_at_most]
    Random(index).shuffle(order)
    return order


def _start(peer: Peer, index: int, seconds: float) -> Start:
    children: list[Child] = []
    try:
        return Start(index, peer, measures=_measure(peer, seconds, children))
    except Missing as reason:
        return Start(index, peer, missing=str(reason))
    except Failed as reason:
        return Start(index, peer, failed=str(reason))
    finally:
        for child in reversed(children):
            child.end()


def _measure(peer: Peer, seconds: float, children: list[Child]) -> dict[str, float]:
    addresses: list[str] = []
    pids: list[int] = []
    for _ in range(peer.servers):
        children.append(Child("server", peer.adapter, *addresses))
        server = children[-1].answer(READY_S)
        addresses.append(server["address"])
        pids += server["pids"]
    told = {"seconds": seconds, "bulk_bytes": peer.bulk_bytes, "pids": pids, "addresses": addresses}
    children.append(Child("client", peer.adapter, json.dumps(told)))
    measures: dict[str, float] = children[-1].answer(TRIAL_S)
    return measures
