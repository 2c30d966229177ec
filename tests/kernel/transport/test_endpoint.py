"""Endpoints in a small seeded network: one session a pair, whoever dials, and no answer to those outside."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest
from tests.kernel.stations import KEY, Station, World

from guthi.api import Address, NodeId
from guthi.security.keyring import ClusterKey, Keyring
from guthi.security.seal import ClusterSeal
from guthi.transport.endpoint import (
    DatagramArrived,
    Endpoint,
    GossipArrived,
    LinkState,
    MessageArrived,
    PeerConnected,
    PeerDisconnected,
    PeerMoved,
    PostRefused,
    StraySession,
)
from guthi.transport.wire import HEADER, SESSION_KIND

STRANGER = Address("192.0.2.1", 1)


def tables(endpoint: Endpoint) -> list[int]:
    """The size of all that an endpoint remembers of others, sessions and handshakes."""
    return [
        len(table)
        for table in (
            endpoint._links,
            endpoint._sessions,
            endpoint._dialing._dials,
            endpoint._dialing._half_open,
            endpoint._alarms,
            endpoint._stirred,
            endpoint._events,
            endpoint._outgoing,
            endpoint._seal._senders,
        )
    ]


# ---- dialing


def test_a_message_opens_a_session_in_three_steps() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"hello ", b"there"], world.now)
    world.run(0.1)
    assert a.events == [PeerConnected(b.id, b.address, b"I am " + str(b.address).encode())]
    assert b.events == [
        PeerConnected(a.id, a.address, b"I am " + str(a.address).encode()),
        MessageArrived(a.id, b.events[1].body),  # type: ignore[union-attr]
    ]
    assert b.bodies == [b"hello there"]
    steps = [(datagram[0], source) for datagram, source, _ in world.record[:3]]
    assert steps == [(1, a.address), (1, b.address), (SESSION_KIND, a.address)]


def test_the_session_serves_both_directions_and_is_kept() -> None:
    world = World()
    a, b = world.pair()
    for number in range(10):
        a.endpoint.send(b.id, [b"there %d" % number], world.now, channel=2)
        b.endpoint.send(a.id, [b"back %d" % number], world.now, channel=2)
        world.run(20.0)
    assert b.bodies == [b"there %d" % number for number in range(10)]
    assert a.bodies == [b"back %d" % number for number in range(10)]
    assert a.course == b.course == ["PeerConnected"]
    assert a.endpoint.settled and b.endpoint.settled
    round_trip_s = a.endpoint.round_trip_s(b.id)
    assert round_trip_s is not None and 0.02 <= round_trip_s < 0.03
    assert a.endpoint.peers == [b.id]
    assert a.endpoint.state(b.id) is LinkState.OPEN


def test_connect_alone_opens_a_session() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.connect(b.id, world.now)
    a.endpoint.connect(b.id, world.now)
    world.run(1.0)
    assert a.course == b.course == ["PeerConnected"]


@pytest.mark.parametrize("share", range(4))
def test_two_that_dial_at_once_have_one_session_and_lose_nothing(share: int) -> None:
    for seed in range(100 * share, 100 * (share + 1)):
        crossing_world(seed)


def crossing_world(seed: int) -> None:
    """Both post before, while and after they dial; at the end each has what the other posted, over one session."""
    random = Random(seed)
    world = World(
        seed,
        loss=random.choice([0.0, 0.1, 0.2]),
        duplication=random.choice([0.0, 0.3]),
        jitter_s=random.choice([0.0, 0.05, 0.6]),
    )
    world.handshake_timeout_s, world.timeout_s = 15.0, 60.0  # bad luck for ten seconds is no matter of this test
    a, b = world.pair()
    for number in range(10):
        for sender, receiver in ((a, b), (b, a)):
            moment = world.now + random.choice([0.0, 0.0, random.random() / 20, random.random()])
            body = b"%d to %s" % (number, receiver.id)
            world.at(moment, partial(post_now, world, sender, receiver, body))
    world.run(40.0)
    while not (a.endpoint.settled and b.endpoint.settled):  # a keep-alive may be under way
        assert world.now < 1100.0, f"seed {seed}: not settled"
        world.run(0.1)
    for receiver in (a, b):
        expected = [b"%d to %s" % (number, receiver.id) for number in range(10)]
        assert Counter(receiver.bodies) == Counter(expected), f"seed {seed}"
        assert receiver.course == ["PeerConnected"], f"seed {seed}"
        assert len(receiver.endpoint._sessions) == len(receiver.endpoint._alarms) == 1, f"seed {seed}"
        assert not receiver.endpoint._dialing._dials and not receiver.endpoint._dialing._half_open, f"seed {seed}"


def post_now(world: World, sender: Station, receiver: Station, body: bytes) -> None:
    sender.endpoint.send(receiver.id, [body], world.now)


@pytest.mark.parametrize("seed", range(10))
def test_many_nodes_that_all_talk_to_all_have_one_session_a_pair(seed: int) -> None:
    world = World(seed, loss=0.1, jitter_s=0.05)
    stations = [world.add() for _ in range(6)]
    for sender in stations:
        for receiver in stations:
            if sender is not receiver:
                sender.endpoint.send(receiver.id, [sender.id + receiver.id], world.now)
    world.run(30.0)
    for receiver in stations:
        others = [sender for sender in stations if sender is not receiver]
        assert sorted(receiver.bodies) == sorted(sender.id + receiver.id for sender in others)
        assert receiver.endpoint.peers == sorted(sender.id for sender in others)
        assert len(receiver.endpoint._sessions) == 5


def test_a_peer_without_a_route_is_given_up_at_once() -> None:
    world = World()
    a = world.add()
    nobody = NodeId(bytes(16))
    a.endpoint.send(nobody, [b"x"], world.now)
    world.flush()
    assert a.events == [PeerDisconnected(nobody, "no address of it is known")]
    assert a.sent == 0
    assert tables(a.endpoint)[:4] == [0, 0, 0, 0]


def test_a_peer_that_does_not_answer_is_given_up_after_the_handshake_timeout() -> None:
    world = World()
    a, b = world.pair()
    world.unreachable.add(b.address)
    a.endpoint.send(b.id, [b"x"], world.now)
    world.run(4.9)
    assert a.events == []
    world.run(0.2)
    (event,) = a.events
    assert isinstance(event, PeerDisconnected) and event.silent and "no answer" in event.reason
    assert a.sent == 7
    assert tables(a.endpoint)[:4] == [0, 0, 0, 0]
    assert a.endpoint.deadline is None
    world.unreachable.clear()
    a.endpoint.send(b.id, [b"y"], world.now)
    world.run(1.0)
    assert b.bodies == [b"y"]


def test_after_a_lost_init_and_a_lost_response_the_handshake_still_succeeds() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"x"], world.now)
    for blocked in (b.address, a.address):
        world.unreachable = {blocked}
        world.run(0.5)
    world.unreachable = set()
    world.run(5.0)
    assert b.bodies == [b"x"]
    assert a.course == b.course == ["PeerConnected"]


# ---- half-open sessions


def half_open_pair(world: World) -> tuple[Station, Station]:
    """Node `a` has dialed, and its peer `b` has answered, but nothing has come back yet."""
    a, b = world.pair()
    a.endpoint.connect(b.id, world.now)
    world.run(0.015)
    assert len(b.endpoint._dialing._half_open) == 1
    return a, b


def test_an_unconfirmed_session_expires() -> None:
    world = World()
    a, b = half_open_pair(world)
    world.unreachable.add(a.address)
    world.run(6.0)
    assert b.events == []
    assert tables(b.endpoint)[:6] == [0] * 6
    assert b.endpoint.deadline is None


@pytest.mark.parametrize("post", [True, False])
def test_who_wants_the_peer_meanwhile_waits_for_it_and_dials_when_it_does_not_come(post: bool) -> None:
    world = World()
    a, b = half_open_pair(world)
    restarted = world.add(identity=a.identity, address=a.address)  # nobody will confirm
    if post:
        b.endpoint.send(a.id, [b"x"], world.now)
    else:
        b.endpoint.connect(a.id, world.now)
    assert b.endpoint.state(a.id) is LinkState.IDLE
    world.run(7.0)
    assert b.course == restarted.course == ["PeerConnected"]
    assert restarted.bodies == [b"x"] * post


def test_disconnecting_from_a_peer_that_is_waited_for_is_told() -> None:
    world = World()
    a, b = half_open_pair(world)
    world.unreachable.add(a.address)
    b.endpoint.send(a.id, [b"x"], world.now)
    b.endpoint.disconnect(a.id, "no longer wanted")
    world.run(7.0)
    assert b.events == [PeerDisconnected(a.id, "no longer wanted")]


def test_a_replayed_init_makes_no_session_in_use() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"x"], world.now)
    world.run(1.0)
    init = world.record[0][0]
    restarted = world.add(identity=b.identity, address=b.address)  # its seal has not seen the datagram yet
    for _ in range(3):
        world.hand_over(init, STRANGER, b.address)
    world.run(0.5)
    assert restarted.events == []
    assert restarted.endpoint.peers == []
    answers = [datagram for datagram, source, to in world.record if to == STRANGER]
    assert len(answers) == 1 and len(answers[0]) <= len(init), "no more comes back than was sent"
    world.run(6.0)
    assert len(restarted.endpoint._sessions) == 0


# ---- ends


def test_disconnect_closes_both_sides_and_forgets() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"x"], world.now)
    world.run(1.0)
    a.endpoint.disconnect(b.id, "good night")
    world.run(5.0)
    assert a.events[-1] == PeerDisconnected(b.id, "good night")
    assert b.events[-1] == PeerDisconnected(a.id, "good night")
    for station in (a, b):
        assert tables(station.endpoint)[:6] == [0] * 6
        assert station.endpoint.deadline is None
        assert station.endpoint.settled


@pytest.mark.parametrize("seed", range(30))
def test_who_sends_right_after_a_disconnect_gets_a_new_session(seed: int) -> None:
    world = World(seed, loss=0.1, jitter_s=0.05)
    a, b = world.pair()
    a.endpoint.send(b.id, [b"old"], world.now)
    world.run(5.0)
    a.endpoint.disconnect(b.id, "once more")
    a.endpoint.send(b.id, [b"new"], world.now)
    world.run(30.0)
    assert b.bodies == [b"old", b"new"]
    assert a.course == b.course == ["PeerConnected", "PeerDisconnected", "PeerConnected"]
    assert len(a.endpoint._sessions) == len(b.endpoint._sessions) == 1


def test_a_silent_peer_is_lost_and_that_is_told_as_silence() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"x"], world.now)
    a.endpoint.watch(b.id, True)
    world.run(1.0)
    del world.stations[b.address]
    world.run(20.0)
    assert a.events[-1] == PeerDisconnected(b.id, "no answer for 10 s", silent=True)
    assert tables(a.endpoint)[:6] == [0] * 6


@pytest.mark.parametrize("seed", range(20))
def test_an_unused_session_gives_way_to_a_new_one_unnoticed(seed: int) -> None:
    world = World(seed, jitter_s=0.03)
    a, b = world.pair()
    for number in range(6):
        a.endpoint.send(b.id, [b"%d" % number], world.now)
        world.run(1.0)
        b.endpoint.send(a.id, [b"%d" % number], world.now)
        world.run(50.0 + 6.0 * number)  # the last ones are beyond the idle time, and beyond its margin
    assert a.bodies == b.bodies == [b"%d" % number for number in range(6)]
    assert len(a.endpoint._sessions) <= 1 and len(b.endpoint._sessions) <= 1
    world.run(100.0)
    assert tables(a.endpoint)[:6] == tables(b.endpoint)[:6] == [0] * 6


@pytest.mark.parametrize("seed", range(20))
def test_a_restarted_peer_replaces_its_old_session(seed: int) -> None:
    world = World(seed, jitter_s=0.03)
    a, b = world.pair()
    a.endpoint.send(b.id, [b"before"], world.now)
    world.run(1.0)
    restarted = world.add(identity=b.identity, address=b.address)
    restarted.endpoint.send(a.id, [b"I am back"], world.now)
    world.run(10.0)
    assert a.course == ["PeerConnected", "PeerDisconnected", "PeerConnected"]
    assert a.bodies == [b"I am back"]
    a.endpoint.send(b.id, [b"after"], world.now)
    world.run(10.0)
    assert restarted.bodies == [b"after"]
    assert restarted.course == ["PeerConnected"]
    assert len(a.endpoint._sessions) == len(restarted.endpoint._sessions) == 1


def test_a_peer_that_moves_is_followed() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"here"], world.now)
    world.run(1.0)
    elsewhere = Address("10.9.9.9", 9)
    world.stations[elsewhere] = world.stations.pop(b.address)
    b.address = elsewhere
    b.endpoint.send(a.id, [b"moved"], world.now)
    world.run(1.0)
    a.endpoint.send(b.id, [b"found"], world.now)
    world.run(1.0)
    assert (a.bodies, b.bodies) == ([b"moved"], [b"here", b"found"])
    assert PeerMoved(b.id, elsewhere) in a.events
    assert a.course == b.course == ["PeerConnected"]


# ---- posts


def test_a_post_given_up_before_there_is_a_session_is_not_sent() -> None:
    world = World()
    a, b = world.pair()
    unwanted = a.endpoint.send(b.id, [bytes(500)], world.now, channel=2)
    a.endpoint.send(b.id, [b"wanted"], world.now, channel=2)
    assert a.endpoint.buffered_bytes(b.id) == 506
    a.endpoint.abandon(unwanted)
    assert a.endpoint.buffered_bytes(b.id) == 6
    world.run(1.0)
    assert b.bodies == [b"wanted"]
    assert a.endpoint.buffered_bytes(b.id) == 0


def test_a_post_given_up_under_way_does_not_hold_up_its_channel() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"first"], world.now, channel=2)
    world.run(1.0)
    unwanted = a.endpoint.send(b.id, [bytes(900_000)], world.now, channel=2)
    a.endpoint.send(b.id, [b"last"], world.now, channel=2)
    world.run(0.03)
    a.endpoint.abandon(unwanted)
    world.run(1.0)
    assert b.bodies == [b"first", b"last"]


def test_giving_up_a_post_of_an_older_session_harms_nothing_in_the_new_one() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.send(b.id, [b"first"], world.now, channel=2)
    world.run(1.0)
    world.unreachable.add(b.address)
    stale = a.endpoint.send(b.id, [b"lost with its session"], world.now, channel=2)
    world.run(12.0)
    assert a.endpoint.state(b.id) is LinkState.IDLE
    world.unreachable.clear()
    a.endpoint.send(b.id, [b"a"], world.now, channel=2)
    world.run(1.0)
    for body in (b"b", b"c"):
        a.endpoint.send(b.id, [body], world.now, channel=2)
    a.endpoint.abandon(stale)  # its number is that of "b" in the new session
    world.run(1.0)
    assert b.bodies == [b"first", b"a", b"b", b"c"]


def test_a_post_that_the_peer_does_not_accept_comes_back() -> None:
    world = World()
    a, b = world.add(), world.add(max_message_bytes=1000)
    too_long = a.endpoint.send(b.id, [bytes(1001)], world.now)
    a.endpoint.send(b.id, [bytes(1000)], world.now)
    world.run(1.0)
    (refused,) = a.of(PostRefused)
    assert isinstance(refused, PostRefused)
    assert refused.posted is too_long and "max_message of 1000" in refused.reason
    assert b.bodies == [bytes(1000)]


# ---- gossip and key rotation


def test_gossip_needs_no_session() -> None:
    world = World()
    a, b = world.pair()
    a.endpoint.gossip(b"news", b.address)
    world.run(1.0)
    assert b.events == [GossipArrived(a.address, b"news")]
    assert b.sent == 0


@pytest.mark.parametrize("swapped", [True, False])
def test_while_keys_are_rotated_all_can_still_dial_one_another(swapped: bool) -> None:
    world, new = World(), ClusterKey(bytes([8]) * 32)
    a, b = world.add(keys=(new, KEY)), world.add(keys=(KEY, new))
    if swapped:
        a, b = b, a
    a.endpoint.send(b.id, [b"x"], world.now)
    world.run(1.0)
    assert b.bodies == [b"x"]


# ---- outsiders


def test_a_node_with_another_cluster_key_gets_no_answer_at_all() -> None:
    world = World()
    outsider, b = world.add(keys=(ClusterKey(bytes([9]) * 32),)), world.add()
    outsider.endpoint.send(b.id, [b"let me in"], world.now)
    outsider.endpoint.gossip(b"news", b.address)
    world.run(10.0)
    assert outsider.sent > 3
    assert b.sent == 0 and b.events == []
    assert isinstance(outsider.events[0], PeerDisconnected)


def test_whatever_is_sent_from_outside_nothing_is_raised_answered_or_remembered() -> None:
    world = World()
    a, b = world.pair()
    for number in range(5):
        a.endpoint.send(b.id, [bytes(500 * number)], world.now)
        b.endpoint.gossip(b"news", a.address)
        world.run(1.0)
    world.run(10.0)
    before, deadlines, sent = tables(b.endpoint), b.endpoint.deadline, b.sent
    events = list(b.events)
    random = Random(0)
    heard = [datagram for datagram, _, to in world.record if to == b.address]
    for _ in range(10_000):
        b.endpoint.receive(hostile(random, heard), STRANGER, world.now)
    world.flush()
    told = [event for event in b.events[len(events) :] if not isinstance(event, StraySession)]
    assert tables(b.endpoint) == before
    assert (b.endpoint.deadline, b.sent, told) == (deadlines, sent, [])
    assert b.endpoint.dropped.total() == 10_000
    assert len(b.endpoint.dropped) < 20
    a.endpoint.send(b.id, [b"still here"], world.now)
    world.run(1.0)
    assert b.bodies[-1] == b"still here"


def hostile(random: Random, heard: list[bytes]) -> bytes:
    """Noise, noise with a good header, and true datagrams cut, altered or repeated."""
    kind = random.randrange(6)
    true = random.choice(heard)
    if kind == 0:
        return random.randbytes(random.randrange(100))
    if kind == 1:
        return true[: random.randrange(len(true))]
    if kind == 2:
        return true[: HEADER.size] + random.randbytes(random.randrange(60))
    if kind == 3:
        return bytes([random.choice([1, 2])]) + random.randbytes(random.randrange(100))
    if kind == 4:
        return true
    altered = bytearray(true)
    altered[random.randrange(len(altered))] ^= 1 << random.randrange(8)
    return bytes(altered)


def test_a_member_that_seals_nonsense_does_no_harm() -> None:
    world = World()
    b = world.add()
    random = Random(0)
    member = ClusterSeal(Keyring([KEY]), random.randbytes)
    for length in [*range(12), 60, 96 + 5, 96 + 9, 200, 400]:
        for kind in range(5):
            b.endpoint.receive(member.seal(bytes([kind]) + random.randbytes(length)), STRANGER, world.now)
    world.run(10.0)
    assert all(isinstance(event, GossipArrived | DatagramArrived) for event in b.events)
    assert b.sent == 0
    assert tables(b.endpoint)[:8] == [0] * 8


def test_the_datagrams_of_a_node_sent_back_to_it_change_nothing() -> None:
    world = World()
    a, b = world.pair()
    world.unreachable.add(b.address)
    a.endpoint.send(b.id, [b"x"], world.now)
    world.flush()
    for datagram, source, to in list(world.record):
        a.endpoint.receive(datagram, to, world.now)
        a.endpoint.receive(datagram, source, world.now)
    assert list(a.endpoint.take_datagrams(world.now)) == []
    assert a.endpoint.state(b.id) is LinkState.DIALING


def test_a_node_that_dials_itself_gives_up() -> None:
    world = World()
    a = world.add()
    a.endpoint.connect(a.id, world.now)
    world.run(6.0)
    assert a.course == ["PeerDisconnected"]
    assert tables(a.endpoint)[:6] == [0] * 6


def test_a_response_without_an_introduction_ends_the_dialing_and_may_come_again() -> None:
    world = World()
    a, b = world.pair()
    b.endpoint._dialing._my_hello = lambda: b"short"  # type: ignore[method-assign]
    a.endpoint.connect(b.id, world.now)
    world.run(0.3)
    assert a.course == ["PeerDisconnected"]
    for datagram, source, to in list(world.record):
        world.hand_over(datagram, source, to)
    b.endpoint.receive(b"", STRANGER, world.now)
    world.run(10.0)
    assert a.course == ["PeerDisconnected"]
    assert tables(a.endpoint)[:4] == tables(b.endpoint)[:4] == [0, 0, 0, 0]


def test_unconfirmed_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.transport.dialing.MAX_HALF_OPEN", 3)
    world = World()
    b = world.add()
    for _ in range(5):
        dialer = world.add()
        dialer.endpoint.connect(b.id, world.now)
        ((datagram, *_),) = dialer.endpoint.take_datagrams(world.now)
        b.endpoint.receive(datagram, dialer.address, world.now)
    assert len(b.endpoint._dialing._half_open) == 3
    assert b.endpoint.dropped["handshake: too many at a time"] == 2
