"""Sessions on bad lines: every message once, intact, in order; then close, silence, keep-alive, credit, forgery."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from random import Random

import pytest
from tests.kernel.pipe import QUIET, End, Pipe, Weather

from guthi.errors import UsageError
from guthi.security.handshake import TransportKeys
from guthi.transport.liveness import IDLE_MARGIN_S
from guthi.transport.outbox import Carried, Outgoing, Piece
from guthi.transport.recovery import SentPacket
from guthi.transport.session import OVERHEAD_BYTES, Session, SessionClosed, SessionLost, SessionSettings, SessionState
from guthi.transport.wire import MESSAGE_OVERHEAD_BYTES, CloseCode

SHARES = 8  # the sweep is cut into so many tests
SEEDS_PER_SHARE = 500
LARGE_SEEDS = 60
KIB = 1024

# ---- the sweep: every message once, whatever the line does


def body_of(number: int, size: int) -> bytes:
    """A body that no other message has, and that shows a misplaced byte."""
    return hashlib.shake_128(number.to_bytes(8, "big")).digest(size)


def weather_of(random: Random) -> Weather:
    """From fine to 30 % loss with copies, bursts and delays that overtake one another."""
    if random.random() < 0.1:
        return Weather()
    loss = random.choice([0.0, 0.02, 0.1, 0.3])
    return Weather(
        loss=loss,
        duplication=random.choice([0.0, 0.2]),
        latency_s=random.choice([0.0001, 0.01, 0.08]),
        jitter_s=random.choice([0.0, 0.001, 0.05]),
        burst=random.choice([0.0, 0.2]) if loss < 0.3 else 0.0,
    )


def small_size(random: Random, datagram_bytes: int) -> int:
    kind = random.random()
    if kind < 0.15:
        return 0
    if kind < 0.7:
        return random.randrange(400)
    if kind < 0.97:
        return datagram_bytes - random.randrange(120)
    return 64 * KIB + random.randrange(-2, 3)


def large_size(random: Random, datagram_bytes: int) -> int:
    return random.choice([small_size(random, datagram_bytes), random.randrange(600 * KIB)])


class Traffic:
    """Random messages in both directions of one pipe, and what must come of them."""

    def __init__(self, pipe: Pipe, random: Random) -> None:
        self.pipe, self.random = pipe, random
        self.expected: dict[int, list[tuple[int, bytes]]] = {id(pipe.a): [], id(pipe.b): []}
        self.posted = 0

    def post(self, sender: End, channel: int, size: int) -> None:
        body = body_of(self.posted, size)
        self.posted += 1
        cut = self.random.randrange(size + 1)
        sender.session.send([body[:cut], body[cut:]], channel)
        self.expected[id(self.pipe.other(sender))].append((channel, body))

    def check(self, end: End) -> None:
        expected = self.expected[id(end)]
        delivered = [(0 if channel == 1 else channel, body) for channel, body in end.delivered]
        assert not end.events
        assert Counter(delivered) == Counter(expected), "not every message once"
        assert by_channel(delivered) == by_channel(expected), "out of order"


def by_channel(messages: Iterable[tuple[int, bytes]]) -> dict[int, list[bytes]]:
    """The bodies on each ordered channel, in order."""
    channels: dict[int, list[bytes]] = defaultdict(list)
    for channel, body in messages:
        if channel:
            channels[channel].append(body)
    return channels


def come_to_rest(pipe: Pipe, within_s: float) -> None:
    """Go on until all is acknowledged and no timer runs but the keep-alive's."""
    give_up_at = pipe.now + within_s
    for _ in range(200_000):
        if pipe.quiet:
            return
        assert pipe.step() and pipe.now < give_up_at, "it does not come to rest"
    raise AssertionError("it spins")


