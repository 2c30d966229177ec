"""Decides what time the network has, from how far the wall clocks of its nodes are apart.

No clock is right by itself, so nodes agree on one that none of them has to have:

| who knows                                   | what this node adds to its own wall clock                          |
|---------------------------------------------|--------------------------------------------------------------------|
| this node has asked an NTP server           | what the server says                                               |
| else, some peers have                       | the median of what they would show, as seen from here              |
| else                                        | the median of all clocks, its own included                         |

A median is moved by no minority, however wrong its clocks are. Offsets between two nodes come from echoes by NTP's four
moments (`ClockFilter`; RFC 5905, sections 8 and 10), and lie within a bound of the truth; so do the times of two nodes
that see the same peers: within twice the greatest bound. One whose bound is wider than a second is left out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from statistics import median

from guthi import NodeId
from guthi_health import ClockFilter, ClockOffset, ClockSample

__all__ = ["ClockEnsemble"]

WIDEST_BOUND_S = 1.0
MOST_PEERS = 64
FORGOTTEN_AFTER_S = 600.0


@dataclass(slots=True)
class _Peer:
    """The echoes of one peer, and what a server has told it to add to its clock, if one has."""

    filter: ClockFilter = field(default_factory=ClockFilter)
    served_s: float | None = None
    heard_at: float = 0.0


class ClockEnsemble:
    """The clocks that this node has heard of. `now` is loop time."""

    def __init__(self) -> None:
        self._peers: OrderedDict[NodeId, _Peer] = OrderedDict()
        self.served_s: float | None = None
        """What an NTP server says is to be added to this node's clock; None without one."""

    def heard(self, peer: NodeId, sample: ClockSample, served_s: float | None, now: float) -> None:
        """An echo of a peer has come back, with what its own server has told it."""
        known = self._peers.setdefault(peer, _Peer())
        known.filter.add(sample, now)
        known.served_s, known.heard_at = served_s, now
        self._peers.move_to_end(peer)
        if len(self._peers) > MOST_PEERS:
            self._peers.popitem(last=False)

    def lost(self, peer: NodeId) -> None:
        """It has failed or left; its clock may be set while it is away."""
        self._peers.pop(peer, None)

    def offset(self, peer: NodeId, now: float) -> ClockOffset | None:
        """How far a peer's wall clock is ahead of this node's; None while that is not known."""
        known = self._peers.get(peer)
        return known.filter.offset(now) if known is not None else None

    def correction_s(self, now: float) -> float:
        """What is to be added to this node's wall clock, so that it shows the network's time."""
        if self.served_s is not None:
            return self.served_s
        clocks = [
            (offset.offset_s, peer.served_s)
            for peer in self._peers.values()
            if now - peer.heard_at <= FORGOTTEN_AFTER_S
            and (offset := peer.filter.offset(now)) is not None
            and offset.bound_s <= WIDEST_BOUND_S
        ]
        served = [offset_s + served_s for offset_s, served_s in clocks if served_s is not None]
        return median(served) if served else median([0.0, *(offset_s for offset_s, _ in clocks)])
