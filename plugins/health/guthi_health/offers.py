"""Decides whom a keeper tells, and when, of which topics something is free.

Not all at once: the nodes are told in turn, so many a round, and of so many topics; to all, before other topics are
chosen. Were both turned at once, there could be nodes that never hear of some topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from guthi import Member, MemberState, Node, Role

__all__ = ["OFFER", "OFFERED_TO", "OFFERED_TOPICS", "Offers", "in_turn"]

OFFER = "health.offer"
OFFERED_TO, OFFERED_TOPICS = 64, 16  # a round, in turn

T = TypeVar("T")


class Offers:
    """Of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._round = 0

    def send(self, topics: Sequence[str]) -> None:
        """One round, to this node and others, by datagrams: who has a hand free claims."""
        others = [each.id for each in self._node.members if _takes_events(each)]
        rounds = max(1, -(-len(others) // OFFERED_TO))
        chosen = in_turn(topics, OFFERED_TOPICS, self._round // rounds)
        for peer in (self._node.id, *in_turn(others, OFFERED_TO, self._round)):
            for topic in chosen:
                self._node.send_datagram(peer, OFFER, topic)
        self._round += 1


def _takes_events(member: Member) -> bool:
    is_peer = member.role is Role.PEER and member.state is MemberState.ALIVE
    return is_peer and any(name == "health" for name, _ in member.plugins)


def in_turn(choices: Sequence[T], count: int, round: int) -> list[T]:
    """So many of them, in the next round the following ones."""
    if len(choices) <= count:
        return list(choices)
    return [choices[(round * count + place) % len(choices)] for place in range(count)]
