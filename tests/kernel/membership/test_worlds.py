"""Membership in simulated worlds of whole nodes: verdicts, restarts, partitions, twins, moves."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from typing import ClassVar

import pytest
from tests.kernel.nodes import Line, a_node, until

import guthi
from guthi import Address, MemberState, Plugin
from guthi.membership.records import encode_records
from guthi.network import addressing
from guthi.security.identity import node_id_of
from guthi.security.keyring import ClusterKey
from guthi.testing import World, simulated


@simulated
async def test_a_verdict_says_who_found_what_and_ends_requests_in_flight(world: World) -> None:
    alice = await world.start("alice")
    bob, carol = [await world.start(name, join=["alice"]) for name in ("bob", "carol")]
    await world.until(world.is_whole)
    carol.node.handle("sleep", lambda _: asyncio.sleep(3600))
    waiting = asyncio.create_task(bob.node.request("carol", "sleep", None))
    await world.sleep(1.0)
    world.network.partition(["carol"])
    alice.node.accuse(
        alice.node.member("carol"), MemberState.FAILED, path="via bob", evidence="no echo within 10 s", health=1
    )
    with pytest.raises(guthi.PeerLost) as lost:
        await waiting
    assert str(lost.value) == "lost carol: it failed, as alice found (via bob): no echo within 10 s"
    assert bob.node.member("carol").verdict == guthi.Verdict(alice.node.id, "via bob", "no echo within 10 s", 1)
    with pytest.raises(guthi.PeerLost, match="as alice found"):
        await bob.node.request("carol", "sleep", None)
    world.network.heal()
    carol.node.send_datagram("bob", "anything", None)
    await world.until(world.is_whole)
    assert bob.node.member("carol").verdict is None


@simulated
async def test_a_silent_session_is_told_as_evidence(world: World) -> None:
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    alice.node.handle("sleep", lambda _: asyncio.sleep(3600))
    waiting = asyncio.create_task(bob.node.request("alice", "sleep", None))
    await world.sleep(1.0)
    alice.crash()
    with pytest.raises(guthi.PeerLost):
        await waiting
    suspect = bob.node.member("alice")
    assert suspect.state is MemberState.SUSPECT and suspect.verdict is not None
    assert (suspect.verdict.accuser, suspect.verdict.path) == (bob.node.id, "direct")
    assert "10 s" in suspect.verdict.evidence


def lines(world: World, text: str) -> list[str]:
    """What was logged with this in it, on whichever machine."""
    return [line for line in world.journal.lines if text in line]


@simulated
async def test_a_crashed_node_with_its_disk_comes_back_as_the_same_member(world: World) -> None:
    alice = await world.start("alice")
    bob, carol = [await world.start(name, join=["alice"]) for name in ("bob", "carol")]
    await world.until(world.is_whole)
    id = carol.node.id
    for _ in range(3):
        carol.crash()
        alice.node.accuse(id, MemberState.FAILED)
        await world.until(lambda: bob.node.member(id).state is MemberState.FAILED)
        await carol.restart()
        await world.until(world.is_whole, within=2.0)
        assert carol.node.id == id
    assert carol.node.me.incarnation >= 3
    assert not lines(world, "in use")


@pytest.mark.parametrize("seed", range(6))
def test_a_crashed_node_that_the_others_joined_comes_back_at_once(seed: int) -> None:
    async def scenario(world: World) -> None:
        alice = await world.start("alice")
        for number in range(9):
            await world.start(f"n{number}", join=["alice"])
        await world.until(world.is_whole)
        await world.sleep(120.0)
        alice.crash()
        await alice.restart()
        await world.until(world.is_whole, within=2.0)

    World(seed).run(scenario)


@simulated
async def test_a_node_that_moved_is_found_at_its_new_address(world: World) -> None:
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    old = bob.node.address
    bob.crash()
    moved = world.add("moved", join=["alice"])
    shutil.copytree(bob.machine.disk, moved.machine.disk)
    await moved.start()
    await world.until(world.is_whole, within=2.0)
    moved.node.handle("echo", lambda incoming: incoming.value)
    assert moved.node.address != old
    assert await alice.node.request(moved.node.id, "echo", 1, timeout_s=1.0) == 1


@simulated
async def test_a_copied_identity_is_noticed_on_both_machines_and_ends_no_peace(world: World) -> None:
    world.expect("is in use at")
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    twin = world.add("twin", join=["alice"])
    shutil.copytree(bob.machine.disk, twin.machine.disk)
    await twin.start()
    await world.sleep(60.0)
    said = lines(world, "in use")
    assert len(said) == 2 and all("a data_dir was copied" in line for line in said)
    raised = max(node.node.me.incarnation for node in (bob, twin))
    assert raised < 20
    await world.sleep(300.0)
    assert max(node.node.me.incarnation for node in (bob, twin)) == raised
    assert alice.node.member(bob.node.id).state is MemberState.ALIVE


@simulated
async def test_a_copied_identity_is_noticed_in_a_network_that_has_long_been_at_rest(world: World) -> None:
    world.expect("is in use at")
    for number in range(10):
        bob = await world.start(f"n{number}", join=["n0"] if number else [])
    await world.sleep(300.0)
    twin = world.add("twin", join=["n0"])
    shutil.copytree(bob.machine.disk, twin.machine.disk)
    await twin.start()
    await world.until(lambda: len(lines(world, "in use")) == 2, within=90.0)


async def reached_after_s(world: World, node: str, id: guthi.NodeId) -> float:
    """How long it takes until a member answers a node that asks it again and again."""
    began_at = world.now
    while world.now - began_at < 60.0:
        try:
            await world.nodes[node].node.request(id, "echo", None, timeout_s=6.0)
            break
        except (guthi.PeerLost, guthi.DeadlineExceeded):
            await world.sleep(0.5)
    return world.now - began_at


@pytest.mark.parametrize("seed", [3, 6, 7])
def test_when_one_of_two_twins_has_crashed_all_soon_reach_the_other(seed: int) -> None:
    async def scenario(world: World) -> None:
        world.expect("is in use at")
        names = [f"n{number}" for number in range(5)]
        for name in names:
            await world.start(name, join=["n0"] if name != "n0" else [])
        bob = await world.start("bob", join=["n0"])
        twin = world.add("twin", join=["n1"])
        shutil.copytree(bob.machine.disk, twin.machine.disk)
        await twin.start()
        bob.node.handle("echo", lambda incoming: incoming.value)
        await world.sleep(60.0)
        twin.crash()
        took_s = await asyncio.gather(*(reached_after_s(world, name, bob.node.id) for name in names))
        assert max(took_s) < 20.0  # a session falls silent in 10 s, one dial fails in 5 s

    World(seed).run(scenario)


async def test_a_name_that_two_have_is_told_on_all_sides_once(caplog: pytest.LogCaptureFixture) -> None:
    async with a_node("alice") as alice, a_node("bob", alice), a_node("bob", alice):
        await until(lambda: caplog.text.count("two members are called 'bob'") == 3)


class Garden(Plugin):
    """A plugin that understands only its own major version."""

    name = "garden"
    version: ClassVar[str]

    async def run(self, stack: AsyncExitStack) -> None:
        self.node.network.membership.update_me(plugins=[(self.name, self.version)])


class Old(Garden):
    """As it was."""

    version = "1.4.0"


class New(Garden):
    """As it has become."""

    version = "2.0.0"


@simulated
async def test_an_incompatible_node_is_refused_and_both_sides_say_why(world: World) -> None:
    alice = await world.start("alice", plugins=[Old])
    started_at = world.now
    with pytest.raises(guthi.JoinFailed) as failure:
        await world.start("bob", plugins=[New], join=["alice"])
    assert str(failure.value) == (
        "alice at 10.0.0.1:6969 refused this node: it runs plugin garden 1.4.0 and this node 2.0.0, which do not "
        "understand one another; install the same version on both (guthi plugins shows what is installed)"
    )
    assert world.now - started_at < 1.0  # it does not wait for nothing
    assert alice.node.members == []
    [line] = [line for line in lines(world, "kept out") if "bob at" in line]
    assert "bob at 10.0.0.2:6969 is kept out: it runs plugin garden 2.0.0 and this node 1.4.0" in line


@simulated
async def test_who_is_refused_by_one_waits_for_the_others(world: World) -> None:
    await world.start("alice", plugins=[Old])
    world.add("carol")  # and does not start it
    with pytest.raises(guthi.JoinFailed, match=r"alice at .* refused this node: .*; no answer from 10.0.0.2:6969"):
        await world.start("bob", plugins=[New], join=["alice", "carol"])


@simulated
async def test_who_is_refused_does_not_begin_a_network_of_its_own(world: World) -> None:
    await world.start("alice", plugins=[Old])
    started_at = world.now
    with pytest.raises(guthi.JoinFailed, match=r"alice at .* refused this node"):
        await world.start("bob", plugins=[New], join=["alice", "bob"])
    assert world.now - started_at < 1.0


class Roaming(Line):
    """A machine that gets another address while its node runs."""

    def __init__(self) -> None:
        super().__init__()
        self.host = "127.0.0.1"

    def interface_addresses(self, bound: Address) -> list[Address]:
        return [Address(self.host, bound.port)]


async def test_a_machine_that_gets_another_address_tells_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addressing, "ADDRESS_CHECK_S", 0.01)
    line = Roaming()
    key = {"security": {"cluster_key": ClusterKey.generate(Random(1).randbytes).text()}}
    async with (
        a_node("alice", tables=key) as alice,
        a_node("bob", alice, line=line, tables=key, listen="0.0.0.0:0") as bob,
    ):
        bob.handle("echo", lambda incoming: incoming.value)
        assert alice.member("bob").addresses == (Address("127.0.0.1", bob.address.port),)
        line.host = "127.0.0.2"
        await until(lambda: alice.member("bob").addresses == (Address("127.0.0.2", bob.address.port),))
        assert await alice.request("bob", "echo", 1) == 1


def readdress(world: World, name: str, ip: str, *, noticed: bool) -> None:
    """Give a machine another address in place of its own; if that is not noticed there, a NAT stands between."""
    machine = world.nodes[name].machine
    [port] = machine._ports.values()
    del world.network._by_ip[port.local_address.host]
    world.network._by_ip[ip] = machine
    port._address = Address(ip, port.local_address.port)
    if noticed:
        machine.ip = ip


@simulated
async def test_a_new_address_of_a_live_peer_reaches_every_record(world: World) -> None:
    await world.start("alice")
    bob = world.add("bob", join=["alice"])
    bob.config = bob.config.with_overrides(node={"listen": Address("0.0.0.0", 6969)})
    await bob.start()
    carol = await world.start("carol", join=["alice"])
    await world.until(world.is_whole)
    bob.node.handle("echo", lambda incoming: incoming.value)
    readdress(world, "bob", "10.77.0.1", noticed=True)
    now_at = (Address("10.77.0.1", 6969),)
    others = [world.nodes[name].node for name in ("alice", "carol")]
    await world.until(
        lambda: all(each.member("bob").addresses == now_at for each in others), within=addressing.ADDRESS_CHECK_S + 1
    )
    assert await carol.node.request("bob", "echo", 1, timeout_s=1.0) == 1  # they had no session
    assert world.is_whole()


@simulated
async def test_a_peer_whose_nat_moves_is_sent_to_where_its_session_proves_it_is(world: World) -> None:
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    await world.until(world.is_whole)
    alice.node.handle("echo", lambda incoming: incoming.value)
    heard: list[int] = []
    bob.node.handle_datagram("beat", lambda incoming: heard.append(incoming.value))
    assert await bob.node.request("alice", "echo", 1, timeout_s=1.0) == 1
    readdress(world, "bob", "10.77.0.1", noticed=False)
    alice.node.send_datagram("bob", "beat", 1)
    assert await bob.node.request("alice", "echo", 2, timeout_s=5.0) == 2
    await world.sleep(0.5)  # until what was sent there has been acknowledged
    alice.node.send_datagram("bob", "beat", 2)
    await world.sleep(0.5)
    assert heard == [2]
    assert alice.node.member("bob").addresses == bob.node.me.addresses  # what it says of itself is its own matter


async def split(world: World, **gossip: str) -> None:
    """Two and two, of which each side gives up the other."""
    names = ["alice", "bob", "carol", "dave"]
    for name in names:
        await world.start(name, join=["alice"] if name != "alice" else [], gossip=gossip)
    await world.until(world.is_whole)
    world.network.partition(names[:2], names[2:])
    for accuser, gone in (("alice", names[2:]), ("carol", names[:2])):
        for name in gone:
            node = world.nodes[accuser].node
            node.accuse(node.member(name), MemberState.FAILED)


@simulated
async def test_a_cut_of_five_hours_ends_as_soon_as_the_network_is_whole(world: World) -> None:
    await split(world)
    await world.sleep(5 * 3600.0)
    assert [len(each.node.members) for each in world.running()] == [1, 1, 1, 1]
    world.network.heal()
    await world.until(world.is_whole, within=15.0)


@simulated
async def test_who_has_been_forgotten_is_found_by_the_addresses_to_join(world: World) -> None:
    await split(world, forget="60s")
    await world.sleep(300.0)
    assert [len(each.node.network.membership.members) for each in world.running()] == [2, 2, 2, 2]
    world.network.heal()
    await world.until(world.is_whole, within=45.0)


@simulated
async def test_a_table_longer_than_a_message_reaches_newcomers_in_parts(world: World) -> None:
    short = {"max_message": 64 * 1024}
    alice = (await world.start("alice", transport=short)).node
    plugins = tuple((f"plugin-{number:02}", "1.0") for number in range(30))
    for number in range(200):
        key = number.to_bytes(32, "big")
        far = replace(alice.me, id=node_id_of(key), public_key=key, name=f"far{number}", plugins=plugins)
        alice.network.perform(alice.network.membership.met(far, world.now))
    assert len(encode_records(alice.network.membership.snapshot())) > 64 * 1024
    bob = (await world.start("bob", join=["alice"], transport=short)).node
    await world.until(lambda: len(bob.members) == 201, within=20.0)
