"""LAN discovery: nodes of one cluster find one another, others do not, and nobody's table is filled."""

from __future__ import annotations

import asyncio
import builtins
import logging
import socket
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from guthi import Config, Node
from guthi.api import Address, Announcement
from guthi.errors import ConfigError
from guthi.network.discovery import MAX_FOUND, LanDiscovery, announcement_of, cluster_tag
from guthi.security.keyring import MAX_KEYS, ClusterKey, Keyring
from guthi.security.rotation import Action, Change
from guthi.testing import World, simulated

KEY, OTHER = ClusterKey(b"k" * 32), ClusterKey(b"o" * 32)
LAN = {"discovery": "lan"}
ADDRESSES = (Address("10.0.0.1", 6969),)


class Silent:
    """A host that announces nothing."""

    async def open_beacon(self, announcement: Announcement, found: Any) -> Silent:
        return self

    async def update(self, announcement: Announcement) -> None: ...

    async def close(self) -> None: ...


class Hour:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def listening(
    joined: list[Address],
    me: Sequence[Address] = ADDRESSES,
    *,
    clock: Hour | None = None,
    left: Callable[[Sequence[Address]], None] = lambda _: None,
    listed: Sequence[Address] = (),
) -> LanDiscovery:
    lan = LanDiscovery(Silent(), joined.extend, left, clock or Hour())  # type: ignore[arg-type]
    await lan.start(Announcement("me", tuple(me), (cluster_tag(KEY),)), listed)
    return lan


def heard(*addresses: Address, key: ClusterKey = KEY, instance: str = "you") -> Announcement:
    return Announcement(instance, addresses, (cluster_tag(key),))


YOU = Address("10.0.0.2", 6969)


async def test_who_announces_our_cluster_is_joined_once() -> None:
    joined: list[Address] = []
    lan = await listening(joined)
    for _ in range(3):
        lan.found(heard(YOU))
    assert joined == [YOU]


@pytest.mark.parametrize(
    "announcement",
    [
        heard(YOU, key=OTHER),
        heard(YOU, instance="me"),
        heard(Address("127.0.0.1", 6969)),
        Announcement("you", (YOU,), ()),
        Announcement("you", (), (cluster_tag(KEY),)),
    ],
)
async def test_who_is_not_joined(announcement: Announcement) -> None:
    joined: list[Address] = []
    (await listening(joined)).found(announcement)
    assert joined == []


async def test_on_loopback_the_others_of_this_machine_are_joined() -> None:
    joined: list[Address] = []
    lan = await listening(joined, [Address("127.0.0.1", 1)])
    lan.found(heard(Address("127.0.0.1", 2)))
    assert joined == [Address("127.0.0.1", 2)]


async def test_announcements_without_end_are_joined_up_to_a_bound() -> None:
    joined: list[Address] = []
    lan = await listening(joined)
    for number in range(10 * MAX_FOUND):
        lan.found(heard(Address("10.0.0.3", 1 + number), Address("10.0.0.4", 1 + number)))
    assert len(joined) == MAX_FOUND


async def test_who_restarts_on_another_port_each_time_is_found_however_often() -> None:
    joined: list[Address] = []
    left: list[Address] = []
    clock = Hour()
    lan = await listening(joined, clock=clock, left=left.extend)
    ports = range(1, 2 * MAX_FOUND + 1)
    for port in ports:
        lan.found(heard(Address("10.0.0.3", port)))
        clock.now += 30.0
    assert [address.port for address in joined] == list(ports)
    assert [address.port for address in left] == list(ports)[:MAX_FOUND]


async def test_the_one_not_heard_for_longest_is_forgotten_first() -> None:
    left: list[Address] = []
    clock = Hour()
    lan = await listening([], clock=clock, left=left.extend)
    for port in (*range(MAX_FOUND), 0, MAX_FOUND):
        lan.found(heard(Address("10.0.0.3", 1 + port)))
        clock.now += 30.0
    assert left == [Address("10.0.0.3", 2)]


