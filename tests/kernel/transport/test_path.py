"""Roaming: which datagrams move a peer, how little goes to an address on trial, and what begins anew on a new path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kernel.pipe import QUIET
from tests.kernel.stations import Station, World

from guthi.api import Address
from guthi.security.handshake import TransportKeys
from guthi.transport.events import MessageReceived, SessionEvent, SessionMoved
from guthi.transport.links import LinkState
from guthi.transport.pacing import BUCKET_DATAGRAMS
from guthi.transport.path import BUDGET, Path
from guthi.transport.recovery import SentPacket
from guthi.transport.session import Session

HOME, REBOUND, ABROAD, VICTIM = (
    Address("10.0.0.1", 1), Address("10.0.0.1", 2), Address("10.9.9.9", 9), Address("192.0.2.66", 6),
)  # fmt: skip
TRIP_S = 0.02


def not_a_message(event: SessionEvent) -> bool:
    return not isinstance(event, MessageReceived)


class Pair:
    """A session that serves, and its roaming client; datagrams arrive when they are handed over."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[SessionEvent] = []  # to the server's side, but for messages
        forth, back = bytes([1]) * 32, bytes([2]) * 32
        self.client = self._session(TransportKeys(forth, back, b""))
        self.server = self._session(TransportKeys(back, forth, b""))
        self.server.address = HOME

    @staticmethod
    def _session(keys: TransportKeys) -> Session:
        return Session(keys, remote_index=1, datagram_bytes=1200, settings=QUIET, now=0.0, first_round_trip_s=TRIP_S)

    def said(self, body: bytes = b"x") -> bytes:
        """A datagram of the client."""
        self.client.send([body])
        (datagram,) = self.client.datagrams(self.now)
        return datagram

    def hear(self, datagram: bytes, source: Address) -> None:
        self.told += [event for event in self.server.receive(datagram, self.now, source) or () if not_a_message(event)]

    def answers(self) -> list[bytes]:
        return list(self.server.datagrams(self.now))

    def exchange(self, source: Address, seconds: float) -> None:
        """Let the two talk, the client from this address, the server's datagrams arriving at wherever it sends them."""
        end_at = self.now + seconds
        while self.now < end_at:
            self.now += TRIP_S / 2
            for session in (self.client, self.server):
                deadline = session.deadline
                if deadline is not None and deadline <= self.now:
                    assert session.on_deadline(self.now) == []
            for datagram in self.answers():
                if self.server.address == source:
                    self.client.receive(datagram, self.now)
            for datagram in list(self.client.datagrams(self.now)):
                self.hear(datagram, source)


def test_the_newest_datagram_moves_the_peer_and_older_ones_do_not_move_it_back() -> None:
    pair = Pair()
    early, late = pair.said(), pair.said()
    pair.hear(late, ABROAD)
    assert pair.server.address == ABROAD
    pair.hear(early, HOME)
    assert pair.server.address == ABROAD


def test_a_forged_or_repeated_datagram_moves_nobody() -> None:
    pair = Pair()
    datagram = pair.said()
    pair.hear(datagram[:-1] + bytes([datagram[-1] ^ 1]), VICTIM)
    pair.hear(datagram, HOME)
    pair.hear(datagram, VICTIM)
    assert pair.server.address == HOME


@pytest.mark.parametrize(("elsewhere", "anew"), [(REBOUND, False), (ABROAD, True)])
def test_a_new_host_begins_anew_and_a_new_port_goes_on(elsewhere: Address, anew: bool) -> None:
    pair = Pair()
    pair.server.send([bytes(400_000)])
    pair.exchange(HOME, 0.4)
    before = pair.server._path
    assert before.congestion.window_bytes > 20_000
    pair.hear(pair.said(), elsewhere)
    assert (pair.server._path.congestion is before.congestion) is not anew
    assert (pair.server.round_trip_s > 2 * TRIP_S) is anew
    pair.exchange(elsewhere, 2.0)
    assert pair.server.settled
    assert pair.server._path.former is None


def test_little_goes_to_an_address_on_trial() -> None:
    pair = Pair()
    datagram = pair.said(bytes(100))
    pair.server.send([bytes(1_000_000)])
    pair.hear(datagram, VICTIM)
    sent = sum(map(len, pair.answers()))
    assert 0 < sent <= BUDGET * len(datagram) + 1200, "one datagram may overdraw"
    while pair.server.address == VICTIM:
        pair.now += 0.001
        pair.server.on_deadline(pair.now)
        sent += sum(map(len, pair.answers())) if pair.server.address == VICTIM else 0
    assert sent <= BUDGET * len(datagram) + 4 * 1200, "besides a probe at each timeout"
    assert pair.server.address == HOME
    assert pair.now < 1.5


def test_after_a_false_move_the_former_path_has_all_that_was_known() -> None:
    pair = Pair()
    pair.server.send([bytes(400_000)])
    pair.exchange(HOME, 0.4)
    path = pair.server._path
    pair.hear(pair.said(), VICTIM)
    pair.answers()
    pair.hear(pair.said(), HOME)  # the true peer's next one
    assert pair.server._path is path
    pair.exchange(HOME, 3.0)
    assert pair.server.settled


