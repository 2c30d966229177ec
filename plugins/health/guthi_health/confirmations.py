"""How accusations of the suspected are spread from node to node, so that all can count who has accused independently.

The kernel spreads that a member is suspected, with its first accuser; it need not care who else agrees. Lifeguard does
(see `suspicion`). So accusations are spread by an epidemic of their own, with memberlist's LAN figures: each 200 ms to
three members at random, each accusation 4·log10(N) times by each node, while there are any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from guthi import MalformedMessage, NodeId

__all__ = ["MOST_IN_A_NOTE", "Accusation", "Confirmations"]

ROUND_S = 0.2
FANOUT = 3
REPEATS = 4
MOST_IN_A_NOTE = 16  # 47 bytes each: a note stays below 900 bytes
MOST_WAITING = 4096


class Accusation(NamedTuple):
    """`accuser` has probed `accused` in vain, while that said of itself that it was of this incarnation."""

    accused: NodeId
    incarnation: int
    accuser: NodeId


class Confirmations:
    """The accusations that a node still passes on; of too many the longest told is forgotten."""

    def __init__(self) -> None:
        self._left: dict[Accusation, int] = {}
        self.round_at: float | None = None

    def add(self, accusation: Accusation, member_count: int, now: float) -> None:
        """Pass it on from now on."""
        if len(self._left) >= MOST_WAITING:
            del self._left[min(self._left, key=self._left.__getitem__)]
        self._left[accusation] = REPEATS * math.ceil(math.log10(member_count + 1))
        if self.round_at is None:
            self.round_at = now + ROUND_S

    def forget(self, accused: NodeId) -> None:
        """Whatever is said of it is out of date."""
        for accusation in [each for each in self._left if each.accused == accused]:
            del self._left[accusation]

    def take(self) -> list[Accusation]:
        """What goes into the next note, the least told first."""
        chosen = list(self._left)
        if len(chosen) > MOST_IN_A_NOTE:
            chosen = sorted(chosen, key=lambda each: -self._left[each])[:MOST_IN_A_NOTE]
        for each in chosen:
            self._left[each] -= 1
            if not self._left[each]:
                del self._left[each]
        return chosen

    def round_done(self, now: float) -> None:
        """The next round follows, if anything is left to tell."""
        self.round_at = now + ROUND_S if self._left else None


def to_wire(accusations: Sequence[Accusation]) -> list[list[Any]]:
    return [[bytes(each.accused), each.incarnation, bytes(each.accuser)] for each in accusations]


def from_wire(value: Any) -> list[Accusation]:
    if not isinstance(value, list) or len(value) > MOST_IN_A_NOTE:
        raise MalformedMessage(f"a note of swim is a list of at most {MOST_IN_A_NOTE} accusations")
    found = []
    for each in value:
        match each:
            case [bytes(accused), int(incarnation), bytes(accuser)] if len(accused) == len(accuser) == NodeId.SIZE:
                found.append(_accusation(accused, incarnation, accuser))
            case _:
                raise MalformedMessage("an accusation is the accused, its incarnation, and the accuser")
    return found


@lru_cache(maxsize=256)
def _accusation(accused: bytes, incarnation: int, accuser: bytes) -> Accusation:
    """Made once: while anybody is suspected, each node hears the same few accusations dozens of times."""
    return Accusation(NodeId(accused), incarnation, NodeId(accuser))
