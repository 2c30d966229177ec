"""The largest datagram that passes: the search alone, and in sessions on paths that are small, shrink and grow."""

from __future__ import annotations

import pytest
from tests.kernel.pipe import End, Pipe, Weather

from guthi.transport.pathmtu import (
    BASE_BYTES,
    BLACK_HOLE_LOSSES,
    PROBES_A_SIZE,
    RAISE_AFTER_S,
    RUNGS,
    PathMtu,
    PathState,
)

LARGEST_BYTES = 61_440


def searched(path: PathMtu, limit_bytes: int, now: float = 0.0) -> int:
    """Let each probe pass that the path takes; returns how many it took."""
    probes = 0
    while (size := path.probe_bytes(now)) is not None:
        path.probe_sent(probes, now)
        assert path.probe_number == probes
        probes += 1
        if size <= limit_bytes:
            path.probe_arrived()
        else:
            path.probe_lost()
    return probes


def test_on_loopback_the_first_probe_is_the_last() -> None:
    path = PathMtu(LARGEST_BYTES)
    assert path.datagram_bytes == BASE_BYTES
    assert searched(path, LARGEST_BYTES) == 1
    assert path.datagram_bytes == LARGEST_BYTES


@pytest.mark.parametrize(("limit_bytes", "found"), [(1472, 1452), (8972, 8952), (1200, 1200), (1399, 1372)])
def test_the_largest_rung_that_passes_is_found(limit_bytes: int, found: int) -> None:
    path = PathMtu(LARGEST_BYTES)
    assert searched(path, limit_bytes) <= PROBES_A_SIZE * 5
    assert path.datagram_bytes == found
    assert path.state is PathState.COMPLETE


def test_a_path_held_at_a_size_uses_just_that() -> None:
    path = PathMtu(1400)
    searched(path, 1_000_000)
    assert path.datagram_bytes == 1400


@pytest.mark.parametrize("largest_bytes", [500, 1200])
def test_where_nothing_larger_is_allowed_nothing_is_tried(largest_bytes: int) -> None:
    path = PathMtu(largest_bytes)
    assert path.datagram_bytes == largest_bytes
    assert path.probe_bytes(1e9) is None


def test_one_probe_at_a_time() -> None:
    path = PathMtu(LARGEST_BYTES)
    path.probe_sent(7, 0.0)
    assert path.probe_bytes(0.0) is None
    assert path.probe_number != 6


def test_after_ten_minutes_a_larger_size_is_tried_again() -> None:
    path = PathMtu(LARGEST_BYTES)
    searched(path, RUNGS[3])
    assert path.probe_bytes(RAISE_AFTER_S - 1) is None
    assert searched(path, LARGEST_BYTES, RAISE_AFTER_S) == 1
    assert path.datagram_bytes == LARGEST_BYTES


def test_large_datagrams_that_vanish_in_a_row_are_a_black_hole() -> None:
    path = PathMtu(LARGEST_BYTES)
    searched(path, LARGEST_BYTES)
    for _ in range(3):
        for _ in range(BLACK_HOLE_LOSSES - 1):
            path.lost(60_000)
        path.arrived(60_000)
    assert path.datagram_bytes == LARGEST_BYTES, "in between, they arrived"
    for _ in range(BLACK_HOLE_LOSSES):
        path.lost(60_000)
        path.arrived(100)
    assert path.datagram_bytes == BASE_BYTES
    assert path.state is PathState.SEARCH


def test_small_datagrams_that_vanish_say_nothing_of_the_size() -> None:
    path = PathMtu(LARGEST_BYTES)
    searched(path, LARGEST_BYTES)
    for _ in range(100):
        path.lost(BASE_BYTES)
    assert path.datagram_bytes == LARGEST_BYTES


# ---- in a session


class Path:
    """A path that takes datagrams up to a size, which may change."""

    def __init__(self, limit_bytes: int, weather: Weather | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.pipe = Pipe(0, weather, datagram_bytes=LARGEST_BYTES)
        self.pipe.intercept = self._carry

    def _carry(self, _: End, datagram: bytes) -> bytes | None:
        return datagram if len(datagram) <= self.limit_bytes else None

    def transfer(self, size_bytes: int, within_s: float = 20.0) -> float:
        """Send a message over; returns how long it took."""
        pipe, began = self.pipe, self.pipe.now
        already = len(pipe.b.delivered)
        pipe.a.session.send([bytes(size_bytes)])
        pipe.flush()
        while len(pipe.b.delivered) == already:
            assert pipe.step() and pipe.now < began + within_s
        assert len(pipe.b.delivered[-1][1]) == size_bytes
        return pipe.now - began


@pytest.mark.parametrize(("limit_bytes", "found"), [(65_507, LARGEST_BYTES), (8972, 8952), (1472, 1452), (1200, 1200)])
def test_a_session_finds_what_the_path_takes(limit_bytes: int, found: int) -> None:
    path = Path(limit_bytes)
    for _ in range(20):
        path.transfer(400_000)
    assert path.pipe.a.session.datagram_bytes == found
    path.pipe.run(5.0)
    assert path.pipe.quiet


def test_lost_probes_are_no_sign_of_congestion() -> None:
    probed, unprobed = Path(1200), Pipe(0, datagram_bytes=1200)
    took_s = probed.transfer(3_000_000)
    unprobed.a.session.send([bytes(3_000_000)])
    unprobed.flush()
    began = unprobed.now
    while not unprobed.b.delivered:
        unprobed.step()
    assert took_s == pytest.approx(unprobed.now - began, rel=0.1)


def test_short_messages_ask_for_no_probe() -> None:
    path = Path(65_507)
    for _ in range(50):
        path.transfer(500)
    assert path.pipe.a.session.datagram_bytes == BASE_BYTES
    assert path.pipe.a.sent_bytes < 50 * 700


@pytest.mark.parametrize("size_bytes", [5000, 60_000, 400_000])
def test_when_the_path_shrinks_whole_messages_go_on_in_pieces(size_bytes: int) -> None:
    path = Path(65_507)
    for _ in range(3):
        path.transfer(400_000)
    assert path.pipe.a.session.datagram_bytes == LARGEST_BYTES
    path.limit_bytes = 1300
    assert path.transfer(size_bytes) < 3.0
    assert path.pipe.a.session.datagram_bytes <= 1300
    assert not path.pipe.a.events


def test_a_path_that_shrinks_under_a_lossy_stream_is_noticed() -> None:
    path = Path(65_507, Weather(loss=0.05))
    for _ in range(3):
        path.transfer(400_000)
    path.limit_bytes = 1500
    for _ in range(5):
        path.transfer(400_000)
    assert BASE_BYTES <= path.pipe.a.session.datagram_bytes <= 1500