async def test_invented_announcements_bring_no_more_than_a_hello_a_second() -> None:
    joined: list[Address] = []
    clock = Hour()
    lan = await listening(joined, clock=clock)
    for number in range(20 * MAX_FOUND):
        lan.found(heard(Address("10.0.0.3", 1 + number)))
        clock.now += 0.1
    assert len(joined) <= MAX_FOUND + clock.now + 1


async def test_an_address_of_the_join_list_is_never_given_up() -> None:
    joined: list[Address] = []
    lan = await listening(joined, listed=[YOU])
    lan.found(heard(YOU))
    assert joined == []


def test_a_tag_tells_clusters_apart_and_shows_neither_key_nor_key_id() -> None:
    tag = cluster_tag(KEY)
    assert tag != cluster_tag(OTHER) and len(tag) == 16
    assert KEY.fingerprint not in tag and tag not in KEY.secret.hex()


def test_a_full_keyring_fits_an_announcement() -> None:
    service = pytest.importorskip("guthi.host.discovery_mdns")
    keyring = Keyring([ClusterKey(bytes([number]) * 32) for number in range(MAX_KEYS)])
    me = SimpleNamespace(id="me", addresses=ADDRESSES)
    said = announcement_of(me, keyring)  # type: ignore[arg-type]
    assert cluster_tag(keyring.primary) in said.tags
    assert service._announcement(service._service(said)).tags == said.tags


@simulated
async def test_nodes_find_one_another_without_any_address(world: World) -> None:
    for name in ("alice", "bob", "carol"):
        await world.start(name, node=LAN)
    took_s = await world.until(world.is_whole, within=5.0)
    assert took_s < 2.0


@simulated
async def test_another_cluster_on_the_same_network_is_left_alone(world: World) -> None:
    await world.start("alice", node=LAN)
    stranger = world.add("stranger", node=LAN)
    stranger.config = stranger.config.with_overrides(security={"cluster_key": OTHER.text()})
    await stranger.start()
    await world.sleep(20.0)
    assert stranger.node.members == [] and world.nodes["alice"].node.members == []
    assert world.network.sent_datagrams.total() == 0


@simulated
async def test_a_node_that_comes_back_is_found_again(world: World) -> None:
    await world.start("alice", node=LAN)
    bob = world.add("bob", node=LAN, disk=False)
    await bob.start()
    await world.until(world.is_whole)
    await bob.stop()
    await bob.restart()
    await world.until(world.is_whole, within=5.0)


