"""A view: which nodes decide on locks together, numbered by epoch, and who holds what when it begins.

A quorum of a view is more than half of its voters, or exactly half with the first of them: two quorums of one view
always have a voter in common, and of two nodes one can go on alone (Jajodia and Mutchler, "Dynamic voting algorithms
for maintaining the consistency of a replicated database", ACM TODS 15(2), 1990: dynamic-linear voting).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple, TypeAlias

from guthi import MalformedMessage, NodeId

__all__ = [
    "FENCE_BITS",
    "MAX_EPOCH",
    "MAX_HELD",
    "MAX_NAME_BYTES",
    "MAX_VOTERS",
    "Held",
    "Policy",
    "View",
    "ViewId",
    "Voter",
    "is_name",
    "read_policy",
]

FENCE_BITS = 32
MAX_EPOCH = (1 << 31) - 1
MAX_VOTERS = 4096
MAX_HELD = 65_536
MAX_NAME_BYTES = 255
MAX_POLICY_LOCKS = 1024


@dataclass(frozen=True, slots=True)
class Policy:
    """How a node is configured: which algorithm it uses, `default` but for the locks that have their own; its lease."""

    default: str
    own: tuple[tuple[str, str], ...] = ()
    lease_s: float = inf

    def algorithm(self, lock: str) -> str:
        """The name of the algorithm for a lock."""
        return dict(self.own).get(lock, self.default)

    def to_wire(self) -> list[Any]:
        """What `read_policy` reads."""
        return [self.default, [list(pair) for pair in self.own], self.lease_s]


class Voter(NamedTuple):
    """A member of a view. `life` grows with each start of the node: a restart has forgotten which locks it held."""

    id: NodeId
    life: int
    policy: Policy


class Held(NamedTuple):
    """A lock that is held, by which voter, under which fence."""

    lock: str
    holder: NodeId
    fence: int


class ViewId(NamedTuple):
    """Greater is newer. The maker tells apart two first views that were made in one second and never met."""

    epoch: int
    maker: NodeId


Wire: TypeAlias = list[Any]


@dataclass(frozen=True)
class View:
    """`voters` are sorted by id; `held` are the locks that go on being held in it, sorted by name."""

    id: ViewId
    voters: tuple[Voter, ...]
    held: tuple[Held, ...] = ()

    @cached_property
    def members(self) -> tuple[NodeId, ...]:
        """The ids of the voters."""
        return tuple(voter.id for voter in self.voters)

    @cached_property
    def lives(self) -> dict[NodeId, int]:
        """Which life of each node takes part."""
        return {voter.id: voter.life for voter in self.voters}

    @cached_property
    def holders(self) -> dict[str, Held]:
        """The held locks by name."""
        return {each.lock: each for each in self.held}

    @cached_property
    def policies(self) -> tuple[tuple[Policy, NodeId], ...]:
        """The different policies, each with the first voter that has it."""
        first: dict[Policy, NodeId] = {}
        for voter in self.voters:
            first.setdefault(voter.policy, voter.id)
        return tuple(first.items())

    @cached_property
    def lease_s(self) -> float:
        """The shortest lease of its voters: nobody may hold for longer without asking, as that one waits no longer."""
        return min(voter.policy.lease_s for voter in self.voters)

    def is_quorum(self, nodes: Collection[NodeId]) -> bool:
        """Whether these voters decide for all."""
        count = sum(id in nodes for id in self.members)
        return 2 * count > len(self.members) or (2 * count == len(self.members) and self.members[0] in nodes)

    def to_wire(self) -> Wire:
        """What `from_wire` reads: id, policies, voters with their policy's place, locks with their holder's."""
        places = {policy: place for place, (policy, _) in enumerate(self.policies)}
        ranks = {id: rank for rank, id in enumerate(self.members)}
        return [
            list(self.id),
            [policy.to_wire() for policy in places],
            [[voter.id, voter.life, places[voter.policy]] for voter in self.voters],
            [[each.lock, ranks[each.holder], each.fence] for each in self.held],
        ]

    @classmethod
    def from_wire(cls, wire: object) -> View:
        """Read what a peer, or this node's own file, says; raises MalformedMessage."""
        match wire:
            case [id, list(policies), list(voters), list(held)] if (
                0 < len(voters) <= MAX_VOTERS and len(policies) <= len(voters) and len(held) <= MAX_HELD
            ):
                read = [read_policy(each) for each in policies]
                found = tuple(_read_voter(each, read) for each in voters)
                view = cls(read_view_id(id), found, tuple(_read_held(each, found) for each in held))
            case _:
                raise MalformedMessage("a view is its id, policies, voters and held locks")
        if not _is_ascending(view.members) or not _is_ascending([each.lock for each in view.held]):
            raise MalformedMessage("voters or locks of a view are not sorted, or one is named twice")
        return view


def _is_ascending(values: Iterable[Any]) -> bool:
    return all(one < other for one, other in pairwise(values))


def read_view_id(wire: object) -> ViewId:
    """Raises MalformedMessage."""
    if type(wire) is list and len(wire) == 2:  # at every message: a `match` takes three times as long
        epoch, maker = wire
        if type(epoch) is int and isinstance(maker, bytes) and 0 <= epoch <= MAX_EPOCH and len(maker) == NodeId.SIZE:
            return ViewId(epoch, NodeId(maker))
    raise MalformedMessage("the id of a view is its epoch and its maker")


def is_name(value: object) -> bool:
    """Whether it can be the name of a lock."""
    if not isinstance(value, str):
        return False
    try:
        return 0 < len(value.encode()) <= MAX_NAME_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair, as the command line makes of bytes that are no UTF-8
        return False


def read_policy(wire: object) -> Policy:
    """Raises MalformedMessage."""
    match wire:
        case [str(default), list(own), float(lease_s)] if (
            is_name(default) and len(own) <= MAX_POLICY_LOCKS and lease_s > 0
        ):
            return Policy(default, tuple(_read_own(each) for each in own), lease_s)
    raise MalformedMessage("a policy is an algorithm, locks with others, and a lease")


def _read_own(wire: object) -> tuple[str, str]:
    match wire:
        case [str(lock), str(algorithm)] if is_name(lock) and is_name(algorithm):
            return lock, algorithm
    raise MalformedMessage("a policy names a lock and its algorithm")


def _read_voter(wire: object, policies: list[Policy]) -> Voter:
    match wire:
        case [bytes(id), int(life), int(place)] if len(id) == NodeId.SIZE and life >= 0 and 0 <= place < len(policies):
            return Voter(NodeId(id), life, policies[place])
    raise MalformedMessage("a voter is an id, a life and the place of a policy")


def _read_held(wire: object, voters: tuple[Voter, ...]) -> Held:
    match wire:
        case [str(lock), int(rank), int(fence)] if is_name(lock) and 0 <= rank < len(voters) and 0 <= fence < 1 << 63:
            return Held(lock, voters[rank].id, fence)
    raise MalformedMessage("a held lock is a name, the rank of its holder and a fence")
