"""Key epochs: REKEY as Noise has it, a session that changes keys every few packets, and what a forged epoch costs."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

import pytest
from noise.backends.default.ciphers import AESGCMCipher
from tests.kernel.pipe import End, Pipe, Weather

from guthi.transport.keys import Opening, Sealing, rekeyed
from guthi.transport.session import SessionLost, SessionSettings
from guthi.transport.wire import HEADER_EPOCH

SECRET = bytes(range(32))
HASTY = SessionSettings(timeout_s=60.0, idle_s=1e6, epoch_packets=4)


def way(*, epoch_packets: int = 1, epoch_s: float = 1e9) -> tuple[Sealing, Opening]:
    sealing = Sealing(SECRET, 7, 0.0, epoch_packets=epoch_packets, epoch_s=epoch_s)
    return sealing, Opening(SECRET, lambda: 1.0)


def next_epoch(sealing: Sealing, number: int) -> None:
    """Begin an epoch with the packet of this number, as if the one before had been acknowledged."""
    sealing.acknowledged(number - 1)
    assert sealing.is_due(number, 0.0) and sealing.is_confirmed
    sealing.advance(number, 0.0)


def test_the_next_key_is_that_of_another_implementation_of_noise() -> None:
    other = AESGCMCipher()
    other.initialize(SECRET)
    assert rekeyed(SECRET) == other.rekey(SECRET)


def test_what_comes_late_is_opened_with_the_older_key_until_it_is_dropped() -> None:
    sealing, opening = way()
    late = [sealing.seal(number, b"%d" % number) for number in (0, 1, 2)]
    next_epoch(sealing, 3)
    newer = sealing.seal(3, b"3")
    assert opening.open(late[0], 0.0) == (0, b"0")
    assert opening.open(newer, 5.0) == (3, b"3")
    assert opening.deadline == 6.0
    assert opening.open(late[1], 5.9) == (1, b"1")
    opening.on_deadline(6.0)
    assert opening.deadline is None
    assert opening.open(late[2], 6.0) is None


def test_an_older_key_opens_no_packet_of_the_new_epoch() -> None:
    sealing, opening = way()
    opening.open(sealing.seal(0, b"0"), 0.0)
    out_of_turn = sealing.seal(9, b"a broken peer")
    next_epoch(sealing, 1)
    opening.open(sealing.seal(1, b"1"), 0.0)
    assert opening.open(out_of_turn, 0.0) is None


def test_epochs_go_round_after_256() -> None:
    sealing, opening = way()
    for number in range(600):
        assert opening.open(sealing.seal(number, b"x"), 0.0) == (number, b"x")
        next_epoch(sealing, number + 1)


def test_no_epoch_begins_before_the_one_before_is_confirmed() -> None:
    sealing, _ = way(epoch_packets=10, epoch_s=5.0)
    assert sealing.is_confirmed, "both begin in the first"
    assert not sealing.is_due(9, 4.9)
    assert sealing.is_due(10, 4.9) and sealing.is_due(9, 5.0)
    sealing.advance(10, 5.0)
    sealing.acknowledged(9)
    assert not sealing.is_confirmed, "that packet was of the epoch before"
    sealing.acknowledged(10)
    assert sealing.is_confirmed


@pytest.mark.parametrize("epoch", range(256))
def test_whatever_epoch_is_forged_into_a_header_nothing_is_opened_and_nothing_changes(epoch: int) -> None:
    sealing, opening = way()
    for number in range(3):
        opening.open(sealing.seal(number, b"x"), 0.0)
        next_epoch(sealing, number + 1)
    opening.open(sealing.seal(3, b"x"), 0.0)
    datagram = sealing.seal(4, b"true")
    forged = bytearray(datagram)
    forged[HEADER_EPOCH] = epoch
    if epoch != datagram[HEADER_EPOCH]:
        before = opening.deadline
        assert opening.open(forged, 0.0) is None
        assert opening.deadline == before
    assert opening.open(datagram, 0.0) == (4, b"true")
    next_epoch(sealing, 5)
    assert opening.open(sealing.seal(5, b"next"), 0.0) == (5, b"next")


# ---- sessions that change keys every few packets


def epochs_seen(pipe: Pipe) -> Counter[tuple[str, int]]:
    """Counts the datagrams by direction and epoch, as they go over the line."""
    seen: Counter[tuple[str, int]] = Counter()

    def note(to: End, datagram: bytes) -> bytes:
        seen["b" if to is pipe.b else "a", datagram[HEADER_EPOCH]] += 1
        return datagram

    pipe.intercept = note
    return seen


@pytest.mark.parametrize("seed", range(12))
def test_both_sides_change_keys_all_the_time_and_nothing_is_lost(seed: int) -> None:
    random = Random(seed)
    weather = Weather(
        loss=random.choice([0.0, 0.05, 0.2]),
        duplication=random.choice([0.0, 0.2]),
        jitter_s=random.choice([0.0, 0.005, 0.05]),
    )
    pipe = Pipe(seed, weather, settings=HASTY)
    seen = epochs_seen(pipe)
    bodies = [b"%d " % number + bytes(random.randrange(3000)) for number in range(300)]
    for number, body in enumerate(bodies):
        for end in (pipe.a, pipe.b):
            pipe.at(pipe.now + number / 50, partial(end.session.send, [body], 2))
    pipe.flush()
    pipe.run(120.0)
    for end in (pipe.a, pipe.b):
        assert end.delivered == [(2, body) for body in bodies], f"seed {seed}"
        assert not end.events
    assert pipe.quiet, "the last of the older keys is dropped too"
    assert min(len([1 for to, _ in seen if to == way]) for way in "ab") > 30, "epochs were many"


def test_a_change_of_keys_alone_sends_nothing_again() -> None:
    pipe = Pipe(1, settings=HASTY)
    carried = 0

    def count(to: End, datagram: bytes) -> bytes:
        nonlocal carried
        carried += len(datagram) > 1000
        return datagram

    pipe.intercept = count
    for number in range(500):
        pipe.at(pipe.now + number / 1000, partial(pipe.a.session.send, [bytes(1000)]))
    pipe.run(10.0)
    assert (len(pipe.b.delivered), carried) == (500, 500)


def test_thousands_of_packets_under_load_have_a_new_key_each_few() -> None:
    pipe = Pipe(5, Weather(loss=0.01, duplication=0.01, latency_s=0.005, jitter_s=0.001), settings=HASTY)
    seen = epochs_seen(pipe)
    pipe.a.session.send([bytes(4_000_000)])
    pipe.flush()
    pipe.run(60.0)
    assert [len(body) for _, body in pipe.b.delivered] == [4_000_000]
    assert seen.total() > 4000
    assert len([1 for to, _ in seen if to == "b"]) >= 20
    assert len([1 for to, _ in seen if to == "a"]) >= 20, "who only acknowledges changes keys as well"


def test_a_key_serves_for_so_long_even_if_little_is_sent() -> None:
    pipe = Pipe(0, settings=SessionSettings(timeout_s=60.0, idle_s=1e6, epoch_s=120.0))
    seen = epochs_seen(pipe)
    for number in range(60):
        pipe.at(pipe.now + 10.0 * number, partial(pipe.a.session.send, [b"now and then"]))
    pipe.run(600.0)
    assert {epoch for to, epoch in seen if to == "b"} == {0, 1, 2, 3, 4}
    assert {epoch for to, epoch in seen if to == "a"} == {0, 1, 2, 3, 4}


def test_somebody_who_alters_epochs_delays_what_he_altered_and_no_more() -> None:
    pipe = Pipe(3, settings=HASTY)
    random = Random(3)

    def alter(to: End, datagram: bytes) -> bytes:
        if random.random() < 0.8:
            return datagram
        changed = bytearray(datagram)
        changed[HEADER_EPOCH] = (changed[HEADER_EPOCH] + random.choice([-1, 1])) % 256
        return bytes(changed)

    pipe.intercept = alter
    for number in range(200):
        pipe.at(pipe.now + number / 100, partial(pipe.a.session.send, [b"%d" % number], 2))
    pipe.run(60.0)
    assert pipe.b.delivered == [(2, b"%d" % number) for number in range(200)]
    assert not pipe.a.events and not pipe.b.events and pipe.quiet


def test_a_peer_that_never_confirms_a_key_is_given_up_before_the_key_is_worn_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("guthi.transport.keys.HARD_LIMIT_PACKETS", 10)
    pipe = Pipe(0, settings=SessionSettings(timeout_s=1e6, idle_s=1e6, epoch_packets=5))
    pipe.a.deaf = True
    for number in range(200):
        pipe.at(pipe.now + number, partial(pipe.a.session.send, [b"?"]))
    pipe.run(300.0)
    assert pipe.a.events == [SessionLost("it confirms no new key")]
    assert 5 + 10 <= pipe.a.sent_datagrams <= 5 + 13
