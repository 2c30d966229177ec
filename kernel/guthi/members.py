"""What is known about members: their records, which of two records wins, what a change means, and the table of all.

A record is what a member says about itself, and what others say about its state. SWIM's rule (Das, Gupta and
Motivala 2002, section 4.2) makes the spreading of records order-free: a higher incarnation wins, and within one
incarnation the graver state wins. Only the member itself raises its incarnation, so only it can take back what
others say of it, and a merge of records gives the same table in whatever order they arrive, and however often.

On the wire a record is a list of ten positions in the order of the fields of `Member`; a state or role is its number,
an address is [host, port], a plugin is [name, version]. A later protocol keeps this shape, so that a member which
speaks another protocol can be named when it is kept out.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage
from guthi.identity import node_id_of

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
    "Roster",
    "changes",
    "supersedes",
]

INCARNATION_LIMIT = 2**63
TEXT_LIMIT_CHARACTERS = 64
ADDRESS_LIMIT = 16
PLUGIN_LIMIT = 64


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


@dataclass(frozen=True, slots=True)
class Member:
    """One member's record.

    `addresses` are literal IP addresses, the preferred one first; `plugins` are (name, version), sorted by name;
    `protocol` is the kernel's wire protocol version. `id` follows from `public_key` (X25519).
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

    @property
    def is_present(self) -> bool:
        """ALIVE, or only suspected of not being so: it is still spoken to."""
        return self.state is MemberState.ALIVE or self.state is MemberState.SUSPECT

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads: numbers, text, bytes and lists only."""
        return [
            bytes(self.id),
            self.name,
            [list(address) for address in self.addresses],
            self.zone,
            self.role.value,
            self.incarnation,
            self.state.value,
            self.public_key,
            self.protocol,
            [list(plugin) for plugin in self.plugins],
        ]

    @classmethod
    def from_wire(cls, wire: object) -> Member:
        """Read a record of a peer; raises MalformedMessage unless every part has its type and its bounds."""
        parts = _items(wire, "record", 10, 10)
        identity, name, addresses, zone, role, incarnation, state, public_key, protocol, plugins = parts
        if type(identity) is not bytes or type(public_key) is not bytes or identity != node_id_of(public_key):
            raise MalformedMessage("a record's id is not the hash of its public key")
        return cls(
            id=NodeId(identity),
            name=_text(name, "name", shortest=1),
            addresses=tuple(_address(item) for item in _items(addresses, "addresses", 1, ADDRESS_LIMIT)),
            zone=_text(zone, "zone"),
            role=Role(_number(role, "role", len(Role))),
            incarnation=_number(incarnation, "incarnation", INCARNATION_LIMIT),
            state=MemberState(_number(state, "state", len(MemberState))),
            public_key=public_key,
            protocol=_number(protocol, "protocol", 2**16),
            plugins=_plugins(plugins),
        )


def _items(value: object, what: str, fewest: int, most: int) -> list[Any]:
    if not isinstance(value, list) or not fewest <= len(value) <= most:
        raise MalformedMessage(f"{what} is not a list of {fewest} to {most} items")
    return value


def _number(value: object, what: str, limit: int) -> int:
    # `type` and not `isinstance`: CBOR's true and false are no numbers.
    if type(value) is not int or not 0 <= value < limit:
        raise MalformedMessage(f"{what} is not a whole number below {limit}")
    return value


def _text(value: object, what: str, shortest: int = 0) -> str:
    if type(value) is not str or not shortest <= len(value) <= TEXT_LIMIT_CHARACTERS or not value.isprintable():
        raise MalformedMessage(f"{what} is not {shortest} to {TEXT_LIMIT_CHARACTERS} printable characters")
    return value


def _address(wire: object) -> Address:
    host, port = _items(wire, "address", 2, 2)
    try:
        ip_address(_text(host, "host", shortest=1))
    except ValueError:
        # A name would have to be resolved at each send; only literal addresses travel.
        raise MalformedMessage("host is not an IP address") from None
    if _number(port, "port", 2**16) == 0:
        raise MalformedMessage("port is zero")
    return Address(host, port)


def _plugins(wire: object) -> tuple[tuple[str, str], ...]:
    pairs = [_items(item, "plugin", 2, 2) for item in _items(wire, "plugins", 0, PLUGIN_LIMIT)]
    plugins = tuple((_text(name, "plugin name", 1), _text(version, "plugin version")) for name, version in pairs)
    names = [name for name, _ in plugins]
    if names != sorted(set(names)):
        raise MalformedMessage("plugins are not sorted by name, or one is named twice")
    return plugins


def supersedes(new: Member, old: Member) -> bool:
    """True when `new` wins over `old`, a record of the same member, by SWIM's order."""
    return (new.incarnation, new.state.value) > (old.incarnation, old.state.value)


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
    if old is not None and old.state is new.state:
        said_something = replace(old, incarnation=new.incarnation) != new
        return [MemberUpdated(new)] if said_something and new.is_present else []
    before = old.state if old is not None else _LEFT
    return [event(new) for event in _MEANING.get((before, new.state), ())]


