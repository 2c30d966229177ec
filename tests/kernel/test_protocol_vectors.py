"""docs/protocol-vectors.json against the kernel that speaks, and against a reader who has only docs/protocol.md."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import cbor2
from tests.kernel import by_the_book as book
from tests.kernel.nodes import until
from tests.kernel.protocol_vectors import CLUSTER_KEY, PATH, vectors

from guthi import Config, MemberState, Node, Role

VECTORS: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
SECRET = bytes(range(32))
ALICE, BOB = VECTORS["nodes"]


def unhex(vector: dict[str, str], name: str) -> bytes:
    return bytes.fromhex(vector[name])


def test_the_kernel_speaks_as_the_file_says() -> None:
    assert vectors() == VECTORS, "the protocol has changed; if that is meant: python -m tests.kernel.protocol_vectors"


def test_keys_and_ids() -> None:
    for key in VECTORS["cluster_keys"]:
        secret = unhex(key, "secret")
        assert book.key_text(secret) == key["text"]
        assert book.key_id(secret).hex() == key["key_id"]
        assert book.derive(secret, b"datagram").hex() == key["derived_datagram"]
        assert book.derive(secret, b"handshake").hex() == key["derived_handshake"]
    for node in VECTORS["nodes"]:
        assert book.public_key(unhex(node, "private_key")).hex() == node["public_key"]
        assert book.node_id(unhex(node, "public_key")).hex() == node["node_id"]


def test_sealed_datagrams() -> None:
    for each in VECTORS["sealed"]:
        plaintext, datagram = unhex(each, "plaintext"), unhex(each, "datagram")
        assert book.seal(SECRET, unhex(each, "salt"), each["counter"], plaintext) == datagram
        assert book.unseal(SECRET, datagram) == plaintext


def test_handshake_and_session() -> None:
    init, response, first, reply = (bytes.fromhex(step["datagrams"][0]) for step in VECTORS["conversation"])
    noise = book.initiator(
        SECRET, unhex(ALICE, "private_key"), unhex(ALICE, "ephemeral_private"), unhex(BOB, "public_key")
    )
    introduction = (1 << 30).to_bytes(8, "big") + bytes.fromhex(VECTORS["membership"]["record of alice"])
    init_message = book.unseal(SECRET, init)
    assert init_message == bytes([book.INIT]) + unhex(ALICE, "index") + bytes(noise.write_message(introduction))
    response_message = book.unseal(SECRET, response)
    assert response_message[:9] == bytes([book.RESPONSE]) + unhex(ALICE, "index") + unhex(BOB, "index")
    bobs_introduction = bytes(noise.read_message(response_message[9:]))
    assert cbor2.loads(bobs_introduction[8:])[0] == "bob"

    to_bob, to_alice = book.session_keys(noise)
    _, frames = book.unwrap(to_bob, first)
    assert book.wrap(to_bob, int(BOB["index"], 16), 0, frames) == first
    assert [message.hex() for message in book.messages_in(frames)] == VECTORS["conversation"][2]["messages"]
    _, frames = book.unwrap(to_alice, reply)
    assert [message.hex() for message in book.messages_in(frames)] == VECTORS["conversation"][3]["messages"]


def test_key_epochs() -> None:
    key = bytes(range(32))
    for each in VECTORS["key_epochs"]:
        assert each["key"] == key.hex()
        datagram = unhex(each, "datagram")
        assert book.wrap(key, 16, each["number"], book.PING, each["epoch"]) == datagram
        assert book.unwrap(key, datagram) == (each["number"], book.PING)
        key = book.next_key(key)


def test_frames_are_stepped_over_by_their_lengths() -> None:
    everything = b"".join(bytes.fromhex(frame) for frame in VECTORS["frames"].values())
    assert list(book.messages_in(everything)) == [b"hello"]


def test_messages() -> None:
    messages = VECTORS["messages"]
    assert book.envelope(book.REQUEST, "greet", 1, 5000, book.plain_body("alice")).hex() == messages["request"]
    assert book.envelope(book.REPLY, "", 1, 0, book.plain_body("hello alice")).hex() == messages["reply"]
    assert book.envelope(book.CANCEL, "", 1, 0, b"").hex() == messages["cancel"]
    assert book.envelope(book.CAST, "news", 0, 0, book.plain_body({"load": 0.5})).hex() == messages["cast"]
    assert book.envelope(book.OPEN, "count", 2, 0, book.plain_body(3)).hex() == messages["open"]
    assert book.envelope(book.CREDIT, "", 2, 0, bytes(8) + (65_536).to_bytes(8, "big")).hex() == messages["credit"]
    assert book.envelope(book.VALUE, "", 2, 0, book.plain_body("first")).hex() == messages["value"]
    assert book.envelope(book.WAIT, "", 2, 0, b"").hex() == messages["wait"]
    assert book.envelope(book.FINISH, "", 2, 0, b"").hex() == messages["finish"]
    ids, timeouts, values = (3, 4), (5000, 0), ["carol", "dave"]
    assert book.envelope(book.REQUESTS, "greet", 2, 0, book.bundle(ids, timeouts, values)).hex() == messages["requests"]
    values = ["hello carol", "hello dave"]
    assert book.envelope(book.REPLIES, "", 2, 0, book.bundle(ids, (), values)).hex() == messages["replies"]
    fault = book.opened(unhex(messages, "fault"))
    assert (fault.kind, fault.request_id) == (book.FAULT, 1)
    assert book.split_body(fault.body)[0]["class"] == "ValueError"


def test_parts_of_a_body() -> None:
    bodies = {each["value"]: unhex(each, "body") for each in VECTORS["values"]}
    item, parts = book.split_body(bodies["4096 bytes 0x55, as a part"])
    assert item == cbor2.CBORTag(0x47755402, 0)
    assert parts == [bytes([0x55] * 4096)]
    item, parts = book.split_body(bodies["1024 float32 zeros, 1198871555([85, 0]) and a part"])
    assert (item.tag, list(item.value)) == (0x47755403, [85, 0])
    assert parts == [bytes(4096)]


def test_membership() -> None:
    said = {what: bytes.fromhex(value) for what, value in VECTORS["membership"].items()}
    alice, bob = said["record of alice"], said["record of bob"]
    assert cbor2.loads(alice) == [
        "alice", [["10.0.0.1", 6969]], "lab", 0, 0, 0, unhex(ALICE, "public_key"), 1, [["rpc", "0.1.0"]],
    ]  # fmt: skip
    fingerprint = book.fingerprint([alice, bob])
    assert cbor2.dumps([book.HELLO, alice]) == said["Hello of alice"]
    assert cbor2.dumps([book.WELCOME, bob]) == said["Welcome of bob"]
    assert cbor2.dumps([book.GOSSIP, alice, bob]) == said["Gossip about both"]
    assert cbor2.dumps([book.COMPARISON, alice, fingerprint]) == said["Comparison of alice"]
    assert fingerprint == said["fingerprint"]
    assert book.digest([alice, bob]) == said["digest"]
    assert cbor2.dumps([bob, alice]) == said["records, as a sync brings them"]
    assert cbor2.dumps([5, alice, "too old"]) == said["Refusal of alice"]
    by_alice = book.node_id(cbor2.loads(alice)[6])
    *fields, verdict = cbor2.loads(said["record of bob, whom alice suspects"])
    assert fields == [*cbor2.loads(bob)[:5], 1, *cbor2.loads(bob)[6:]]
    assert verdict == [by_alice, "via carol", "no echo within 10 s", 2]
    assert by_alice + b"\x05pulse" + book.plain_body([1, "two"]) == said["datagram of alice"]


async def test_a_client_by_the_book_calls_a_real_node() -> None:
    config = Config.from_mapping(
        {"node": {"name": "alice"}, "security": {"cluster_key": CLUSTER_KEY.text()}}, environment={}
    )
    async with Node(config) as node:
        node.handle("greet", lambda incoming: f"hello {incoming.value}, this is {node.name}")
        client = book.Client(SECRET, node.address)

        def talk() -> list[Any]:
            record = client.join()
            client.connect(record[6])
            records, wanted = client.request("guthi.membership.sync", b"")
            names = {cbor2.loads(each)[0] for each in cbor2.loads(records)}
            refusal = client.request("no such topic", None)["class"]
            return [record[0], client.request("greet", "stranger"), refusal, names, wanted]

        answers = ["alice", "hello stranger, this is alice", "UnknownTopic", {"alice", "stranger"}, b""]
        assert await asyncio.to_thread(talk) == answers
        stranger = node.member("stranger")
        assert (stranger.state, stranger.role) == (MemberState.ALIVE, Role.CLIENT)
        await asyncio.to_thread(client.close)
        await until(lambda: not node.members)
