"""What the membership machine asks of its node, besides the events of `members`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from guthi.api import Address
from guthi.membership.members import Member, MemberEvent

__all__ = ["Effect", "IncompatibleMember", "JoinAnswered", "NameConflict", "RequestSync", "SendGossip"]


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
class NameConflict:
    """Two present members have one name; said once for the pair, which is sorted by id."""

    first: Member
    second: Member


@dataclass(frozen=True, slots=True)
class IncompatibleMember:
    """A member was kept out, for that reason; said once a member."""

    member: Member
    reason: str


Effect: TypeAlias = SendGossip | RequestSync | JoinAnswered | NameConflict | IncompatibleMember | MemberEvent
