"""What one node tells another about broadcasts: a payload, a note of what is held, and how the tree is to change.

A message on the wire is a list that begins with its kind; `life` is a random number that a node draws at its start.

| kind      | content                                                        | meaning                                |
|-----------|----------------------------------------------------------------|----------------------------------------|
| 1 PAYLOAD | origin, life, sequence, floor, is direct, topic, body          | here is a message                      |
| 2 NOTE    | [[origin, life, [sequence, size, ...]], ...] and               | these I have; take what you lack       |
|           | [[origin, life, [sequence, ...]], ...]                         | these I have; say no more of them      |
| 3 GRAFT   | [[origin, life, [sequence, ...]], ...]                         | send these, and all that follows       |
| 4 PRUNE   | the same                                                       | I have these; push no more, offer only |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from guthi.api import NodeId
from guthi.errors import MalformedMessage

__all__ = [
    "MOST_IDS",
    "MOST_TOPIC_BYTES",
    "Graft",
    "Message",
    "MessageId",
    "Note",
    "Payload",
    "Prune",
    "decode",
    "encode",
]

MOST_IDS = 1024
"""How many messages one note, graft or prune speaks of."""
MOST_TOPIC_BYTES = 255

_PAYLOAD, _NOTE, _GRAFT, _PRUNE = range(1, 5)


class MessageId(NamedTuple):
    """Names one message for ever: who broadcast it, in which of its lives, and its number there, from 1."""

    origin: NodeId
    life: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Payload:
    """A message itself. `body` is an encoded value; the origin still has all from `floor` on.

    One that is direct was sent to each member by its origin; who gets it does not push it on.
    """

    id: MessageId
    floor: int
    is_direct: bool
    topic: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """`offered`: what the sender has, with sizes in bytes, and waits to hear of; `known`: what it has besides."""

    offered: Mapping[MessageId, int]
    known: tuple[MessageId, ...] = ()


@dataclass(frozen=True, slots=True)
class Graft:
    """The sender lacks these, and wants the link in the tree."""

    ids: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class Prune:
    """The sender had these already, and wants the link out of the tree."""

    ids: tuple[MessageId, ...]


Message: TypeAlias = Payload | Note | Graft | Prune


def encode(message: Message) -> list[Any]:
    """The message as a value that the codec takes."""
    match message:
        case Payload(id, floor, is_direct, topic, body):
            return [_PAYLOAD, bytes(id.origin), id.life, id.sequence, floor, is_direct, topic, body]
        case Note(offered, known):
            return [_NOTE, _grouped((id, (id.sequence, size)) for id, size in offered.items()), _listed(known)]
        case Graft(ids):
            return [_GRAFT, _listed(ids)]
        case Prune(ids):
            return [_PRUNE, _listed(ids)]


def decode(value: object) -> Message:
    """Read what a peer sent; raises MalformedMessage, and nothing else, for what is no message."""
    if type(value) is list and len(value) == 8:  # payloads are the most: a `match` takes three times as long
        kind, origin, life, sequence, floor, is_direct, topic, body = value
        is_payload = type(kind) is int and kind == _PAYLOAD
        if is_payload and type(is_direct) is bool and type(topic) is str and type(body) is bytes:
            return _payload(_id(origin, life, sequence), floor, is_direct, topic, body)
    match value:
        case [int(2), list(offered), list(known)]:
            return Note(_offers(offered), _ids(known))
        case [int(3), list(ids)]:
            return Graft(_ids(ids))
        case [int(4), list(ids)]:
            return Prune(_ids(ids))
    raise MalformedMessage("a broadcast is a payload, a note, a graft or a prune")


def _listed(ids: Iterable[MessageId]) -> list[Any]:
    return _grouped((id, (id.sequence,)) for id in ids)


def _grouped(entries: Iterable[tuple[MessageId, tuple[int, ...]]]) -> list[Any]:
    groups: dict[tuple[NodeId, int], list[int]] = {}
    for id, numbers in entries:
        groups.setdefault((id.origin, id.life), []).extend(numbers)
    return [[bytes(origin), life, numbers] for (origin, life), numbers in groups.items()]


def _payload(id: MessageId, floor: object, is_direct: bool, topic: str, body: bytes) -> Payload:
    if not 0 < len(topic.encode("utf-8", "replace")) <= MOST_TOPIC_BYTES:
        raise MalformedMessage(f"the topic of a broadcast is not 1 to {MOST_TOPIC_BYTES} bytes long")
    if type(floor) is not int or not 0 < floor <= id.sequence:
        raise MalformedMessage("the floor of a broadcast is not from 1 to its number")
    return Payload(id, floor, is_direct, topic, body)


def _offers(groups: list[object]) -> dict[MessageId, int]:
    offers: dict[MessageId, int] = {}
    for origin, life, numbers in _groups(groups):
        if len(numbers) % 2:
            raise MalformedMessage("an offer without a size")
        for sequence, size_bytes in zip(numbers[::2], numbers[1::2], strict=True):
            offers[MessageId(origin, life, _number(sequence, 1))] = _number(size_bytes, 0)
    return _bounded(offers)


def _ids(groups: list[object]) -> tuple[MessageId, ...]:
    return tuple(
        _bounded(
            {
                MessageId(origin, life, _number(number, 1)): 0
                for origin, life, numbers in _groups(groups)
                for number in numbers
            }
        )
    )


def _groups(groups: list[object]) -> Iterable[tuple[NodeId, int, list[object]]]:
    for group in groups:
        match group:
            case [origin, life, list(numbers)] if len(numbers) <= 2 * MOST_IDS:
                yield _origin(origin), _number(life, 0), numbers
            case _:
                raise MalformedMessage("messages are named by an origin, a life and numbers")


def _bounded(ids: dict[MessageId, int]) -> dict[MessageId, int]:
    if len(ids) > MOST_IDS:
        raise MalformedMessage(f"it speaks of more than {MOST_IDS} broadcasts at once")
    return ids


def _id(origin: object, life: object, sequence: object) -> MessageId:
    return MessageId(_origin(origin), _number(life, 0), _number(sequence, 1))


def _origin(value: object) -> NodeId:
    if type(value) is not bytes or len(value) != NodeId.SIZE:
        raise MalformedMessage(f"the origin of a broadcast is not {NodeId.SIZE} bytes")
    return NodeId(value)


def _number(value: object, least: int) -> int:
    if type(value) is not int or not least <= value < 1 << 64:
        raise MalformedMessage(f"a number of a broadcast is not from {least} to 2^64 - 1")
    return value