def sweep_one(seed: int, *, large: bool = False, session_type: type[Session] = Session) -> None:
    """One seeded world from its first message to its silence; fails with the seed."""
    random = Random(seed)
    datagram_bytes = random.choice([1200, 1452, 8900, 60_000] if large else [1200, 1200, 1452, 8900])
    pipe = Pipe(seed, weather_of(random), datagram_bytes=datagram_bytes, session_type=session_type)
    traffic = Traffic(pipe, random)
    size_of = large_size if large else small_size
    for _ in range(random.randrange(1, 12)):
        sender, channel = random.choice([pipe.a, pipe.b]), random.choice([0, 0, 2, 3, 0xFFFFFFFF])
        size = size_of(random, datagram_bytes)
        moment = pipe.now + random.choice([0.0, random.random() / 5])
        pipe.at(moment, partial(traffic.post, sender, channel, size))
    try:
        come_to_rest(pipe, 1000.0 if large else 120.0)
        traffic.check(pipe.a)
        traffic.check(pipe.b)
        assert pipe.a.session.buffered_bytes == pipe.b.session.buffered_bytes == 0
    except AssertionError as failure:
        failure.add_note(f"seed {seed}{' large' if large else ''}")
        raise


@pytest.mark.parametrize("share", range(SHARES))
def test_every_message_arrives_once_intact_and_in_order(share: int) -> None:
    for seed in range(share * SEEDS_PER_SHARE, (share + 1) * SEEDS_PER_SHARE):
        sweep_one(seed)


def test_long_messages_arrive_too() -> None:
    for seed in range(LARGE_SEEDS):
        sweep_one(seed, large=True)


class ForgetsTheLastPiece(Session):
    """Deliberately broken: of a lost packet that carried several pieces, the last is not sent again."""

    def _resend(self, packet: SentPacket[Carried]) -> None:
        pieces = [carried for carried in packet.carried if isinstance(carried, Piece | Outgoing)]
        if len(pieces) > 1:
            packet.carried.remove(pieces[-1])
        super()._resend(packet)


def test_the_sweep_catches_a_session_that_forgets_a_retransmission() -> None:
    with pytest.raises(AssertionError):
        for seed in range(100):
            sweep_one(seed, session_type=ForgetsTheLastPiece)


def test_one_seed_gives_one_course_of_events() -> None:
    def course() -> tuple[int, int, float, list[tuple[int, bytes]]]:
        pipe = Pipe(7, Weather(loss=0.2, duplication=0.1, jitter_s=0.02))
        for number in range(50):
            pipe.a.session.send([body_of(number, 700)], channel=2)
        pipe.flush()
        while not pipe.quiet:
            pipe.step()
        return pipe.a.sent_datagrams, pipe.b.sent_datagrams, pipe.now, pipe.b.delivered

    assert course() == course()


# ---- messages


def test_messages_of_one_turn_share_a_datagram() -> None:
    pipe = Pipe(0)
    for number in range(20):
        pipe.a.session.send([body_of(number, 30)])
    pipe.flush()
    assert pipe.a.sent_datagrams == 1
    pipe.run(1.0)
    assert len(pipe.b.delivered) == 20
    assert pipe.b.sent_datagrams == 1, "one acknowledgement is enough"


def test_an_acknowledgement_rides_on_the_answer() -> None:
    pipe = Pipe(0)
    pipe.a.session.send([b"question"])
    pipe.flush()
    pipe.step()
    pipe.b.session.send([b"answer"])
    pipe.flush()
    pipe.run(0.012)
    assert pipe.a.delivered == [(0, b"answer")]
    assert pipe.b.sent_datagrams == 1


def test_in_a_quick_exchange_every_second_answer_takes_an_acknowledgement_along() -> None:
    pipe = Pipe(0, Weather(latency_s=0.0001))
    for number in range(50):
        for end in (pipe.a, pipe.b):
            end.session.send([body_of(number, 30)])
            pipe.flush()
            pipe.step()
    assert pipe.a.sent_datagrams == pipe.b.sent_datagrams == 50
    assert all(len(end.session._recovery) <= 3 for end in (pipe.a, pipe.b)), "half a round trip later at most"
    assert pipe.a.sent_bytes < 50 * (30 + OVERHEAD_BYTES + MESSAGE_OVERHEAD_BYTES) + 27 * 23
    pipe.run(0.02)
    assert pipe.a.session.settled and pipe.b.session.settled
    assert max(pipe.a.sent_datagrams, pipe.b.sent_datagrams) <= 51


