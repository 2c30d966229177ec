"""What the members of a view tell one another, and what is refused there.

| message   | from, to             | meaning                                                                        |
|-----------|----------------------|--------------------------------------------------------------------------------|
| Presence  | anyone               | which life of a node this is, its policy, which view it is in; may ask back    |
| Prepare   | proposer, voters and newcomers | a view is to follow `view`; promise, and grant nothing more in it   |
| Promise   | to the proposer      | promised; what was accepted before; which locks the promiser holds             |
| Propose   | proposer, old voters | this is the next view                                                          |
| Accepted  | to the proposer      | accepted                                                                       |
| Refused   | to the proposer      | a greater ballot was promised, or a lease that was given has yet to run out    |
| Installed | proposer, everyone   | a majority has accepted this view; also said to whoever shows that it is behind |
| Renew     | user, voters         | do not drop me for a lease from now on                                         |
| Renewed   | to the user          | agreed; `sent_at` is the user's own, given back                                |
| Carried   | member, member       | message number `number` of the view (see `channels`), about a lock             |
| Received  | to its sender        | all numbers below `number` have arrived                                        |

On the wire each is a list: its code, then its fields. A view that is None is the one before any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from guthi import MalformedMessage, NodeId
from guthi_mutex.view import MAX_HELD, Policy, View, ViewId, is_name, read_policy, read_view_id

__all__ = [
    "BLANK",
    "Accepted",
    "Ballot",
    "Carried",
    "Installed",
    "Message",
    "Prepare",
    "Presence",
    "Promise",
    "Propose",
    "Received",
    "Refused",
    "Renew",
    "Renewed",
    "Vote",
    "decode",
    "encode",
    "read_ballot",
    "read_vote",
]

BLANK = ViewId(0, NodeId(bytes(NodeId.SIZE)))
"""The view before any."""


class Ballot(NamedTuple):
    """A number of a proposal, different for each; greater goes before."""

    round: int
    proposer: NodeId


class Vote(NamedTuple):
    """Which view was accepted, under which ballot."""

    ballot: Ballot
    view: View


@dataclass(frozen=True, slots=True)
class Presence:
    life: int
    policy: Policy
    view_id: ViewId
    is_blank: bool  # it knows of no view
    asks: bool


@dataclass(frozen=True, slots=True)
class Prepare:
    view: View | None
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Promise:
    view_id: ViewId
    ballot: Ballot
    life: int
    policy: Policy
    floor: int  # the greatest epoch that the promiser has heard of
    vote: Vote | None
    held: tuple[tuple[str, int], ...]  # names and fences


@dataclass(frozen=True, slots=True)
class Propose:
    view_id: ViewId
    ballot: Ballot
    view: View


@dataclass(frozen=True, slots=True)
class Accepted:
    view_id: ViewId
    ballot: Ballot


@dataclass(frozen=True, slots=True)
class Refused:
    view_id: ViewId
    ballot: Ballot
    promised: Ballot
    wait_ms: int


@dataclass(frozen=True, slots=True)
class Installed:
    view: View


@dataclass(frozen=True, slots=True)
class Renew:
    view_id: ViewId
    sent_at: float


@dataclass(frozen=True, slots=True)
class Renewed:
    view_id: ViewId
    sent_at: float


@dataclass(frozen=True, slots=True)
class Carried:
    view_id: ViewId
    number: int
    received: int  # as in Received, so that an answer acknowledges
    lock: str
    body: Any


@dataclass(frozen=True, slots=True)
class Received:
    view_id: ViewId
    number: int


Message: TypeAlias = (
    Presence | Prepare | Promise | Propose | Accepted | Refused | Installed | Renew | Renewed | Carried | Received
)

_KINDS: tuple[type[Message], ...] = (
    Presence,
    Prepare,
    Promise,
    Propose,
    Accepted,
    Refused,
    Installed,
    Renew,
    Renewed,
    Carried,
    Received,
)
_FIELDS = MappingProxyType({kind: tuple(each.name for each in fields(kind)) for kind in _KINDS})
_CODES = MappingProxyType({kind: (code, attrgetter(*_FIELDS[kind])) for code, kind in enumerate(_KINDS)})
_PLAIN = frozenset({int, str, bool, float, bytes, type(None)})


def encode(message: Message) -> list[Any]:
    """What `decode` reads."""
    code, values = _CODES[type(message)]
    read = values(message)
    return [code, *map(_plain, read if isinstance(read, tuple) else (read,))]


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, View | Policy):
        return value.to_wire()
    if isinstance(value, NodeId):
        return bytes(value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def decode(wire: object) -> Message:
    """Read what a peer says; raises MalformedMessage."""
    if type(wire) is not list or not wire or type(wire[0]) is not int or not 0 <= wire[0] < len(_KINDS):
        raise MalformedMessage("no message of a view")
    code, *values = wire
    kind, readers = _FORMS[code]
    if len(readers) != len(values):
        raise MalformedMessage(f"a {kind.__name__} has {len(readers)} fields, not {len(values)}")
    return kind(*[read(value) for read, value in zip(readers, values, strict=True)])


def read_ballot(wire: object) -> Ballot:
    """Raises MalformedMessage."""
    match wire:
        case [int(round), bytes(proposer)] if 0 <= round < 1 << 62 and len(proposer) == NodeId.SIZE:
            return Ballot(round, NodeId(proposer))
    raise MalformedMessage("a ballot is a round and a proposer")


def read_vote(wire: object) -> Vote | None:
    """Raises MalformedMessage."""
    match wire:
        case None:
            return None
        case [ballot, view]:
            return Vote(read_ballot(ballot), View.from_wire(view))
    raise MalformedMessage("a vote is a ballot and a view")


def _read_held(wire: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(wire, list) or len(wire) > MAX_HELD:
        raise MalformedMessage("held locks are a list")
    return tuple(_read_pair(each) for each in wire)


def _read_pair(wire: object) -> tuple[str, int]:
    match wire:
        case [str(lock), int(fence)] if is_name(lock) and 0 <= fence < 1 << 63:
            return lock, fence
    raise MalformedMessage("a held lock is a name and a fence")


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise MalformedMessage("not a whole number of 63 bits")
    return value


def _moment(value: object) -> float:
    if type(value) is not float:
        raise MalformedMessage("not a moment")
    return value


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise MalformedMessage("neither true nor false")
    return value


def _lock(value: object) -> str:
    if not is_name(value):
        raise MalformedMessage("not the name of a lock")
    return str(value)


_READERS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "asks": _flag,
        "ballot": read_ballot,
        "body": lambda value: value,
        "floor": _number,
        "held": _read_held,
        "is_blank": _flag,
        "life": _number,
        "lock": _lock,
        "number": _number,
        "policy": read_policy,
        "promised": read_ballot,
        "received": _number,
        "sent_at": _moment,
        "view": View.from_wire,
        "view_id": read_view_id,
        "vote": read_vote,
        "wait_ms": _number,
    }
)


def _view_or_none(value: object) -> View | None:
    return None if value is None else View.from_wire(value)


def _reader(kind: type[Message], name: str) -> Callable[[Any], Any]:
    return _view_or_none if name == "view" and kind is Prepare else _READERS[name]


_FORMS = tuple((kind, tuple(_reader(kind, name) for name in _FIELDS[kind])) for kind in _KINDS)
