"""The test vectors of docs/protocol.md, made by the kernel itself from fixed keys, salts and indices.

`python -m tests.kernel.protocol_vectors` writes docs/protocol-vectors.json, for when the protocol changes on purpose.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from guthi import Address, Member, MemberState, NodeId, Role
from guthi.api import Buffer
from guthi.membership.gossip import Gossip, Hello, Welcome, encode_comparison, encode_message, encode_refusal
from guthi.membership.records import encode_record, encode_records
from guthi.membership.roster import Roster
from guthi.membership.sync import digest
from guthi.membership.verdict import Verdict
from guthi.messages.datagrams import Datagrams
from guthi.messages.flow import INITIAL_WINDOW_BYTES
from guthi.messages.requests import Requests
from guthi.messages.streams import Streams
from guthi.security.identity import Identity
from guthi.security.keyring import OPEN_KEY, ClusterKey, Keyring
from guthi.security.seal import ClusterSeal
from guthi.transport.endpoint import Endpoint, MessageArrived, Posted, Route
from guthi.transport.keys import Sealing, rekeyed
from guthi.transport.outbox import UNORDERED
from guthi.transport.session import SessionSettings
from guthi.transport.wire import (
    PING,
    CloseCode,
    EcnCounts,
    encode_abandon,
    encode_ack,
    encode_close,
    encode_credit,
    fragment_header,
    message_header,
)
from guthi.values.codec import Codec

PATH = Path(__file__).parents[2] / "docs" / "protocol-vectors.json"
CLUSTER_KEY = ClusterKey(bytes(range(32)))
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Party:
    """One node of the conversation, and everything of it that would be random."""

    name: str
    identity: Identity
    address: Address
    salt: bytes
    ephemeral_private: bytes
    index: bytes

    def entropy(self, size_bytes: int) -> bytes:
        return {16: self.salt, 32: self.ephemeral_private, 4: self.index}[size_bytes]

    def record(self) -> Member:
        return Member(
            id=self.identity.node_id,
            name=self.name,
            addresses=(self.address,),
            zone="lab",
            role=Role.PEER,
            incarnation=0,
            state=MemberState.ALIVE,
            public_key=self.identity.public_key,
            protocol=1,
            plugins=(("rpc", "0.1.0"),),
        )


def _party(name: str, number: int) -> Party:
    return Party(
        name,
        Identity.from_private(bytes([number] * 32)),
        Address(f"10.0.0.{number}", 6969),
        salt=bytes([0xA0 + number] * 16),
        ephemeral_private=bytes([0xE0 + number] * 32),
        index=bytes([0, 0, 0, 0x10 + number]),
    )


ALICE, BOB = _party("alice", 1), _party("bob", 2)


def vectors() -> dict[str, Any]:
    """Everything that the file holds; byte strings are in hexadecimal."""
    return {
        "cluster_keys": [_cluster_key(CLUSTER_KEY), _cluster_key(OPEN_KEY)],
        "nodes": [_node(ALICE), _node(BOB)],
        "sealed": _sealed(),
        "conversation": _conversation(),
        "key_epochs": _key_epochs(),
        "frames": _frames(),
        "messages": _messages(),
        "values": [{"value": what, "body": _body(value).hex()} for what, value in _values()],
        "membership": _membership(),
    }


def _cluster_key(key: ClusterKey) -> dict[str, str]:
    return {
        "secret": key.secret.hex(),
        "text": key.text(),
        "key_id": key.key_id.hex(),
        "derived_datagram": key.derive(b"datagram").hex(),
        "derived_handshake": key.derive(b"handshake").hex(),
    }


def _node(party: Party) -> dict[str, str]:
    return {
        "name": party.name,
        "private_key": party.identity.private_key.hex(),
        "public_key": party.identity.public_key.hex(),
        "node_id": party.identity.node_id.hex(),
        "shown": str(party.identity.node_id),
        "address": str(party.address),
        "salt": party.salt.hex(),
        "ephemeral_private": party.ephemeral_private.hex(),
        "index": party.index.hex(),
    }


def _sealed() -> list[dict[str, str | int]]:
    seal = ClusterSeal(Keyring([CLUSTER_KEY]), ALICE.entropy)
    return [
        {"salt": ALICE.salt.hex(), "counter": counter, "plaintext": text.hex(), "datagram": seal.seal(text).hex()}
        for counter, text in enumerate([b"", b"namaste"])
    ]


# ---- a session: handshake, request, reply


class _Station:
    """An endpoint that knows the other party from the start."""

    def __init__(self, me: Party, other: Party) -> None:
        self.me, self.other = me, other
        self.endpoint = Endpoint(
            me.identity,
            Keyring([CLUSTER_KEY]),
            entropy=me.entropy,
            route=lambda _: Route(other.address, other.identity.public_key),
            datagram_bytes=lambda _: 1200,
            settings=SessionSettings(),
            hello=encode_record(me.record()),
        )

    def send(self, message: bytes) -> None:
        self.endpoint.send(self.other.identity.node_id, [message], 0.0)

    def datagrams(self) -> list[bytes]:
        return [datagram for datagram, _, _ in self.endpoint.take_datagrams(0.0)]

    def receive(self, datagrams: Sequence[bytes]) -> list[bytes]:
        """Take datagrams in; returns the messages that they completed."""
        for datagram in datagrams:
            self.endpoint.receive(datagram, self.other.address, 0.0)
        return [bytes(event.body) for event in self.endpoint.take_events() if isinstance(event, MessageArrived)]


def _conversation() -> list[dict[str, Any]]:
    """Alice sends Bob a request, for which she opens a session, and Bob replies."""
    envelopes = _messages()
    alice, bob = _Station(ALICE, BOB), _Station(BOB, ALICE)
    alice.send(bytes.fromhex(envelopes["request"]))
    steps = []
    for sender, receiver, what in (
        (alice, bob, "INIT"),
        (bob, alice, "RESPONSE"),
        (alice, bob, "the first session datagram, with the request"),
        (bob, alice, "the reply"),
    ):
        datagrams = sender.datagrams()
        messages = receiver.receive(datagrams)
        steps.append(
            {
                "from": sender.me.name,
                "what": what,
                "datagrams": [datagram.hex() for datagram in datagrams],
                "messages": [message.hex() for message in messages],
            }
        )
        if messages and receiver is bob:
            bob.send(bytes.fromhex(envelopes["reply"]))
    return steps


def _key_epochs() -> list[dict[str, Any]]:
    """The first datagrams of three epochs, of one packet each: PING to index 16."""
    sealing = Sealing(bytes(range(32)), 16, 0.0, epoch_packets=1, epoch_s=120.0)
    key, steps = bytes(range(32)), []
    for number in range(3):
        datagram = sealing.seal(number, PING)
        steps.append({"epoch": number, "key": key.hex(), "number": number, "datagram": datagram.hex()})
        sealing.acknowledged(number)
        sealing.advance(number + 1, 0.0)
        key = rekeyed(key)
    return steps


def _frames() -> dict[str, str]:
    return {
        "PING": PING.hex(),
        "ACK of 9 to 7 and of 3, held back for 250 µs": encode_ack([(7, 9), (3, 3)], 250).hex(),
        "MESSAGE on channel 0, sequence 1": (message_header(0, 1, 5) + b"hello").hex(),
        "FRAGMENT on channel 5, sequence 2, 4 bytes at 1000 of 70000": (
            fragment_header(5, 2, 70_000, 1000, 4) + b"data"
        ).hex(),
        "ABANDON of channel 5, sequence 2, 70000 bytes": encode_abandon(5, 2, 70_000).hex(),
        "CREDIT of 4 MiB and 8 bulk messages": encode_credit(4 << 20, 8).hex(),
        "ACK_ECN of 5, with 4 of ECT(0) and 1 of CE": encode_ack([(5, 5)], 0, EcnCounts(4, 0, 1)).hex(),
        "CLOSE, done": encode_close(CloseCode.DONE, "the node left").hex(),
    }


# ---- messages


class _Wire:
    """Keeps what a node says."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def post(self, peer: NodeId, parts: list[Buffer], channel: int = UNORDERED) -> Posted:
        self.said.append(b"".join(parts))
        return Posted(peer, parts, UNORDERED)

    def check(self, peer: NodeId) -> None:
        pass

    def collect(self) -> None:
        pass  # `_said` calls for it

    def room_bytes(self, peer: NodeId) -> int:
        return 1200

    def abandon(self, posted: Posted) -> None:
        pass

    def is_writable(self, peer: NodeId) -> bool:
        return True

    async def writable(self, peer: NodeId) -> None:
        pass

    def watch(self, peer: NodeId, watched: bool) -> None:
        pass

    def name_of(self, peer: NodeId) -> str:
        return "somebody"

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.ensure_future(work)


