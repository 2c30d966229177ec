"""Decides which of two versions is the newer one: the greater number, and for one number the greater node id.

A node that restarts under its old id has forgotten what it wrote, and may give a number a second time. So each start is
a life of its own, a random word, which comes last in the order. No two writes of a network have the same stamp.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from guthi import MalformedMessage, NodeId

__all__ = ["LIFE_BYTES", "Stamp"]

LIFE_BYTES = 8
NUMBER_LIMIT = 2**62


class Stamp(NamedTuple):
    """A version: its number, the node that wrote it (its source), and the life of that node."""

    number: int
    node: NodeId
    life: bytes

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.number, bytes(self.node), self.life]

    @classmethod
    def from_wire(cls, wire: object) -> Stamp:
        """Read what a peer says; raises MalformedMessage."""
        if type(wire) is list and len(wire) == 3:  # a `match` takes four times as long, and each message has some
            number, node, life = wire
            are_bytes = type(node) is type(life) is bytes and len(node) == NodeId.SIZE and len(life) == LIFE_BYTES
            if are_bytes and type(number) is int and 0 <= number < NUMBER_LIMIT:
                return cls(number, NodeId(node), life)
        raise MalformedMessage("a version is a number, a node and its life")
