"""Mutated traffic against whole nodes and every decoder, a bounded number of it; `make fuzz` sends a million."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import cycle
from random import Random
from typing import Any

import pytest
from tests.kernel.fuzzing import Mutator, Traffic, attack, conversation, footprint, growth, talk
from tests.kernel.protocol_vectors import vectors

from guthi import Node
from guthi.api import Address, NodeId
from guthi.broadcast.messages import Graft, MessageId, Note, Payload, Prune, decode, encode
from guthi.errors import ConfigError, MalformedMessage
from guthi.membership.gossip import decode_message
from guthi.membership.records import decode_record, decode_records
from guthi.membership.sync import difference, read_ids
from guthi.messages.flow import Credit
from guthi.security.handshake import HandshakeFailed, Initiator, Responder
from guthi.security.identity import Identity
from guthi.security.keyring import ClusterKey, Keyring
from guthi.security.seal import ClusterSeal
from guthi.testing import World
from guthi.transport.links import Hello
from guthi.transport.wire import decode_frames
from guthi.values.codec import Codec
from guthi.values.faults import revive

STRANGER = Address("192.0.2.66", 666)
COUNT = 4000


def strings_in(tree: Any) -> Iterator[bytes]:
    """All byte strings of the test vectors."""
    if isinstance(tree, dict | list):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from strings_in(item)
    elif isinstance(tree, str) and len(tree) % 2 == 0:
        try:
            yield bytes.fromhex(tree)
        except ValueError:
            pass


CODEC = Codec()
BROADCAST_ID = MessageId(NodeId(bytes(16)), 1, 7)
BROADCASTS = (
    Payload(BROADCAST_ID, 1, False, "news", b"body"),
    Note({BROADCAST_ID: 100}, (BROADCAST_ID,)),
    Graft((BROADCAST_ID,)),
    Prune((BROADCAST_ID,)),
)
GOOD = sorted({*strings_in(vectors()), *(b"".join(CODEC.encode(encode(each))) for each in BROADCASTS)})
IDENTITY = Identity.from_private(bytes([1]) * 32)


def read_init(data: bytes) -> object:
    responder = Responder(identity=IDENTITY, psk=bytes(32), prologue=b"guthi 1", ephemeral_private=bytes([2]) * 32)
    return responder.read_init(data)


def an_initiator() -> Initiator:
    """One that waits for the answer to its first message."""
    initiator = Initiator(
        identity=IDENTITY,
        peer_public_key=Identity.from_private(bytes([3]) * 32).public_key,
        psk=bytes(32),
        prologue=b"guthi 1",
        ephemeral_private=bytes([2]) * 32,
    )
    initiator.write_init(b"")
    return initiator


DECODERS: dict[str, tuple[Callable[[bytes], object], tuple[type[Exception], ...]]] = {
    "frames": (decode_frames, (MalformedMessage,)),
    "membership message": (decode_message, (MalformedMessage,)),
    "record": (decode_record, (MalformedMessage,)),
    "records": (decode_records, (MalformedMessage,)),
    "digest": (lambda data: difference({}, (), data), (MalformedMessage,)),
    "wanted ids": (read_ids, (MalformedMessage,)),
    "value": (CODEC.decode, (MalformedMessage,)),
    "broadcast": (lambda data: decode(CODEC.decode(data)), (MalformedMessage,)),
    "credit of a stream": (Credit.unpack, (MalformedMessage,)),
    "introduction": (Hello.unpack, (HandshakeFailed,)),
    "Noise message 1": (read_init, (HandshakeFailed,)),
    "Noise message 2": (an_initiator().read_response, (HandshakeFailed,)),
    "fault": (lambda data: revive(CODEC.decode(data), CODEC, "bob"), (MalformedMessage,)),
    "key text": (lambda data: ClusterKey.parse(data.decode("latin-1")), (ConfigError,)),
    "sealed datagram": (ClusterSeal(Keyring([ClusterKey(bytes(range(32)))]), Random(1).randbytes).open, ()),
}


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_decoder_raises_nothing_but_its_own_error(decoder: str) -> None:
    read, expected = DECODERS[decoder]
    mutator, random = Mutator(Random(f"fuzz {decoder}")), Random(decoder)
    for _ in range(COUNT // 4 if decoder.startswith("Noise") else COUNT):
        bad = mutator.mutated(random.choice(GOOD), GOOD)
        try:
            read(bad)
        except expected:
            pass
        except Exception as error:
            error.add_note(f"{decoder}: {bad.hex()}")
            raise


def mutations(traffic: Traffic, seed: object) -> Iterator[bytes]:
    """Recorded datagrams, changed; those that a change leaves as they were are the matter of other tests."""
    random = Random(f"mutations {seed}")
    mutator, good = Mutator(random), [each.datagram for each in traffic.recorded]
    unchanged = set(good)
    while True:
        bad = mutator.mutated(random.choice(good), good)
        if bad not in unchanged:
            yield bad


@pytest.mark.parametrize("seed", range(3))
def test_from_outside_nothing_comes_of_it(seed: int) -> None:
    async def scenario(world: World) -> None:
        traffic = Traffic(world)
        alice, _, _ = await conversation(world)
        await attack(world, "alice", mutations(traffic, "first"), 100, STRANGER)
        sent, before = world.network.sent_datagrams["alice"], footprint(alice)
        await attack(world, "alice", mutations(traffic, seed), COUNT, STRANGER)
        assert growth(before, footprint(alice)) == {}
        assert alice.network.endpoint.dropped.total() >= COUNT  # they did arrive
        assert world.network.sent_datagrams["alice"] - sent <= 2  # a comparison is due now and then
        assert not any(each.to == STRANGER for each in traffic.recorded)
        await talk(world)

    World(seed).run(scenario)


@pytest.mark.parametrize("how", ["replayed", "truncated", "reflected", "to another node", "of another session"])
def test_true_datagrams_out_of_place_are_dropped(how: str) -> None:
    async def scenario(world: World) -> None:
        traffic = Traffic(world, 100_000)
        alice, bob, _ = await conversation(world)
        here, there = alice.address, bob.address
        recorded = list(traffic.recorded)
        to_alice = [each.datagram for each in recorded if each.to == here]
        bad = {
            "replayed": to_alice,
            "truncated": [datagram[:-1] for datagram in to_alice] + [datagram[:20] for datagram in to_alice],
            "reflected": [each.datagram for each in recorded if each.source == here],
            "to another node": [each.datagram for each in recorded if here not in (each.source, each.to)],
            "of another session": list(swapped(to_alice)),
        }[how]
        kept = footprint(alice)
        asked = answered(alice)
        for source in (STRANGER, there):
            await attack(world, "alice", iter(bad), len(bad), source)
        assert growth(kept, footprint(alice)) == {} or how == "to another node"  # gossip for another is gossip
        assert answered(alice) == asked
        assert not any(each.to == STRANGER and each.datagram[0] == 2 for each in traffic.recorded)
        await talk(world)

    World(1).run(scenario)


def test_what_was_recorded_and_is_sent_again_from_elsewhere_does_not_lead_anybody_there() -> None:
    """Each datagram to each node, also those meant for others: they are sealed, and new to it."""

    async def scenario(world: World) -> None:
        traffic = Traffic(world, 100_000)
        alice, bob, carol = await conversation(world)
        await world.sleep(60.0)  # until all have compared
        recorded = list(traffic.recorded)
        traffic.recorded.clear()
        for node in (alice, bob, carol):
            bad = [each.datagram for each in recorded if node.address not in (each.source, each.to)]
            await attack(world, node.name, iter(bad), len(bad), STRANGER)
        answers = sum(each.to == STRANGER for each in traffic.recorded)
        for node in (alice, bob, carol):
            membership = node.network.membership
            assert [membership.address_of(each) for each in node.members] == [
                each.addresses[0] for each in node.members
            ]
        await talk(world)
        assert sum(each.to == STRANGER for each in traffic.recorded) == answers  # each once, and no more follows

    World(1).run(scenario)


def swapped(datagrams: list[bytes]) -> Iterator[bytes]:
    """Session datagrams with the index of another session of the same node."""
    sessions = [datagram for datagram in datagrams if datagram[0] == 2]
    indices = sorted({datagram[1:5] for datagram in sessions})
    assert len(indices) >= 2
    for datagram in sessions:
        for index in indices:
            if index != datagram[1:5]:
                yield datagram[:1] + index + datagram[5:]


def answered(node: Node) -> list[object]:
    """With whom there are sessions, and how the others are seen: what forged datagrams would change."""
    return [node.network.endpoint.peers, [(each.id, each.state, each.incarnation) for each in node.members]]


def test_a_stranger_costs_no_memory_and_gets_no_answer() -> None:
    async def scenario(world: World) -> tuple[int, int]:
        traffic = Traffic(world)
        await conversation(world)
        bad = mutations(traffic, "memory")
        await attack(world, "alice", bad, 500, STRANGER)
        datagrams = cycle([next(bad) for _ in range(500)])
        tracemalloc.start()
        try:
            await attack(world, "alice", datagrams, 500, STRANGER)
            before, _ = tracemalloc.get_traced_memory()
            await attack(world, "alice", datagrams, 5000, STRANGER)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return after - before, sum(each.to == STRANGER for each in traffic.recorded)

    grown_bytes, answers = World(5).run(scenario)
    assert answers == 0
    assert grown_bytes < 64 * 1024


@pytest.mark.parametrize("seed", range(2))
def test_a_member_that_seals_nonsense_harms_nobody_else(seed: int) -> None:
    """Mallory has the key and a session: it sends mutated gossip, handshakes and messages."""

    async def scenario(world: World) -> None:
        world.expect("the handler of")
        alice, _, _ = await conversation(world)
        mallory = (await world.start("mallory", join=["alice"])).node
        await nonsense(world, mallory, alice, seed, COUNT)
        await world.nodes["mallory"].stop()
        await world.sleep(1.0)
        for name in ("bob", "carol"):
            assert await world.nodes[name].node.request(alice.id, "echo", 1, timeout_s=5.0) == 1

    World(seed).run(scenario)


async def nonsense(world: World, mallory: Node, victim: Node, seed: object, count: int) -> None:
    """So many mutated plaintexts from one member to another: a third each gossip, any cluster message, messages."""
    random = Random(f"nonsense {seed}")
    mutator, endpoint = Mutator(random), mallory.network.endpoint
    for number in range(count):
        bad = mutator.mutated(random.choice(GOOD), GOOD)
        match number % 3:
            case 0:
                endpoint.gossip(bad[:1000], victim.address)
            case 1:
                endpoint._transmit((bytes([random.randrange(8)]) + bad)[:1000], victim.address)
            case 2:
                endpoint.send(victim.id, [bad], world.now)
        if number % 50 == 0:
            mallory.network._driver.touch()
            await world.sleep(0.01)
    await world.sleep(1.0)
