"""What a member's record says, which of two records wins, and what a change from one to the other means.

A record is what a member says about itself, and what others say about its state. SWIM's rule (Das, Gupta and
Motivala 2002, section 4.2) makes the spreading of records order-free: a higher incarnation wins, and within one
incarnation the graver state wins. Only the member itself raises its incarnation, so only it can take back what
others say of it, and a merge of records gives the same table in whatever order they arrive, and however often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import blake2b
from struct import Struct

from guthi.api import Address, NodeId
from guthi.membership.verdict import Verdict

__all__ = [
    "INCARNATION_LIMIT",
    "Member",
    "MemberEvent",
    "MemberFailed",
    "MemberJoined",
    "MemberLeft",
    "MemberRecovered",
    "MemberState",
    "MemberSuspected",
    "MemberUpdated",
    "Role",
    "changes",
    "supersedes",
]

INCARNATION_LIMIT = 2**63

_version = Struct(">QB")


class Role(Enum):
    """A PEER is given work; a CLIENT, such as the command line, sees everything and is given none."""

    PEER = 0
    CLIENT = 1


class MemberState(Enum):
    """From the best to the gravest; within one incarnation the graver wins."""

    ALIVE = 0
    SUSPECT = 1
    FAILED = 2
    LEFT = 3


@dataclass(frozen=True, slots=True, weakref_slot=True)  # `records` knows those that somebody has
class Member:
    """One member's record.

    `addresses` are literal IP addresses, the preferred one first; `plugins` are (name, version), sorted by name;
    `protocol` is the kernel's wire protocol version; `verdict` says why it is SUSPECT or FAILED, and is None else. `id`
    follows from `public_key` (X25519). `version` is the incarnation and the state as nine bytes, which compare in
    SWIM's order; `fingerprint` is a hash of both and the id.
    """

    id: NodeId
    name: str
    addresses: tuple[Address, ...]
    zone: str
    role: Role
    incarnation: int
    state: MemberState
    public_key: bytes
    protocol: int
    plugins: tuple[tuple[str, str], ...]
    verdict: Verdict | None = None
    version: bytes = field(init=False, repr=False, compare=False)
    fingerprint: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Kept, because both are asked for far more often than records are made.
        object.__setattr__(self, "version", _version.pack(self.incarnation, self.state.value))
        hashed = blake2b(self.id + self.version, digest_size=16).digest()
        object.__setattr__(self, "fingerprint", int.from_bytes(hashed, "big"))

    def __hash__(self) -> int:
        # Two records of one version are as good as never unequal, and hashing all fields takes twenty times as long.
        return self.fingerprint

    @property
    def is_present(self) -> bool:
        """ALIVE, or only suspected of not being so: it is still spoken to."""
        return self.state is MemberState.ALIVE or self.state is MemberState.SUSPECT


def supersedes(new: Member, old: Member) -> bool:
    """True when `new` wins over `old`, a record of the same member, by SWIM's order."""
    return new.version > old.version


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """Something happened to another member; `member` is its record afterwards."""

    member: Member


class MemberJoined(MemberEvent):
    """It was unknown, or had left, and is present."""

    __slots__ = ()


class MemberUpdated(MemberEvent):
    """It goes on being present, and says something new about itself: other plugins, addresses, name or zone."""

    __slots__ = ()


class MemberSuspected(MemberEvent):
    """A failure detector doubts that it is alive; it can still refute that."""

    __slots__ = ()


class MemberFailed(MemberEvent):
    """A failure detector has given it up."""

    __slots__ = ()


class MemberRecovered(MemberEvent):
    """It was suspected or given up, and has shown that it is alive."""

    __slots__ = ()


class MemberLeft(MemberEvent):
    """It said goodbye."""

    __slots__ = ()


_ALIVE, _SUSPECT, _FAILED, _LEFT = MemberState

# What a change of state means. An unknown member counts as one that has left; a pair not listed means nothing.
_MEANING: Mapping[tuple[MemberState, MemberState], tuple[type[MemberEvent], ...]] = {
    (_LEFT, _ALIVE): (MemberJoined,),
    (_LEFT, _SUSPECT): (MemberJoined, MemberSuspected),
    (_ALIVE, _SUSPECT): (MemberSuspected,),
    (_ALIVE, _FAILED): (MemberFailed,),
    (_ALIVE, _LEFT): (MemberLeft,),
    (_SUSPECT, _ALIVE): (MemberRecovered,),
    (_SUSPECT, _FAILED): (MemberFailed,),
    (_SUSPECT, _LEFT): (MemberLeft,),
    (_FAILED, _ALIVE): (MemberRecovered,),
    (_FAILED, _SUSPECT): (MemberRecovered, MemberSuspected),
    (_FAILED, _LEFT): (MemberLeft,),
}


def changes(old: Member | None, new: Member) -> list[MemberEvent]:
    """The events that tell an observer who saw `old` (None: nothing, or only that it was gone) of `new`."""
    if old is None and new.state is _ALIVE:
        return [MemberJoined(new)]  # the table says the same, but a node that joins a large network asks very often
    if old is not None and old.state is new.state:
        said_something = replace(old, incarnation=new.incarnation, verdict=new.verdict) != new
        return [MemberUpdated(new)] if said_something and new.is_present else []
    before = old.state if old is not None else _LEFT
    return [event(new) for event in _MEANING.get((before, new.state), ())]