def test_a_message_as_long_as_the_room_leaves_in_one_datagram_with_an_acknowledgement() -> None:
    pipe = Pipe(0)
    for sender in (pipe.b, pipe.a):
        sender.session.send([bytes(sender.session.room_bytes)])
        pipe.flush()
        while pipe.step() and not pipe.other(sender).delivered:
            pass
        assert sender.sent_datagrams == 1
    assert all(len(body) > 1000 for end in (pipe.a, pipe.b) for _, body in end.delivered)


@pytest.mark.parametrize("channel", [-1, 1, 2**32])
def test_a_channel_that_is_not_free_is_refused(channel: int) -> None:
    with pytest.raises(UsageError, match="use 0 for no order"):
        Pipe(0).a.session.send([b"x"], channel)


def test_a_message_longer_than_the_peer_accepts_is_refused_and_leaves_no_trace() -> None:
    pipe = Pipe(0, peer_max_message_bytes=1000)
    with pytest.raises(UsageError, match="max_message"):
        pipe.a.session.send([bytes(600), bytes(401)], channel=2)
    pipe.a.session.send([bytes(1000)], channel=2)
    pipe.flush()
    pipe.run(1.0)
    assert pipe.b.delivered == [(2, bytes(1000))]
    assert pipe.quiet


def test_a_peer_that_accepts_nothing_is_sent_nothing() -> None:
    with pytest.raises(UsageError):
        Pipe(0, peer_max_message_bytes=0).a.session.send([b"x"])


def test_more_messages_than_credit_all_arrive() -> None:
    pipe = Pipe(0, datagram_bytes=60_000)
    for _ in range(200):
        pipe.a.session.send([bytes(64 * KIB)])  # 12.5 MiB, three windows of credit
    pipe.flush()
    pipe.run(20.0)
    assert len(pipe.b.delivered) == 200
    assert pipe.quiet


def test_more_bulk_messages_than_places_all_arrive_in_order() -> None:
    pipe = Pipe(0, Weather(loss=0.05), datagram_bytes=8900)
    bodies = [body_of(number, 64 * KIB + 1 + number) for number in range(30)]
    for number, body in enumerate(bodies):
        pipe.a.session.send([body], channel=2 + number % 2)
    pipe.flush()
    pipe.run(60.0)
    assert by_channel(pipe.b.delivered) == {2: bodies[::2], 3: bodies[1::2]}
    assert pipe.quiet


def test_credit_survives_the_loss_of_every_credit_frame_but_the_last() -> None:
    pipe = Pipe(0, datagram_bytes=60_000)
    to_lose = 20

    def lossy(to: End, datagram: bytes) -> bytes | None:
        nonlocal to_lose
        if to is pipe.a and to_lose:
            to_lose -= 1
            return None
        return datagram

    pipe.intercept = lossy
    for _ in range(100):
        pipe.a.session.send([bytes(64 * KIB)], channel=2)
    pipe.flush()
    pipe.run(60.0)
    assert len(pipe.b.delivered) == 100
    assert pipe.quiet


def test_after_a_long_life_with_losses_acknowledgements_are_still_short() -> None:
    pipe = Pipe(3, Weather(loss=0.1))
    for number in range(2000):
        pipe.at(pipe.now + number / 100, partial(pipe.a.session.send, [bytes(600)]))
    pipe.run(60.0)
    assert len(pipe.b.delivered) == 2000
    before = pipe.b.sent_bytes
    pipe.weather = Weather()
    for _ in range(10):
        pipe.a.session.ping()
        pipe.flush()
        pipe.run(1.0)
    assert pipe.b.sent_bytes - before < 10 * 150


# ---- giving up


