"""What a member's record looks like on the wire, and what is refused there.

A record is the CBOR list of nine positions, in the order of the fields of `Member` without the id, which is the hash of
the public key; a state or role is its number, an address is [host, port], a plugin is [name, version]. One that is
SUSPECT or FAILED has as tenth the verdict, [id of the accuser, path, evidence, health]. A later protocol keeps this
shape, so that a member which speaks another protocol can be named when it is kept out.

In messages a record travels as a byte string. So one that somebody in this process has is known by its bytes, and is
neither decoded nor checked again: in a network of n members each node gets each record many times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from ipaddress import ip_address
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, WeakValueDictionary

import cbor2

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage
from guthi.membership.members import INCARNATION_LIMIT, Member, MemberState, Role
from guthi.membership.verdict import EVIDENCE_LIMIT_CHARACTERS, HEALTH_LIMIT, PATH_LIMIT_CHARACTERS, Verdict
from guthi.security.identity import node_id_of

__all__ = [
    "OWN_RECORD_LIMIT_BYTES",
    "RECORD_LIMIT_BYTES",
    "decode_record",
    "decode_records",
    "encode_record",
    "encode_records",
    "plain_cbor",
]

TEXT_LIMIT_CHARACTERS = 64
ADDRESS_LIMIT = 16
PLUGIN_LIMIT = 64
RECORD_LIMIT_BYTES = 6144
OWN_RECORD_LIMIT_BYTES = 4096
"""Of what a node says of itself: the rest is room for a verdict."""

_DEPTH_LIMIT = 3  # record, addresses, address

_ROLES = tuple(Role)
_STATES = tuple(MemberState)


# Both are of pure functions between immutable values: who shares them with whom makes no difference. What nobody has
# any more drops out of them; of a member that is suspected now and then there would else be more and more.
_encoded: WeakKeyDictionary[Member, bytes] = WeakKeyDictionary()
_decoded: WeakValueDictionary[bytes, Member] = WeakValueDictionary()


def encode_record(record: Member) -> bytes:
    """The CBOR that `decode_record` reads."""
    data = _encoded.get(record)
    if data is None:
        data = _encoded[record] = _encode(record)
    return data


def _encode(record: Member) -> bytes:
    parts: list[object] = [
        record.name,
        [list(address) for address in record.addresses],
        record.zone,
        record.role.value,
        record.incarnation,
        record.state.value,
        record.public_key,
        record.protocol,
        [list(plugin) for plugin in record.plugins],
    ]
    verdict = record.verdict
    if verdict is not None:
        parts.append([bytes(verdict.accuser), verdict.path, verdict.evidence, verdict.health])
    return cbor2.dumps(parts)


def decode_record(data: bytes) -> Member:
    """Read a record of a peer; raises MalformedMessage unless every part has its type and its bounds."""
    record = _decoded.get(data)
    if record is None:
        record = _decoded[data] = _decode(data)
    return record


def _decode(data: bytes) -> Member:
    if len(data) > RECORD_LIMIT_BYTES:
        raise MalformedMessage(f"a record is longer than {RECORD_LIMIT_BYTES} bytes")
    parts = _items(plain_cbor(data, _DEPTH_LIMIT), "record", 9, 10)
    name, addresses, zone, role, incarnation, state, public_key, protocol, plugins, *verdict = parts
    if type(public_key) is not bytes:
        raise MalformedMessage("a public key is not a byte string")
    return Member(
        id=node_id_of(public_key),
        name=_text(name, "name", shortest=1),
        addresses=tuple(_address(item) for item in _items(addresses, "addresses", 1, ADDRESS_LIMIT)),
        zone=_text(zone, "zone"),
        role=_ROLES[_number(role, "role", len(_ROLES))],
        incarnation=_number(incarnation, "incarnation", INCARNATION_LIMIT),
        state=_STATES[_number(state, "state", len(_STATES))],
        public_key=public_key,
        protocol=_number(protocol, "protocol", 2**16),
        plugins=_plugins(plugins),
        verdict=_verdict(verdict[0], state) if verdict else None,
    )


def encode_records(records: Iterable[Member]) -> bytes:
    """Several records in one byte string: the CBOR list of their byte strings."""
    return cbor2.dumps([encode_record(record) for record in records])


def decode_records(data: object) -> list[Member]:
    """Read what `encode_records` made; raises MalformedMessage for anything else."""
    return [decoded(item) for item in _items(plain_cbor(_bytes(data, "records"), 1), "records", 0, 2**32)]


def decoded(item: object) -> Member:
    """The record in one item of a message; raises MalformedMessage."""
    return decode_record(_bytes(item, "record"))


def plain_cbor(data: bytes, depth: int) -> object:
    """The one CBOR value that the bytes are; raises MalformedMessage for tags, maps, deeper nesting or other bytes."""
    stream = BytesIO(data)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_refuse,
        object_hook=_refuse,
        semantic_decoders=_NO_TAGS,
        max_depth=depth,
        allow_indefinite=False,
        strict_hashable_types=True,
    )
    try:
        value = decoder.decode()
    except cbor2.CBORError as error:
        raise MalformedMessage(f"not plain CBOR: {error}") from error
    if stream.tell() != len(data):
        raise MalformedMessage("something follows the CBOR value")
    return value


def _refuse(*_: object) -> NoReturn:
    raise ValueError("neither tags nor maps belong here")


class _NoTags(dict[int, Callable[..., NoReturn]]):
    """Turns off every tag that cbor2 knows: some of them compute at length, or build cycles."""

    def __missing__(self, tag: int) -> Callable[..., NoReturn]:
        return _refuse


_NO_TAGS = _NoTags()


def _bytes(value: object, what: str) -> bytes:
    if type(value) is not bytes:
        raise MalformedMessage(f"{what}: not a byte string")
    return value


def _items(value: object, what: str, fewest: int, most: int) -> Sequence[Any]:
    if type(value) is not list or not fewest <= len(value) <= most:
        raise MalformedMessage(f"{what}: not a list of {fewest} to {most} items")
    return value


def _number(value: object, what: str, limit: int) -> int:
    # `type` and not `isinstance`: CBOR's true and false are no numbers.
    if type(value) is not int or not 0 <= value < limit:
        raise MalformedMessage(f"{what} is not a whole number below {limit}")
    return value


def _text(value: object, what: str, shortest: int = 0, longest: int = TEXT_LIMIT_CHARACTERS) -> str:
    if type(value) is not str or not shortest <= len(value) <= longest or not value.isprintable():
        raise MalformedMessage(f"{what} is not {shortest} to {longest} printable characters")
    return value


def _verdict(wire: object, state: int) -> Verdict:
    accuser, path, evidence, health = _items(wire, "verdict", 4, 4)
    if _STATES[state] not in (MemberState.SUSPECT, MemberState.FAILED):
        raise MalformedMessage("a verdict on a member that is neither suspect nor failed")
    if len(_bytes(accuser, "accuser")) != NodeId.SIZE:
        raise MalformedMessage(f"an accuser's id has not {NodeId.SIZE} bytes")
    return Verdict(
        NodeId(accuser),
        _text(path, "path", longest=PATH_LIMIT_CHARACTERS),
        _text(evidence, "evidence", longest=EVIDENCE_LIMIT_CHARACTERS),
        _number(health, "health", HEALTH_LIMIT),
    )


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