def _messages() -> dict[str, str]:
    return asyncio.run(_said())


async def _said() -> dict[str, str]:
    """One message of each kind: a request, its reply and cancellation, a cast, a fault, a stream's, and bundles."""
    codec, wire = Codec(), _Wire()
    requests = Requests(asyncio.get_running_loop(), codec, wire)
    requests.handle("greet", lambda incoming: f"hello {incoming.value}")
    peer = BOB.identity.node_id
    asking = asyncio.ensure_future(requests.request(peer, "greet", "alice", timeout_s=TIMEOUT_S))
    await asyncio.sleep(0)
    requests.flush()
    request = wire.said[-1]
    requests.received(peer, request)
    requests.flush()
    reply = wire.said[-1]
    asking.cancel()
    await asyncio.wait([asking])
    cancel = wire.said[-1]
    requests.cast(peer, "news", {"load": 0.5})
    fault = bytes([4]) + reply[1:16] + _body(_fault())
    kinds = {"request": request, "reply": reply, "fault": fault, "cancel": cancel, "cast": wire.said[-1]}
    kinds |= await _streamed(requests, codec, wire)
    kinds |= await _bundled(requests, wire)
    return {kind: message.hex() for kind, message in kinds.items()}


async def _bundled(requests: Requests, wire: _Wire) -> dict[str, bytes]:
    """Two requests of one turn, and the two answers to them."""
    peer = BOB.identity.node_id
    for name, timeout_s in (("carol", TIMEOUT_S), ("dave", None)):
        requests.ask(peer, "greet", name, timeout_s)
    requests.flush()
    asked = wire.said[-1]
    requests.received(peer, asked)
    requests.flush()
    return {"requests": asked, "replies": wire.said[-1]}