class Roster:
    """The newest record of every member, `me` included, with the indexes that are asked for.

    `hearsay` are members of whom we learnt only when they were gone. They are listed for people, but never passed
    on: else two nodes that forget at different times would remind one another of a dead member for ever.
    """

    def __init__(self, me: Member) -> None:
        self._members: dict[NodeId, Member] = {me.id: me}
        self._present: list[NodeId] = []
        self._names: dict[str, set[NodeId]] = {me.name: {me.id}}
        self._gone_since: dict[NodeId, float] = {}
        self.hearsay: set[NodeId] = set()
        self.members: Mapping[NodeId, Member] = MappingProxyType(self._members)

    @property
    def present(self) -> Sequence[NodeId]:
        """Ids of all others that are present, sorted."""
        return self._present

    def failed(self) -> list[NodeId]:
        """Ids of all that failed, sorted."""
        return sorted(id for id in self._gone_since if self._members[id].state is MemberState.FAILED)

    def named(self, name: str) -> list[Member]:
        """All of that name, those present first, then by id."""
        found = (self._members[id] for id in sorted(self._names.get(name, ())))
        return sorted(found, key=lambda member: not member.is_present)

    def put(self, member: Member, now: float) -> None:
        """Take a record of another member in place of what was known of it."""
        old = self._members.get(member.id)
        self._index(member, old)
        if old is None and not member.is_present:
            self.hearsay.add(member.id)
        was_present = old is not None and old.is_present
        if member.is_present and not was_present:
            self._arrived(member.id)
        elif not member.is_present and (was_present or old is None):
            self._went(member.id, now)

    def put_me(self, me: Member) -> None:
        """Take a new record of this node itself, which is never among the present or the failed."""
        self._index(me, self._members[me.id])

    def forget(self, gone_before: float) -> list[NodeId]:
        """Drop those that went before that time, and say who they were, sorted."""
        forgotten = sorted(id for id, since in self._gone_since.items() if since < gone_before)
        for id in forgotten:
            self._unname(self._members.pop(id))
            del self._gone_since[id]
            self.hearsay.discard(id)
        return forgotten

    def _index(self, member: Member, old: Member | None) -> None:
        self._members[member.id] = member
        if old is None or old.name != member.name:
            self._unname(old)
            self._names.setdefault(member.name, set()).add(member.id)

    def _arrived(self, id: NodeId) -> None:
        insort(self._present, id)
        self._gone_since.pop(id, None)
        self.hearsay.discard(id)

    def _went(self, id: NodeId, now: float) -> None:
        self._gone_since[id] = now
        if id not in self.hearsay:
            del self._present[bisect_left(self._present, id)]

    def _unname(self, member: Member | None) -> None:
        if member is not None:
            namesakes = self._names[member.name]
            namesakes.discard(member.id)
            if not namesakes:
                del self._names[member.name]
