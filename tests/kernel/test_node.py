"""Whole nodes on loopback, in one process: they meet, talk, lose one another and leave."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.nodes import Line, a_node, names, until

import guthi
from guthi import Incoming, MemberState, Node, Plugin, Service, hookimpl, hookspec
from guthi.api import Address
from guthi.configuration.config import Config
from guthi.security.keyring import ClusterKey
from guthi.testing import Link, World, simulated

GREETER: Service[str] = Service("greeter")


async def test_a_request_is_answered_both_ways() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        alice.handle("echo", lambda incoming: ["alice", incoming.value])
        bob.handle("echo", lambda incoming: ["bob", incoming.value])
        for payload in (None, [1, "two", b"three"], b"x" * 300_000):
            assert await bob.request("alice", "echo", payload) == ["alice", payload]
            assert await alice.request(bob.me, "echo", payload) == ["bob", payload]
        assert await alice.request(bob.id, "echo", 1) == ["bob", 1]
        assert await alice.request(str(bob.id), "echo", 1) == ["bob", 1]


async def test_a_node_can_ask_itself() -> None:
    async with a_node("alice") as alice:
        alice.handle("echo", lambda incoming: [str(incoming.peer), incoming.value])
        assert await alice.request("alice", "echo", [1]) == [str(alice.id), [1]]
        with pytest.raises(guthi.UnknownTopic):
            await alice.request(alice.id, "nothing", None)


async def test_the_remote_exception_comes_with_its_traceback() -> None:
    def divide(incoming: Incoming) -> float:
        return 1 / float(incoming.value)

    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        alice.handle("divide", divide)
        assert await bob.request("alice", "divide", 4) == 0.25
        with pytest.raises(ZeroDivisionError) as caught:
            await bob.request("alice", "divide", 0)
        assert "remote traceback on alice" in caught.value.__notes__[0]
        assert "in divide" in caught.value.__notes__[0]


async def test_a_cast_arrives() -> None:
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        alice.handle("news", lambda incoming: arrived.put_nowait(incoming.value))
        await bob.cast("alice", "news", "spring")
        async with asyncio.timeout(5):
            assert await arrived.get() == "spring"


async def test_deadline_and_cancellation_reach_the_handler() -> None:
    started, stopped = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def forever(incoming: Incoming) -> None:
        started.release()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.release()

    async with asyncio.timeout(10), a_node("alice") as alice, a_node("bob", alice) as bob:
        alice.handle("forever", forever)
        with pytest.raises(guthi.DeadlineExceeded, match=r"no answer from alice within 0\.05 s"):
            await bob.request("alice", "forever", None, timeout_s=0.05)
        await stopped.acquire()
        await started.acquire()
        call = asyncio.create_task(bob.request("alice", "forever", None))
        await started.acquire()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await stopped.acquire()


async def test_a_peer_that_falls_silent_is_lost_within_the_timeout() -> None:
    line = Line()
    async with asyncio.timeout(10), a_node("alice", line=line) as alice, a_node("bob", alice) as bob:
        alice.handle("echo", lambda incoming: incoming.value)
        assert await bob.request("alice", "echo", 1) == 1
        line.is_cut = True
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(guthi.PeerLost, match=r"lost alice: no answer for 0\.5 s") as caught:
            await bob.request("alice", "echo", 2)
        assert 0.4 < loop.time() - start < 2
        assert caught.value.peer == "alice"
        assert bob.member("alice").state is MemberState.SUSPECT
        with pytest.raises(guthi.PeerLost, match="no answer from"):  # a new session is tried, in vain
            await bob.request("alice", "echo", 3)


async def test_a_suspect_that_is_heard_again_is_alive() -> None:
    line = Line()
    async with a_node("alice", line=line) as alice, a_node("bob", alice) as bob:
        alice.handle("echo", lambda incoming: incoming.value)
        line.is_cut = True
        with pytest.raises(guthi.PeerLost):
            await bob.request("alice", "echo", 1)
        line.is_cut = False
        assert await bob.request("alice", "echo", 2) == 2
        await until(lambda: bob.member("alice").state is MemberState.ALIVE)


async def test_a_failed_member_gets_nothing_more() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        line = alice.network.endpoint
        assert bob.id in line.peers
        forever = asyncio.create_task(alice.request("bob", "nothing", None))
        alice.accuse(bob.id, MemberState.FAILED)
        with pytest.raises((guthi.PeerLost, guthi.UnknownTopic)):
            await forever
        with pytest.raises(guthi.PeerLost):
            await alice.request(bob.id, "nothing", None)


async def test_strangers_and_unknown_topics() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        with pytest.raises(guthi.UnknownTopic, match="'weather'"):
            await bob.request("alice", "weather", None)
        with pytest.raises(guthi.UnknownMember, match="no member is called carol; known are: alice"):
            await bob.request("carol", "weather", None)
        with pytest.raises(guthi.NotEncodable):
            await bob.request("alice", "weather", object())


async def test_all_learn_of_all_through_one_address() -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(a_node("n0"))
        nodes = [first, *[await stack.enter_async_context(a_node(f"n{i}", first)) for i in range(1, 6)]]
        everybody = {node.name for node in nodes}
        await until(lambda: all(names(node) == everybody - {node.name} for node in nodes))
        nodes[5].handle("echo", lambda incoming: incoming.value)
        assert await nodes[1].request("n5", "echo", "hello") == "hello"


@simulated
@pytest.mark.guthi_seeds(10)
async def test_a_goodbye_that_overtakes_what_was_sent_before_loses_nothing(world: World) -> None:
    bob, alice = await world.start("bob"), await world.start("alice", join=["bob"])
    world.network.set_link(Link(latency_s=0.01, jitter_s=0.02, loss=0.1), ["alice"], ["bob"])
    heard: list[int] = []
    bob.node.handle("news", lambda incoming: heard.append(incoming.value))
    for number in range(20):
        await alice.node.cast("bob", "news", number)
    await alice.stop()
    assert sorted(heard) == [*range(20)]
    await world.until(lambda: not bob.node.network.endpoint.peers)


@simulated
async def test_where_a_member_was_is_forgotten_when_it_moves(world: World) -> None:
    await world.start("alice")
    await world.start("bob", join=["alice"])
    alice, bob = world.nodes["alice"].node, world.nodes["bob"].node
    home = bob.me.addresses
    for number in range(50):
        bob.network.membership.update_me(addresses=(*home, Address("10.9.9.9", 1 + number)))
        bob.network.perform(())
        await world.until(lambda: alice.member("bob").addresses == bob.me.addresses)
    assert len(alice.network.whereabouts) == 2
    await world.nodes["bob"].stop()
    await world.until(lambda: not alice.network.whereabouts)


async def test_one_of_several_addresses_is_enough() -> None:
    async with a_node("alice") as alice:
        join = ["127.0.0.1:9", str(alice.address), "no.such.host.invalid:7"]
        async with a_node("bob", join=join) as bob:
            assert names(bob) == {"alice"}


async def test_nobody_answers() -> None:
    with pytest.raises(guthi.JoinFailed, match=r"no answer from 127.0.0.1:9 within 0.1 s; check"):
        async with a_node("bob", join=["127.0.0.1:9"], join_timeout="100ms"):
            raise AssertionError("it has joined nobody")


async def test_the_first_node_may_list_itself() -> None:
    async with a_node("probe") as probe:
        address = probe.address
    async with a_node("alice", listen=str(address), join=[str(address)], join_timeout="100ms") as alice:
        assert (alice.address, alice.members) == (address, [])


async def test_static_discovery_stays_with_the_listed_nodes() -> None:
    def static(name: str, *join: Node) -> Node:
        return a_node(name, *join, discovery="static", tables={"gossip": {"interval": "10ms", "sync_interval": "20ms"}})

    async with static("alice") as alice, static("bob", alice) as bob, static("carol", alice) as carol:
        await until(lambda: names(alice) == {"bob", "carol"})
        await asyncio.sleep(0.3)  # time for many rounds of the gossip that must not come
        assert (names(bob), names(carol)) == ({"alice"}, {"alice"})


async def test_who_leaves_is_gone_at_once() -> None:
    async with a_node("alice") as alice:
        async with a_node("bob", alice) as bob:
            assert names(alice) == {"bob"}
            forever = asyncio.create_task(_ask_forever(alice, bob))
            await until(lambda: bool(bob.network.requests._serving))
        await until(lambda: names(alice) == set())
        assert alice.member(bob.id).state is MemberState.LEFT
        with pytest.raises((guthi.PeerLost, guthi.NodeClosed)):
            await forever
        with pytest.raises(guthi.PeerLost, match="lost bob: it has left"):
            await alice.request(bob.id, "x", None)


async def _ask_forever(asking: Node, asked: Node) -> None:
    async def forever(incoming: Incoming) -> None:
        await asyncio.Event().wait()

    asked.handle("forever", forever)
    await asking.request(asked.me, "forever", None)


async def test_a_node_is_used_while_it_runs() -> None:
    node = a_node("alice")
    with pytest.raises(guthi.NodeClosed, match="inside `async with`"):
        _ = node.address
    async with node:
        task = node.start(asyncio.Event().wait())
    assert task.cancelled()
    with pytest.raises(guthi.NodeClosed):
        await node.request("alice", "x", None)
    with pytest.raises(guthi.UsageError, match="a node runs once"):
        async with node:
            pass


async def test_two_keys_are_two_networks() -> None:
    """Neither learns that the other exists: what cannot be opened is dropped and never answered."""
    keys = [ClusterKey(bytes([number] * 32)).text() for number in (1, 2)]
    line = Line()
    async with a_node("alice", line=line, tables={"security": {"cluster_key": keys[0]}}) as alice:
        with pytest.raises(guthi.JoinFailed, match="same cluster key"):
            async with a_node(
                "mallory", alice, join_timeout="500ms", tables={"security": {"cluster_key": keys[1]}}
            ) as mallory:
                raise AssertionError(f"joined as {mallory}")
        assert line.received >= 2
        assert line.sent == 0
        assert alice.network.endpoint.dropped.total() == line.received
        assert alice.network.dropped == {"cluster seal: unknown_key": line.received}
        assert alice.members == []
        async with a_node("bob", alice, tables={"security": {"cluster_keys": [keys[0], keys[1]]}}) as bob:
            assert names(bob) == {"alice"}


async def test_garbage_is_counted_and_harmless() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        endpoint = alice.network.endpoint
        before = endpoint.dropped.total()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=alice.address)
        for number in range(200):
            transport.sendto(bytes([number % 5] * number))
        await until(lambda: endpoint.dropped.total() >= before + 199)
        transport.close()
        alice.handle("echo", lambda incoming: incoming.value)
        assert await bob.request("alice", "echo", 1) == 1


async def test_what_is_advertised_is_what_others_see() -> None:
    async with a_node("alice") as alice, a_node("bob", alice, advertise=["localhost:7001"]) as bob:
        assert [address.port for address in bob.me.addresses][:1] == [7001]
        assert alice.member("bob").addresses == bob.me.addresses
    with pytest.raises(guthi.ConfigError, match="no such host"):
        async with a_node("carol", advertise=["no.such.host.invalid:7"]):
            raise AssertionError("nobody can reach it")


async def test_a_taken_port() -> None:
    async with a_node("alice") as alice:
        with pytest.raises(guthi.AddressUnavailable, match="is taken by another process; stop it, or choose another"):
            async with a_node("bob", listen=str(alice.address)):
                raise AssertionError("two nodes have one port")


# ---- plugins


class Diary(Plugin):
    """Writes down what it is told, and what it does itself."""

    name = "diary"

    def __init__(self, node: Node, config: Any) -> None:
        super().__init__(node, config)
        self.lines: list[str] = []

    async def run(self, stack: AsyncExitStack) -> None:
        self.lines.append("run")
        stack.callback(self.lines.append, "undone")

    @hookimpl
    def node_started(self, node: Node) -> None:
        self.lines.append(f"{node.name} started")

    @hookimpl
    def node_stopping(self) -> None:
        self.lines.append("stopping")

    @hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        self.lines.append(f"{member.name} joined")

    @hookimpl
    def member_updated(self, member: guthi.Member) -> None:
        self.lines.append(f"{member.name} updated to {member.zone}")

    @hookimpl
    def member_suspected(self, member: guthi.Member) -> None:
        self.lines.append(f"{member.name} suspected")

    @hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        self.lines.append(f"{member.name} failed")

    @hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        self.lines.append(f"{member.name} recovered")

    @hookimpl
    def member_left(self, member: guthi.Member) -> None:
        self.lines.append(f"{member.name} left")


def diary_of(node: Node) -> list[str]:
    [diary] = [plugin for plugin in node.plugins if isinstance(plugin, Diary)]
    return diary.lines


async def test_the_life_of_others_is_told_in_order() -> None:
    alice = a_node("alice", plugins=[Diary])
    async with alice:
        async with a_node("bob", alice) as bob:
            alice.accuse(bob.id, MemberState.SUSPECT)
            await until(lambda: "bob recovered" in diary_of(alice))  # it has refuted that
            alice.accuse(bob.id, MemberState.FAILED)
            await until(lambda: diary_of(alice).count("bob recovered") == 2)
        await until(lambda: "bob left" in diary_of(alice))
    assert diary_of(alice) == [
        "run", "alice started", "bob joined", "bob suspected", "bob recovered", "bob failed", "bob recovered",
        "bob left", "stopping", "undone",
    ]  # fmt: skip


@simulated
async def test_a_member_that_comes_back_elsewhere_before_it_was_missed_is_updated(world: World) -> None:
    alice = await world.start("alice", plugins=[Diary])
    bob = await world.start("bob", join=["alice"], node={"zone": "lab", "data_dir": "data"})
    bob.crash()
    bob.config = bob.config.with_overrides(node={"zone": "attic"})
    await bob.start()
    await world.until(lambda: alice.node.member("bob").zone == "attic")
    assert diary_of(alice.node) == ["run", "alice started", "bob joined", "bob updated to attic"]


async def test_plugins_start_in_the_order_of_their_needs_and_stop_in_reverse() -> None:
    order: list[str] = []

    class Greeter(Plugin):
        name = "greeter"
        provides = (GREETER,)

        async def run(self, stack: AsyncExitStack) -> None:
            order.append("greeter")
            self.node.provide(GREETER, "hello")
            stack.callback(order.append, "no greeter")

    class Guest(Plugin):
        name = "guest"
        requires = (GREETER,)

        async def run(self, stack: AsyncExitStack) -> None:
            order.append(self.node.require(GREETER))
            stack.callback(order.append, "no guest")

    async with a_node("alice", plugins=[Guest, Greeter]) as alice:
        assert [plugin.name for plugin in alice.plugins] == ["greeter", "guest"]
        assert alice.require(GREETER) == "hello"
        assert alice.me.plugins == (("greeter", "0"), ("guest", "0"))
    assert order == ["greeter", "hello", "no guest", "no greeter"]


class Lazy(Plugin):
    """Promises what it does not provide."""

    name = "lazy"
    provides = (GREETER,)


class Needy(Plugin):
    """Needs what nobody provides."""

    name = "needy"
    requires = (GREETER,)


class Misspelt(Plugin):
    """Implements a hook that does not exist."""

    name = "misspelt"

    @hookimpl
    def member_joind(self, member: guthi.Member) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Lazy, "'lazy' promises the service 'greeter' but provides none"),
        (Needy, "'needy' requires the service 'greeter'"),
        (Misspelt, "'misspelt' implements a hook that does not exist"),
    ],
)
async def test_a_plugin_that_does_not_fit_is_a_start_up_error(plugin: type[Plugin], message: str) -> None:
    node = a_node("alice", plugins=[Diary, plugin])
    with pytest.raises(guthi.PluginError, match=message):
        async with node:
            raise AssertionError("it has started")
    if node.plugins:
        assert diary_of(node) in ([], ["run", "undone"])


async def test_an_unknown_plugin_is_refused() -> None:
    with pytest.raises(guthi.PluginError, match="'mutx' is not installed"):
        async with Node(Config.from_mapping({"node": {"plugins": ["mutx"]}}, environment={})):
            raise AssertionError("it has started")


async def test_a_plugins_table_is_checked_against_its_config() -> None:
    @dataclass(frozen=True)
    class Settings:
        volume: int = 3

    class Radio(Plugin):
        name = "radio"
        Config = Settings

    async with a_node("alice", plugins=[Radio]) as alice:
        assert alice.plugins[0].config == Settings(3)


async def test_a_failing_hook_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Grumpy(Plugin):
        name = "grumpy"

        @hookimpl
        def member_joined(self, member: guthi.Member) -> None:
            raise RuntimeError("who let them in?")

    async with a_node("alice", plugins=[Grumpy, Diary]) as alice:
        with caplog.at_level(logging.ERROR):
            async with a_node("bob", alice):
                assert "bob joined" in diary_of(alice)
        assert "plugin 'grumpy' failed in the hook member_joined" in caplog.text


async def test_a_plugins_own_hooks_are_answered_by_others() -> None:
    class Specs:
        @hookspec
        def greetings(self, name: str) -> object:
            """Ways to greet somebody."""

    class Host(Plugin):
        name = "host"
        hookspecs = Specs

    class Polite(Plugin):
        name = "polite"

        @hookimpl
        def greetings(self, name: str) -> str:
            return f"good day, {name}"

    async with a_node("alice", plugins=[Polite, Host]) as alice:
        assert alice.hooks.gather("greetings", name="bob") == ["good day, bob"]


async def test_names_are_chosen_and_clients_are_marked() -> None:
    async with Node(Config.from_mapping({"node": {"role": "client"}}, environment={})) as node:
        assert node.name.endswith(str(node.id)[:4])
        assert node.me.role is guthi.Role.CLIENT


async def test_two_nodes_cannot_have_one_identity_at_a_time(tmp_path: Path) -> None:
    config = Config.from_mapping({"node": {"name": "alice", "data_dir": str(tmp_path)}}, environment={})
    async with guthi.Node(config) as first:
        with pytest.raises(guthi.ConfigError, match="identity"):
            async with guthi.Node(config):
                pass
        identity = first.id
    async with guthi.Node(config) as again:
        assert again.id == identity
