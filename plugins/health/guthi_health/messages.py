"""What travels on the topic `health`: pings and their answers, pings through others, and notes between detectors.

Each is a datagram with a CBOR list; lost, doubled and overtaken ones are nothing special.

| message    | list                               | meaning                                                         |
|------------|------------------------------------|-----------------------------------------------------------------|
| Pinged     | [0, number]                        | answer this                                                     |
| Ponged     | [1, number, received, answered]    | the answer; wall times of the one who answers, for `clock`      |
| Asked      | [2, number, member id, patience s] | ping that member for me                                         |
| Told       | [3, number, reached]               | it has answered; or it has not, within that patience            |
| Noted      | [4, detector, value]               | for the detector of that name                                   |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from guthi import MalformedMessage, NodeId

__all__ = ["TOPIC", "Asked", "Message", "Noted", "Pinged", "Ponged", "Told", "from_wire", "to_wire"]

TOPIC = "health"
MOST_PATIENCE_S = 60.0
MOST_NUMBER = 2**53
MOST_WALL_S = 1e12  # some 30,000 years; not so for a NaN
MOST_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Pinged:
    """Somebody wants an answer."""

    number: int


@dataclass(frozen=True, slots=True)
class Ponged:
    """The answer to a ping, with two readings of the answering node's wall clock, in seconds since 1970."""

    number: int
    received: float
    answered: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants another member pinged."""

    number: int
    member: NodeId
    patience_s: float


@dataclass(frozen=True, slots=True)
class Told:
    """Whether the member that was to be pinged has answered."""

    number: int
    reached: bool


@dataclass(frozen=True, slots=True)
class Noted:
    """For the detector of that name, and its own business."""

    detector: str
    value: Any


Message: TypeAlias = Pinged | Ponged | Asked | Told | Noted


def to_wire(message: Message) -> list[Any]:
    match message:
        case Pinged(number):
            return [0, number]
        case Ponged(number, received, answered):
            return [1, number, received, answered]
        case Asked(number, member, patience_s):
            return [2, number, bytes(member), patience_s]
        case Told(number, reached):
            return [3, number, reached]
        case Noted(detector, value):
            return [4, detector, value]


def from_wire(value: Any) -> Message:
    """Raises MalformedMessage."""
    match value:
        case [0, int(number)] if _is_number(number):
            return Pinged(number)
        case [1, int(number), float(received), float(answered)] if _is_number(number):
            if abs(received) <= MOST_WALL_S and abs(answered) <= MOST_WALL_S:
                return Ponged(number, received, answered)
        case [2, int(number), bytes(member), int() | float() as patience_s] if _is_number(number):
            if len(member) == NodeId.SIZE and 0 <= patience_s <= MOST_PATIENCE_S:
                return Asked(number, NodeId(member), float(patience_s))
        case [3, int(number), bool(reached)] if _is_number(number):
            return Told(number, reached)
        case [4, str(detector), its_value] if len(detector) <= MOST_NAME_CHARACTERS:
            return Noted(detector, its_value)
    raise MalformedMessage("no message of the topic health; docs/health.md lists them")


def _is_number(number: int) -> bool:
    return not isinstance(number, bool) and 0 <= number <= MOST_NUMBER