def test_an_ordered_channel_goes_on_past_an_abandoned_message() -> None:
    pipe = Pipe(0)
    pipe.a.session.send([b"first"], channel=2)
    given_up = pipe.a.session.send([bytes(500 * KIB)], channel=2)
    pipe.a.session.send([b"last"], channel=2)
    pipe.flush()
    pipe.run(0.05)
    assert pipe.b.delivered == [(2, b"first")], "the long one is in mid-flight"
    pipe.a.session.abandon(given_up)
    pipe.flush()
    pipe.run(1.0)
    assert pipe.b.delivered == [(2, b"first"), (2, b"last")]
    assert pipe.quiet
    assert pipe.a.session.buffered_bytes == 0


@pytest.mark.parametrize("size", [100, 3000, 64 * KIB, 64 * KIB + 1])
@pytest.mark.parametrize("channel", [0, 2])
def test_after_thousands_of_abandoned_messages_the_session_still_flows(size: int, channel: int) -> None:
    pipe = Pipe(size + channel, Weather(loss=0.1, jitter_s=0.005), datagram_bytes=8900)
    random = Random(size)
    for _ in range(60):
        batch = [pipe.a.session.send([bytes(size)], channel) for _ in range(50)]
        pipe.flush()
        pipe.run(random.random() / 50)
        for message in batch:
            pipe.a.session.abandon(message)
        pipe.flush()
    pipe.run(30.0)
    pipe.b.delivered.clear()
    bodies = [body_of(number, size) for number in range(100)]
    for body in bodies:
        pipe.a.session.send([body], channel)
    pipe.flush()
    pipe.run(60.0)
    assert sorted(body for _, body in pipe.b.delivered) == sorted(bodies)
    assert not pipe.b.events
    assert pipe.quiet


def test_abandoning_while_nothing_gets_through_is_no_breach_and_does_not_spin() -> None:
    pipe = Pipe(0)
    pipe.b.deaf = True
    message = pipe.a.session.send([b"x"], channel=2)
    pipe.flush()
    pipe.run(0.1)
    pipe.a.session.abandon(message)
    pipe.flush()
    pipe.run(8.0)
    pipe.b.deaf = False
    pipe.a.session.send([b"y"], channel=2)
    pipe.flush()
    pipe.run(10.0)
    assert pipe.b.delivered == [(2, b"y")]
    assert pipe.quiet


def test_a_probe_finds_something_to_send_although_all_in_flight_was_given_up() -> None:
    pipe = Pipe(0)
    pipe.b.deaf = True
    message = pipe.a.session.send([b"x"])
    pipe.flush()
    pipe.a.session.abandon(message)
    pipe.run(0.001)
    sent = pipe.a.sent_datagrams
    pipe.run(5.0)  # Pipe.run fails where a deadline in the past is never served
    assert sent < pipe.a.sent_datagrams < sent + 20


@pytest.mark.parametrize("share", range(2))
def test_whatever_is_given_up_the_rest_arrives(share: int) -> None:
    for seed in range(150 * share, 150 * (share + 1)):
        abandoning_world(seed)


def abandoning_world(seed: int) -> None:
    random = Random(seed)
    pipe = Pipe(seed, weather_of(random), datagram_bytes=random.choice([1200, 8900]))
    kept: list[tuple[int, bytes]] = []
    given_up: set[bytes] = set()
    for number in range(40):
        body, channel = body_of(number, random.choice([8, 300, 5000, 70_000])), random.choice([0, 2, 3])
        message = pipe.a.session.send([body], channel)
        if random.random() < 0.5:
            given_up.add(body)
            moment = pipe.now + random.random() / 5
            pipe.at(moment, partial(pipe.a.session.abandon, message))
        else:
            kept.append((channel, body))
    pipe.flush()
    come_to_rest(pipe, 1000.0)
    came = [(0 if channel == 1 else channel, body) for channel, body in pipe.b.delivered]
    assert max(Counter(came).values()) == 1, f"seed {seed}: twice"
    came = [each for each in came if each[1] not in given_up]
    assert Counter(came) == Counter(kept), f"seed {seed}: not every message that was kept"
    assert by_channel(came) == by_channel(kept), f"seed {seed}: out of order"
    assert not pipe.b.events, f"seed {seed}"


# ---- the end


