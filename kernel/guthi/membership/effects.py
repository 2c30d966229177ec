"""What the membership machine asks of its node, besides the events of `members`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from guthi.api import Address
from guthi.membership.members import Member, MemberEvent

__all__ = [
    "Effect",
    "IdentityInUse",
    "IncompatibleMember",
    "JoinAnswered",
    "JoinRefused",
    "NameConflict",
    "NoIncarnationLeft",
    "RequestSync",
    "SendGossip",
]


@dataclass(frozen=True, slots=True)
class SendGossip:
    """Seal this message and send it to that address."""

    address: Address
    payload: bytes


@dataclass(frozen=True, slots=True)
class RequestSync:
    """Make the tables of both equal over a session (see `sync`)."""

    member: Member


@dataclass(frozen=True, slots=True)
class JoinAnswered:
    """A member answered at an address that was given to `join`, for the first time."""

    member: Member
    address: Address


@dataclass(frozen=True, slots=True)
class JoinRefused:
    """A node answered there that does not let this one in, or cannot be a member beside it, for that reason."""

    member: Member
    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class IdentityInUse:
    """Another node, of which this is the record, has the key of this one: a data_dir was copied. Said once."""

    record: Member


@dataclass(frozen=True, slots=True)
class NoIncarnationLeft:
    """Somebody lied about this node with the highest incarnation there is, so that it cannot refute this. Said once."""

    record: Member


@dataclass(frozen=True, slots=True)
class NameConflict:
    """Two present members have one name; said once for the pair, which is sorted by id."""

    first: Member
    second: Member


@dataclass(frozen=True, slots=True)
class IncompatibleMember:
    """A member was kept out, for that reason; said once a member."""

    member: Member
    reason: str


Effect: TypeAlias = (
    SendGossip
    | RequestSync
    | JoinAnswered
    | JoinRefused
    | IdentityInUse
    | NoIncarnationLeft
    | NameConflict
    | IncompatibleMember
    | MemberEvent
)
