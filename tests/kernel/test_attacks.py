"""What clocks that differ, and a mad member, can do to a node: its tables keep their bounds, others are served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from tests.kernel.fuzzing import Traffic, attack, conversation, footprint, growth, talk

from guthi import Node
from guthi.api import Address, NodeId
from guthi.configuration.config import Config
from guthi.membership.gossip import Gossip, Hello, Welcome, encode_comparison, encode_message
from guthi.membership.members import Member, MemberState, Role
from guthi.membership.records import encode_record
from guthi.membership.settings import GossipSettings
from guthi.membership.verdict import Verdict
from guthi.network import network
from guthi.network.tuning import gossip_settings
from guthi.security.identity import node_id_of
from guthi.testing import World, simulated

YEAR_S = 365 * 86_400.0
LIMIT = 64
"""How many members a table takes in these worlds."""


# ---- clocks that differ


@simulated
async def test_clocks_that_differ_neither_close_replay_windows_nor_open_them(world: World) -> None:
    traffic = Traffic(world, 100_000)
    alice, bob, _ = await conversation(world)
    for name, offset_s, rate in (("alice", YEAR_S, 1.0), ("bob", -10 * YEAR_S, 1.3), ("carol", 0.0, 0.8)):
        machine = world.nodes[name].machine
        machine.clock.wall_offset_s = offset_s
        machine.set_clock_rate(rate)
    await world.sleep(300.0)  # sessions change their keys by their own clocks
    await ask_all(world)
    for node in (alice, bob):
        assert not any("replayed" in reason or "repeated" in reason for reason in node.network.dropped)
    recorded = [each.datagram for each in traffic.recorded if each.to == alice.address]
    kept, seen = footprint(alice), [(each.id, each.incarnation, each.state) for each in alice.members]
    await attack(world, "alice", iter(recorded), len(recorded), bob.address)
    assert growth(kept, footprint(alice)) == {}
    assert [(each.id, each.incarnation, each.state) for each in alice.members] == seen
    await ask_all(world)


async def ask_all(world: World) -> None:
    """Each asks each, by its own clock."""
    for each in world.running():
        for other in world.running():
            if each is not other:
                request = partial(Node.request, member=other.name, topic="slow", value=1, timeout_s=10.0)
                assert await each.run(request) == 1


@simulated
async def test_a_node_whose_clock_went_back_while_it_was_down_is_let_in(world: World) -> None:
    alice, _, _ = await conversation(world)
    bob = world.nodes["bob"]
    for _ in range(3):
        bob.crash()
        bob.machine.clock.wall_offset_s -= YEAR_S
        await bob.restart()
        await world.until(world.is_whole, within=2.0)
        bob.node.handle("echo", lambda incoming: incoming.value)
        assert await alice.request("bob", "echo", 1, timeout_s=5.0) == 1


# ---- a member that is mad


@pytest.fixture
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(config: Config) -> GossipSettings:
        return replace(gossip_settings(config), max_members=LIMIT)

    monkeypatch.setattr(network, "gossip_settings", small)


def invented(seed: str) -> Iterator[Member]:
    """Members that do not exist, at addresses where nobody lives, with long names and many plugins."""
    random = Random(seed)
    while True:
        key = random.randbytes(32)
        address = Address(f"203.0.113.{random.randrange(1, 255)}", random.randrange(1, 65536))
        plugins = tuple((f"plugin-{number:02}", "1.0") for number in range(random.randrange(20)))
        name = random.choice(("bob", "carol", "n" * 60, str(random.random())))
        yield Member(
            node_id_of(key), name, (address,), "", random.choice((Role.PEER, Role.CLIENT)), random.randrange(9),
            random.choice((MemberState.ALIVE, MemberState.SUSPECT, MemberState.FAILED)), key, 1, plugins,
        )  # fmt: skip


async def say(world: World, mad: Node, victim: Node, payloads: Iterator[bytes], count: int) -> None:
    """So many membership messages, as fast as the simulated machine sends."""
    for number, payload in zip(range(count), payloads, strict=False):
        mad.network.endpoint.gossip(payload, victim.address)
        if number % 50 == 0:
            mad.network._driver.touch()
            await world.sleep(0.01)
    await world.sleep(0.5)


def floods(bob: Member) -> dict[str, Iterator[bytes]]:
    """Endless membership messages of each kind, all well formed, none true."""
    strangers = invented("mad")
    return {
        "gossip": (encode_message(Gossip, [encode_record(next(strangers)) for _ in range(3)]) for _ in iter(int, 1)),
        "hello": (encode_message(Hello, [encode_record(next(strangers))]) for _ in iter(int, 1)),
        "welcome": (encode_message(Welcome, [encode_record(next(strangers))]) for _ in iter(int, 1)),
        "comparison": (encode_comparison(next(strangers), Random(1).getrandbits(128)) for _ in iter(int, 1)),
        "names": (
            encode_message(Gossip, [encode_record(replace(bob, name=f"bob{number % 97}", incarnation=number))])
            for number in range(1, 10**9)
        ),
    }


@pytest.mark.parametrize("kind", ["gossip", "hello", "welcome", "comparison", "names"])
@pytest.mark.usefixtures("small_tables")
@simulated
async def test_a_flood_of_membership_messages_fills_no_table_beyond_its_bound(world: World, kind: str) -> None:
    world.expect("is in use at")  # the incarnations that mallory gives bob look like a twin's
    alice, bob, carol = await conversation(world)
    mallory = (await world.start("mallory", join=["alice"])).node
    await world.until(world.is_whole)
    sent_before = world.network.sent_datagrams["alice"]
    await say(world, mallory, alice, floods(bob.me)[kind], 2000)
    answered = world.network.sent_datagrams["alice"] - sent_before
    assert len(alice.network.membership.members) <= LIMIT
    large = {name: size for name, size in footprint(alice).items() if size > 4 * LIMIT and not is_elsewhere(name)}
    assert large == {}
    assert answered < 2 * 2000 + 500  # a Welcome for a Hello, and what gossip and a few syncs take
    for other in (bob, carol):
        assert await other.request(alice.id, "echo", 1, timeout_s=5.0) == 1
        assert await alice.request(other.id, "echo", 1, timeout_s=5.0) == 1
    assert len(world.journal.lines) < 200  # of all machines


def is_elsewhere(name: str) -> bool:
    """Of fixed size, or bounded by something else than members."""
    return name.startswith(("ReplayWindow", "Codec", "Config"))


@simulated
async def test_whom_a_mad_member_calls_failed_is_a_member_again_when_it_stops(world: World) -> None:
    alice, bob, carol = await conversation(world)
    mallory = (await world.start("mallory", join=["alice"])).node
    await world.until(world.is_whole)
    failed: list[NodeId] = []
    for _ in range(100):
        for victim in (alice, bob, carol):
            record = mallory.member(victim.name)
            verdict = Verdict(record.id, "direct", "it is boring", 0)
            lie = encode_message(Gossip, [encode_record(replace(record, state=MemberState.FAILED, verdict=verdict))])
            for listener in (alice, bob, carol):
                mallory.network.endpoint.gossip(lie, listener.address)
        mallory.network._driver.touch()
        await world.sleep(0.05)
        failed += [each.id for each in alice.network.membership.everybody() if each.state is MemberState.FAILED]
    assert failed  # the lie was heard
    await world.nodes["mallory"].stop()
    await world.until(world.is_whole, within=2.0)
    await talk(world)