async def _streamed(requests: Requests, codec: Codec, wire: _Wire) -> dict[str, bytes]:
    """What the opener says: that it opens, its credit, a value as large as the window, that another waits, the end."""
    begins = len(wire.said)
    with Streams(requests, codec, wire, INITIAL_WINDOW_BYTES).open(BOB.identity.node_id, "count", 3) as stream:
        await stream.send("first")
        waiting = asyncio.ensure_future(stream.send(bytes(INITIAL_WINDOW_BYTES)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        stream.finish()
        opened, credit, value, wait, finish = wire.said[begins:]
    return {"open": opened, "credit": credit, "value": value, "wait": wait, "finish": finish}


def _fault() -> dict[str, Any]:
    return {
        "class": "ValueError",
        "args": ["no"],
        "attributes": {},
        "message": "no",
        "traceback": "Traceback (most recent call last):\nValueError: no\n",
    }


def _body(value: object) -> bytes:
    codec = Codec()
    codec.register(Point)
    return b"".join(codec.encode(value))


@dataclass(frozen=True)
class Point:
    """A class that both sides have registered."""

    x: int
    y: int


def _values() -> list[tuple[str, object]]:
    return [
        ("null", None),
        ('["text", -1, 0.5, true, {"a": h\'00ff\'}]', ["text", -1, 0.5, True, {"a": b"\x00\xff"}]),
        ('0("2026-11-21T00:00:00Z")', datetime(2026, 11, 21, tzinfo=UTC)),
        ("4096 bytes 0x55, as a part", bytes([0x55] * 4096)),
        ("258([1]), a set", {1}),
        ('1198871553(["Point", {"x": 1, "y": 2}]), a record', Point(1, 2)),
        ("86(h'…'), float64 little-endian [0.0, 1.0]", np.array([0.0, 1.0], "<f8")),
        ("40([[2, 2], 69(h'…')]), uint16 little-endian [[1, 2], [3, 4]]", np.array([[1, 2], [3, 4]], "<u2")),
        ("1198871555([\"|b1\", h'0100']), booleans [true, false]", np.array([True, False])),
        ("1024 float32 zeros, 1198871555([85, 0]) and a part", np.zeros(1024, "<f4")),
    ]


def _membership() -> dict[str, str]:
    """A table of two, alice and bob, as alice tells of it."""
    members = sorted((ALICE.record(), BOB.record()), key=lambda member: member.id)
    roster = Roster(ALICE.record())
    roster.put(BOB.record(), 0.0)
    alice, bob = (encode_record(party.record()) for party in (ALICE, BOB))
    return {
        "record of alice": alice.hex(),
        "record of bob": bob.hex(),
        "Hello of alice": encode_message(Hello, [alice]).hex(),
        "Welcome of bob": encode_message(Welcome, [bob]).hex(),
        "Gossip about both": encode_message(Gossip, [alice, bob]).hex(),
        "fingerprint": roster.fingerprint.to_bytes(16, "big").hex(),
        "Comparison of alice": encode_comparison(ALICE.record(), roster.fingerprint).hex(),
        "digest": digest(members).hex(),
        "records, as a sync brings them": encode_records(members).hex(),
        "record of bob, whom alice suspects": encode_record(_suspected(BOB.record(), ALICE.record().id)).hex(),
        "Refusal of alice": encode_refusal(ALICE.record(), "too old").hex(),
        "datagram of alice": Datagrams(Codec(), lambda _: True, Counter(), lambda: 0.0)
        .pack(ALICE.record().id, "pulse", [1, "two"])
        .hex(),
    }


def _suspected(record: Member, accuser: NodeId) -> Member:
    return replace(record, state=MemberState.SUSPECT, verdict=Verdict(accuser, "via carol", "no echo within 10 s", 2))


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