def states(pipe: Pipe) -> list[SessionState]:
    return [pipe.a.session.state, pipe.b.session.state]


def test_close_brings_both_sides_to_closed() -> None:
    pipe = Pipe(0)
    pipe.a.session.close(CloseCode.DONE, "good night")
    assert states(pipe)[0] is SessionState.CLOSING
    pipe.flush()
    pipe.run(0.05)
    assert states(pipe) == [SessionState.CLOSED, SessionState.CLOSED]
    assert pipe.b.events == [SessionClosed(CloseCode.DONE, "good night", by_peer=True)]
    assert pipe.a.events == []
    assert pipe.upcoming is None


@pytest.mark.parametrize("seed", range(100))
def test_close_ends_on_a_bad_line_too(seed: int) -> None:
    pipe = Pipe(seed, Weather(loss=0.3, jitter_s=0.05, duplication=0.2), settings=SessionSettings(timeout_s=10.0))
    for _ in range(5):
        pipe.a.session.send([bytes(3000)])
        pipe.b.session.send([bytes(3000)])
    pipe.flush()
    pipe.run(0.1)
    pipe.a.session.close(CloseCode.DONE, "")
    if seed % 2:
        pipe.b.session.close(CloseCode.DONE, "")
    pipe.flush()
    pipe.run(30.0)
    assert states(pipe) == [SessionState.CLOSED, SessionState.CLOSED]
    assert pipe.upcoming is None


def test_a_lost_close_is_repeated() -> None:
    pipe = Pipe(0)
    pipe.b.deaf = True
    pipe.a.session.close(CloseCode.DONE, "bye")
    pipe.flush()
    pipe.run(0.1)
    pipe.b.deaf = False
    pipe.run(1.0)
    assert pipe.b.events == [SessionClosed(CloseCode.DONE, "bye", by_peer=True)]


def test_a_close_that_nobody_answers_is_over_after_three() -> None:
    pipe = Pipe(0)
    pipe.b.deaf = True
    pipe.a.session.close(CloseCode.DONE, "bye")
    pipe.flush()
    pipe.run(5.0)
    assert states(pipe)[0] is SessionState.CLOSED
    assert pipe.a.sent_datagrams == 3


def test_datagrams_that_cross_a_close_do_not_use_up_its_tries() -> None:
    pipe = Pipe(0)
    pipe.b.deaf = True
    pipe.a.session.close(CloseCode.DONE, "bye")
    for number in range(10):
        pipe.at(pipe.now + number / 1000, partial(pipe.b.session.send, [b"late"]))
    pipe.run(0.2)
    assert states(pipe)[0] is SessionState.CLOSING
    assert pipe.a.sent_datagrams == 1


def test_a_closed_session_tells_a_peer_that_goes_on() -> None:
    pipe = Pipe(0)
    pipe.a.session.close(CloseCode.DONE, "bye")
    pipe.flush()
    pipe.a.deaf = True  # the answer is lost
    pipe.run(0.03)
    pipe.a.deaf = False
    pipe.run(1.0)
    assert states(pipe)[0] is SessionState.CLOSED
    assert (pipe.a.sent_datagrams, pipe.b.sent_datagrams) == (2, 2)


def test_messages_that_came_before_a_close_in_one_turn_are_delivered() -> None:
    pipe = Pipe(0)
    pipe.a.session.send([b"last words"])
    pipe.flush()
    pipe.a.session.close(CloseCode.DONE, "")
    pipe.flush()
    pipe.run(1.0)
    assert pipe.b.delivered == [(0, b"last words")]


# ---- silence

LIVELY = SessionSettings(keepalive_s=5.0, timeout_s=10.0)


def test_a_silent_peer_is_lost_after_the_timeout() -> None:
    pipe = Pipe(0, settings=LIVELY)
    pipe.a.deaf = pipe.b.deaf = True
    pipe.a.session.send([b"anybody?"])
    pipe.flush()
    pipe.run(9.9)
    assert pipe.a.events == []
    pipe.run(0.2)
    assert pipe.a.events == [SessionLost("no answer for 10 s")]
    assert states(pipe)[0] is SessionState.CLOSED
    assert pipe.a.session.deadline is None
    assert pipe.a.sent_datagrams < 20, "probes back off"


