"""Decides which nodes keep copies of a value that must outlive its source, without anybody asking anybody.

Each node has a rank for each value, a hash of both (highest random weight: Thaler and Ravishankar 1998). The copies are
with the source and with the first `replicas` others; where the source is gone, with one more. Nodes that see the same
members think of the same places, and a member that comes or goes moves only the copies that concern it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from guthi import NodeId

__all__ = ["places", "ranked"]


def ranked(name: str, index: int, nodes: Iterable[NodeId]) -> list[NodeId]:
    """The nodes in the order in which they are to keep this value."""
    key = blake2b(f"{name}#{index}".encode(), digest_size=16).digest()
    return sorted(nodes, key=lambda node: (blake2b(node, key=key, digest_size=8).digest(), node))


def places(order: Sequence[NodeId], source: NodeId, replicas: int) -> list[NodeId]:
    """Who keeps a copy, of those who are present, in the order of their rank; the source first if it is one of them."""
    others = [each for each in order if each != source]
    return [source, *others[:replicas]] if len(others) < len(order) else others[: replicas + 1]
