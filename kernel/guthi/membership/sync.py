"""What two nodes have to tell each other so that their tables become equal, and no more than that.

This is the anti-entropy of Demers et al. (1987), which catches what gossip has missed. Two nodes first compare one
fingerprint of their tables, in a single datagram (see `Comparison` in `gossip`). If it differs, the one that noticed
opens a session and sends a digest: id, incarnation and state of every member that it passes on. The other one answers
with the records that are newer on its side, and with the ids of those that it wants in return (as SYN, ACK and ACK2 do
in Cassandra's gossip). That makes two round trips, one if nothing is wanted. A newcomer's digest is nearly empty, so it
gets all in the first answer.

A digest is one byte string of 25 bytes a member, id (16) | incarnation (8) | state (1), sorted by id; no id is twice in
it. Incarnation and state, compared as bytes, are in SWIM's order.

An answer is bounded by a budget of bytes. What does not fit is a random choice, so that what is left out differs from
one answer to the next: the next comparison finds the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from guthi.api import NodeId
from guthi.errors import MalformedMessage
from guthi.membership.members import INCARNATION_LIMIT, Member, MemberState
from guthi.membership.records import encode_record, encode_records

__all__ = ["ENTRY_BYTES", "Difference", "difference", "digest", "fitting", "read_ids"]

ENTRY_BYTES = NodeId.SIZE + 9

_INCARNATION_LIMIT = INCARNATION_LIMIT.to_bytes(8, "big")
_STATE_COUNT = len(MemberState)


@dataclass(frozen=True, slots=True)
class Difference:
    """`newer` are records that the other side lacks or has older, `wanted` the ids of those that this side does."""

    newer: tuple[Member, ...]
    wanted: tuple[NodeId, ...]


def digest(passed_on: Iterable[Member]) -> bytes:
    """What a table says, in short; the records are sorted by id."""
    return b"".join([member.id + member.version for member in passed_on])


def difference(known: Mapping[NodeId, Member], passed_on: Iterable[Member], theirs: object) -> Difference:
    """Compare with the other side's digest; raises MalformedMessage unless that is one.

    `known` is the whole table and `passed_on` those records of it that others are told: of the rest nothing is sent,
    but neither is it wanted again.
    """
    versions = _read(theirs)
    newer = tuple([member for member in passed_on if member.version > versions.get(member.id, b"")])
    wanted = []
    for id, version in versions.items():
        member = known.get(id)
        if member is None or version > member.version:
            wanted.append(id)
    return Difference(newer, tuple(wanted))


def fitting(records: Collection[Member], budget_bytes: int, rng: Random) -> bytes:
    """The records that fit the budget, encoded; at least one, because a record longer than it must travel too."""
    if sum(len(encode_record(record)) for record in records) <= budget_bytes:
        return encode_records(records)
    chosen: list[Member] = []
    for record in rng.sample(tuple(records), len(records)):
        budget_bytes -= len(encode_record(record))
        if budget_bytes < 0 and chosen:
            break
        chosen.append(record)
    return encode_records(chosen)


def read_ids(wanted: object) -> list[NodeId]:
    """The ids in a byte string of ids; raises MalformedMessage if it is none."""
    return [NodeId(item) for item in _split(wanted, NodeId.SIZE, "a list of wanted members")]


def _read(data: object) -> dict[NodeId, bytes]:
    entries = _split(data, ENTRY_BYTES, "a digest")
    versions = {NodeId(entry[: NodeId.SIZE]): entry[NodeId.SIZE :] for entry in entries}
    if len(versions) != len(entries) or entries != sorted(entries):
        raise MalformedMessage("a digest is not sorted, or names a member twice")
    if any(version[:8] >= _INCARNATION_LIMIT or version[8] >= _STATE_COUNT for version in versions.values()):
        raise MalformedMessage("a digest has an incarnation or a state that does not exist")
    return versions


def _split(data: object, item_bytes: int, what: str) -> list[bytes]:
    if type(data) is not bytes or len(data) % item_bytes:
        raise MalformedMessage(f"{what} is not a byte string of {item_bytes} bytes an item")
    return [data[start : start + item_bytes] for start in range(0, len(data), item_bytes)]