def watched(settings: SessionSettings = LIVELY) -> Pipe:
    pipe = Pipe(0, settings=settings)
    pipe.a.session.watched = pipe.b.session.watched = True
    return pipe


def test_a_watched_session_is_kept_alive_by_two_datagrams_an_interval() -> None:
    pipe = watched()
    pipe.a.session.send([b"now the two ends are not in step"])
    pipe.flush()
    pipe.run(500.0)
    assert states(pipe) == [SessionState.OPEN, SessionState.OPEN]
    assert 190 <= pipe.a.sent_datagrams + pipe.b.sent_datagrams <= 210
    assert pipe.a.sent_bytes + pipe.b.sent_bytes < 210 * 80


def test_a_watched_session_notices_that_its_peer_is_gone() -> None:
    pipe = watched()
    pipe.a.deaf = pipe.b.deaf = True
    pipe.run(15.5)
    assert [type(event) for event in pipe.a.events + pipe.b.events] == [SessionLost, SessionLost]


def test_one_that_nobody_watches_is_silent_and_ends_without_a_word() -> None:
    pipe = Pipe(0, settings=LIVELY)
    pipe.a.session.send([b"once"])
    pipe.flush()
    pipe.run(1.0)
    sent = pipe.a.sent_datagrams + pipe.b.sent_datagrams
    assert not pipe.a.session.is_stale(pipe.now)
    pipe.run(LIVELY.idle_s)
    assert pipe.a.session.is_stale(pipe.now) and pipe.b.session.is_stale(pipe.now)
    assert states(pipe) == [SessionState.OPEN, SessionState.OPEN]
    pipe.run(IDLE_MARGIN_S)
    assert states(pipe) == [SessionState.CLOSED, SessionState.CLOSED]
    assert pipe.a.sent_datagrams + pipe.b.sent_datagrams == sent
    assert pipe.a.session.deadline is None


def test_what_is_used_now_and_then_or_watched_does_not_end() -> None:
    pipe = Pipe(0, settings=LIVELY)
    for number in range(10):
        pipe.at(pipe.now + number * LIVELY.idle_s * 0.9, partial(pipe.a.session.send, [b"still here"]))
    pipe.run(LIVELY.idle_s * 9)
    assert states(pipe) == [SessionState.OPEN, SessionState.OPEN]
    pipe.a.session.watched = pipe.b.session.watched = True
    pipe.flush()
    pipe.run(LIVELY.idle_s * 3)
    assert states(pipe) == [SessionState.OPEN, SessionState.OPEN]
    assert not pipe.a.session.is_stale(pipe.now)


@pytest.mark.parametrize("seed", range(20))
def test_a_one_way_blackout_shorter_than_the_timeout_heals(seed: int) -> None:
    pipe = Pipe(seed, Weather(jitter_s=0.01), settings=LIVELY)
    bodies = [body_of(number, 2000) for number in range(80)]
    pipe.at(pipe.now + 1.0, lambda: setattr(pipe.b, "deaf", True))
    pipe.at(pipe.now + 8.0, lambda: setattr(pipe.b, "deaf", False))
    for number, body in enumerate(bodies):
        pipe.at(pipe.now + number / 10, partial(pipe.a.session.send, [body], 2))
    pipe.run(14.0)
    assert pipe.b.delivered == [(2, body) for body in bodies]
    assert pipe.a.events == pipe.b.events == []


# ---- forgery


def recorded(pipe: Pipe, count: int) -> Sequence[tuple[End, bytes]]:
    """All datagrams of a conversation, as they went over the line."""
    record: list[tuple[End, bytes]] = []

    def note(to: End, datagram: bytes) -> bytes:
        record.append((to, datagram))
        return datagram

    pipe.intercept = note
    for number in range(count):
        pipe.a.session.send([body_of(number, 200)], channel=2)
        pipe.b.session.send([body_of(number, 100)], channel=3)
        pipe.flush()
        pipe.run(0.1)
    return record