def test_without_multicast_the_node_says_so_and_goes_on_with_join(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        world.network.lan.has_multicast = False
        await world.start("alice", node=LAN)
        await world.start("bob", node=LAN, join=["alice"])
        await world.until(world.is_whole)

    with caplog.at_level(logging.WARNING, "guthi"):
        World(1).run(scenario)
    assert "only by `join`: the simulated network drops multicast" in caplog.text


@simulated
async def test_after_a_rotation_holders_of_the_new_key_are_found(world: World) -> None:
    alice = await world.start("alice", node=LAN)
    for change in (Change(Action.ADD, KEY.secret), Change(Action.USE, KEY.key_id)):
        await alice.node.network.keys.change([alice.node.me], change, 5.0)
    bob = world.add("bob", node=LAN)
    bob.config = bob.config.with_overrides(security={"cluster_key": KEY.text()})
    await bob.start()
    await world.until(world.is_whole, within=5.0)


async def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_zeroconf(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "guthi.host.discovery_mdns":
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_zeroconf)
    with pytest.raises(ConfigError, match=r"pip install \"guthi\[lan\]\""):
        async with Node(Config.from_mapping({"node": LAN}, environment={})):
            pass


def multicast_works() -> bool:
    """Whether a plain multicast datagram comes back over loopback, which containers may forbid."""
    group, loopback = "224.0.0.251", socket.inet_aton("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        try:
            port.bind(("", 0))
            port.settimeout(1.0)
            port.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + loopback)
            port.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
            port.sendto(b"probe", (group, port.getsockname()[1]))
            return port.recv(16) == b"probe"
        except OSError:
            return False


@pytest.mark.parametrize("name", ["x._guthi._tcp.local.", "nonsense.", "\x01._guthi._udp.local.", f"{'a' * 300}."])
async def test_a_name_that_cannot_be_is_nobodys(name: str) -> None:
    service = pytest.importorskip("guthi.host.discovery_mdns")
    found: list[Announcement] = []
    beacon = service.MulticastBeacon(None, heard(YOU), found.append)
    await beacon._look_up(name)
    assert found == []


class Lookups:
    """Stands in for the class AsyncServiceInfo: nothing is answered before it is let, and then everything is."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.under_way = self.most = 0

    def __call__(self, service_type: str, name: str) -> SimpleNamespace:
        return SimpleNamespace(
            name=name, port=6969, properties={}, parsed_addresses=lambda: ["10.0.0.2"], async_request=self._request
        )

    async def _request(self, zeroconf: Any, timeout_ms: int) -> bool:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.may_go_on.wait()
        self.under_way -= 1
        return True


def beacon_with(lookups: Lookups, found: list[Announcement], monkeypatch: pytest.MonkeyPatch) -> Any:
    service = pytest.importorskip("guthi.host.discovery_mdns")
    beacon = service.MulticastBeacon(SimpleNamespace(zeroconf=None), heard(YOU), found.append)
    monkeypatch.setattr(service, "AsyncServiceInfo", lookups)
    return beacon


async def test_who_is_announced_while_many_are_looked_up_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups, found = Lookups(), list[Announcement]()
    beacon = beacon_with(lookups, found, monkeypatch)
    service = pytest.importorskip("guthi.host.discovery_mdns")
    names = [f"n{number}" for number in range(3 * service.LOOKUPS_AT_A_TIME)]
    for name in names:
        beacon._changed(None, service.SERVICE, f"{name}.{service.SERVICE}", service.ServiceStateChange.Added)
    beacon._changed(None, service.SERVICE, f"{names[-1]}.{service.SERVICE}", service.ServiceStateChange.Removed)
    await asyncio.sleep(0)
    lookups.may_go_on.set()
    while beacon._lookups:
        await asyncio.wait(beacon._lookups)
        await asyncio.sleep(0)
    assert [each.instance for each in found] == names[:-1]
    assert lookups.most == service.LOOKUPS_AT_A_TIME


async def test_names_without_end_do_not_all_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    beacon = beacon_with(Lookups(), [], monkeypatch)
    service = pytest.importorskip("guthi.host.discovery_mdns")
    for number in range(3 * service.MAX_WAITING):
        beacon._changed(None, service.SERVICE, f"n{number}.{service.SERVICE}", service.ServiceStateChange.Added)
    assert len(beacon._waiting) == service.MAX_WAITING
    lookups = list(beacon._lookups)
    beacon._stop_looking()
    await asyncio.wait(lookups)
    await asyncio.sleep(0)
    assert not beacon._lookups and not beacon._waiting


async def test_who_announces_our_name_first_does_not_keep_us_from_announcing_it() -> None:
    service = pytest.importorskip("guthi.host.discovery_mdns")
    if not multicast_works():
        pytest.skip("no multicast on this machine")
    said = Announcement("me", (Address("127.0.0.1", 6969),), (cluster_tag(KEY),))
    first = await service.MulticastBeacon.open(said, lambda _: None)
    try:
        second = await service.MulticastBeacon.open(said, lambda _: None)
        await second.close()
    finally:
        await first.close()


async def test_two_real_nodes_find_one_another_by_multicast_on_this_machine() -> None:
    pytest.importorskip("zeroconf")
    if not multicast_works():
        pytest.skip("no multicast on this machine")
    config = Config.from_mapping({"node": LAN, "security": {"cluster_key": KEY.text()}}, environment={})
    async with Node(config) as one, Node(config) as other:
        async with asyncio.timeout(20.0):
            while not (one.members and other.members):
                await asyncio.sleep(0.05)
    assert one.network._lan._beacon is None