def test_who_moves_twice_goes_back_to_where_it_was_proven() -> None:
    pair = Pair()
    pair.hear(pair.said(), ABROAD)
    pair.hear(pair.said(), VICTIM)
    assert pair.server._path.former is not None and pair.server._path.former.address == HOME


def test_a_move_is_told_once_it_is_proven() -> None:
    pair = Pair()
    pair.exchange(HOME, 0.2)
    pair.hear(pair.said(), ABROAD)
    pair.hear(pair.said(), VICTIM)
    assert pair.told == []
    pair.hear(pair.said(), ABROAD)
    pair.exchange(ABROAD, 0.5)
    assert pair.told == [SessionMoved(ABROAD)]


def test_a_false_move_is_not_told() -> None:
    pair = Pair()
    pair.hear(pair.said(), VICTIM)
    pair.answers()
    pair.hear(pair.said(), HOME)
    pair.exchange(HOME, 1.0)
    assert pair.told == []


# ---- behind a NAT that forgets


def rebound(world: World, station: Station) -> Iterator[Address]:
    """Give a station another port, again and again."""
    for port in range(5000, 6000):
        del world.stations[station.address]
        station.address = Address(station.address.host, port)
        world.stations[station.address] = station
        yield station.address


@pytest.mark.parametrize("seed", range(20))
def test_a_nat_that_rebinds_in_the_middle_of_a_transfer_loses_nothing(seed: int) -> None:
    world = World(seed, loss=0.02, duplication=0.05, jitter_s=0.03)
    nat, outside = world.pair()
    nat.endpoint.send(outside.id, [b"hello"], world.now)
    world.run(2.0)
    ports = rebound(world, nat)
    for round_ in range(5):
        nat.endpoint.send(outside.id, [bytes([round_]) * 200_000], world.now)
        outside.endpoint.send(nat.id, [bytes([round_]) * 200_000], world.now)
        world.run(0.1)
        next(ports)
        world.run(20.0)
    assert len(nat.bodies) == 5 and len(outside.bodies) == 6, f"seed {seed}"
    assert nat.course == outside.course == ["PeerConnected"]
    assert outside.endpoint.state(nat.id) is LinkState.OPEN


def test_a_copy_of_each_datagram_from_elsewhere_diverts_nothing_for_long() -> None:
    """Somebody on the way copies what he sees and is faster than the network; replies to him are lost."""
    world = World(1)
    a, b = world.pair()
    a.endpoint.send(b.id, [b"hello"], world.now)
    world.run(1.0)
    for number in range(20):
        a.endpoint.send(b.id, [b"%d" % number], world.now)
        world.run(0.0)
        copied = world.record[-1][0]
        b.endpoint.receive(copied, VICTIM, world.now)
        b.endpoint.send(a.id, [b"re %d" % number], world.now)
        world.run(3.0)
    assert b.bodies[1:] == [b"%d" % number for number in range(20)]
    assert sorted(a.bodies) == sorted(b"re %d" % number for number in range(20))
    astray = sum(len(datagram) for datagram, source, to in world.record if to == VICTIM)
    assert astray < 20 * 5 * 200


# ---- how soon


def admitted(path: Path, now: float, size_bytes: int = 1200) -> int:
    """How many datagrams leave at this moment of more than enough, as far as the pacer goes."""
    sent = 0
    while path.admits(0, now):
        path.sent(SentPacket(sent, now, size_bytes, []))
        sent += 1
    path.end_turn(0, more_waits=True)
    return sent


def test_short_messages_now_and_then_leave_at_once_for_ever() -> None:
    path = Path(1200, 0.0, TRIP_S)
    for turn in range(200):
        now = turn * TRIP_S
        path.begin_turn(0, 500, now)
        assert path.admits(0, now)
        path.sent(SentPacket(turn, now, 560, []))


def test_a_turn_that_is_longer_than_its_messages_seemed_is_paced_all_the_same() -> None:
    path = Path(1200, 0.0, TRIP_S)
    path.begin_turn(0, 4000, 0.0)  # in tiny messages, whose headers are many times that
    assert BUCKET_DATAGRAMS <= admitted(path, 0.0) <= BUCKET_DATAGRAMS + 1
    assert path.pace_at is not None and path.pace_at > 0.0


def test_short_messages_before_leave_no_more_to_a_long_one_than_the_bucket_holds() -> None:
    path = Path(1200, 0.0, TRIP_S)
    path.begin_turn(0, 500, TRIP_S)
    path.sent(SentPacket(0, TRIP_S, 560, []))
    path.begin_turn(0, 1 << 20, 2 * TRIP_S)
    assert BUCKET_DATAGRAMS <= admitted(path, 2 * TRIP_S) <= BUCKET_DATAGRAMS + 1