def test_replayed_cut_and_altered_datagrams_change_nothing() -> None:
    pipe = Pipe(0)
    record = recorded(pipe, 20)
    pipe.flush()
    deadlines = pipe.a.session.deadline, pipe.b.session.deadline
    random = Random(1)
    for to, datagram in record:
        flipped = bytearray(datagram)
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
        for forged in (datagram, datagram[: random.randrange(len(datagram))], bytes(flipped), datagram + b"\0"):
            assert to.session.receive(forged, pipe.now + 1.0) is None
    assert (pipe.a.session.deadline, pipe.b.session.deadline) == deadlines
    assert [*pipe.a.session.datagrams(pipe.now), *pipe.b.session.datagrams(pipe.now)] == []
    more = recorded(pipe, 5)
    assert len(pipe.b.delivered) == 25 and len(pipe.a.delivered) == 25
    assert more and pipe.quiet


def test_a_forged_copy_that_comes_first_does_not_shut_out_the_true_datagram() -> None:
    pipe = Pipe(0)
    pipe.a.session.send([b"true"])
    (datagram,) = pipe.a.session.datagrams(pipe.now)
    forged = datagram[:-1] + bytes([datagram[-1] ^ 1])
    assert pipe.b.session.receive(forged, pipe.now) is None
    pipe.hand_over(pipe.b, datagram)
    assert pipe.b.delivered == [(0, b"true")]


def test_a_datagram_reflected_to_its_sender_is_not_accepted() -> None:
    pipe = Pipe(0)
    pipe.a.session.send([b"x"])
    (datagram,) = pipe.a.session.datagrams(pipe.now)
    assert pipe.a.session.receive(datagram, pipe.now) is None


def test_a_peer_that_acknowledges_what_was_never_sent_is_in_breach() -> None:
    pipe = Pipe(0)
    pipe.b.session._recovery.next_number = 1000  # it has sent more than the other side will ever see
    pipe.a.session._acknowledgements.received(5, True, pipe.now)
    pipe.a.session._acknowledgements.received(6, True, pipe.now)
    pipe.b.session._recovery.next_number = 0
    pipe.flush()
    pipe.run(1.0)
    assert [event.code for event in pipe.b.events if isinstance(event, SessionClosed)] == [CloseCode.BREACH]
    assert [event.code for event in pipe.a.events if isinstance(event, SessionClosed)] == [CloseCode.BREACH]
    assert states(pipe) == [SessionState.CLOSED, SessionState.CLOSED]


def test_a_peer_that_sends_nonsense_is_in_breach_and_what_came_before_is_delivered() -> None:
    pipe = Pipe(0)
    pipe.a.session.send([b"sense"])
    pipe.flush()
    pipe.hand_over(pipe.b, pipe.a.session._sealed([b"\xee nonsense"], None, pipe.now))
    pipe.run(1.0)
    assert pipe.b.delivered == []  # the datagram under way came after the close
    assert isinstance(pipe.b.events[0], SessionClosed) and not pipe.b.events[0].by_peer
    assert isinstance(pipe.a.events[0], SessionClosed) and pipe.a.events[0].by_peer


def test_the_settings_of_quiet_worlds_let_no_session_end() -> None:
    assert QUIET.idle_s > 1e5
    session = Session(
        TransportKeys(bytes(32), bytes(32), b""), remote_index=1, datagram_bytes=1200, settings=QUIET, now=0.0
    )
    assert session.deadline == QUIET.idle_s + IDLE_MARGIN_S


def test_a_message_of_many_pages_arrives_whole_on_a_bad_line() -> None:
    pipe = Pipe(1, Weather(loss=0.02, jitter_s=0.002), datagram_bytes=60_000)
    body = hashlib.shake_128(b"large").digest(9 * KIB * KIB + 1)
    pipe.a.session.send([body])
    pipe.flush()
    pipe.run(60.0)
    assert pipe.b.delivered == [(0, body)] or pipe.b.delivered == [(1, body)]
