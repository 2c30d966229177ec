"""The parts of a picture in a distributed array: what is there, who leads, what is written down, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi import MalformedMessage, NodeId, UsageError
from guthi_mandelbrot import Region, View, render
from guthi_mandelbrot.canvas import painted, unpainted
from guthi_mandelbrot.contribution import Contribution, shares
from guthi_mandelbrot.job import Job, contribution_name, contributions_in, job_name, pictures_in, times_name
from guthi_mandelbrot.leading import leader_among

VIEW = View(Region(-2.0, 0.6, -1.25, 1.25), 80, 60, 200)
ALICE, BOB, CAROL = (NodeId(bytes([number] * 16)) for number in (1, 2, 3))


def test_a_picture_says_itself_whether_it_is_there() -> None:
    times = render(VIEW)
    assert (times == 0).any()  # points inside the set: they are there as well
    assert painted(times).all()
    there = unpainted(painted(times))
    assert there is not None
    assert np.array_equal(there, times)
    assert unpainted(np.zeros((2, 2), np.uint32)) is None
    half = painted(times)
    half[-1, -1] = 0
    assert unpainted(half) is None


def test_who_leads() -> None:
    assert leader_among(BOB, [ALICE, BOB, CAROL]) == BOB
    assert leader_among(BOB, [CAROL, ALICE]) == ALICE


@given(height=st.integers(1, 3000), bands=st.integers(1, 300))
def test_bands_are_chunks_of_one_height_and_leave_nothing_out(height: int, bands: int) -> None:
    job = Job.first(View(VIEW.region, 4, height, 10), bands, ALICE, "alice")
    assert [row for start, rows in job.bands for row in range(start, start + rows)] == list(range(height))
    assert len(job.bands) <= bands
    assert all(start % job.band_rows == 0 for start, _ in job.bands)


def test_no_bands_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="must be 1 or more"):
        Job.first(VIEW, 0, ALICE, "alice")


def test_a_job_travels() -> None:
    job = Job.first(VIEW, 7, ALICE, "alice").led_by(BOB, "bob")
    assert Job.from_wire(job.to_wire()) == job
    assert job.leader == BOB
    assert not job.is_over


@pytest.mark.parametrize(
    "spoil",
    [
        lambda wire: None,
        lambda wire: wire[:-1],
        lambda wire: [wire[0][:-1], *wire[1:]],
        lambda wire: [["a"] * 7, *wire[1:]],
        lambda wire: [[*wire[0][:4], 0, 0, 0], *wire[1:]],
        lambda wire: [wire[0], 0, *wire[2:]],
        lambda wire: [*wire[:2], [], *wire[3:]],
        lambda wire: [*wire[:2], [[b"short", "alice"]], *wire[3:]],
        lambda wire: [*wire[:2], [1], *wire[3:]],
    ],
)
def test_a_spoilt_job_is_malformed(spoil: object) -> None:
    wire = Job.first(VIEW, 7, ALICE, "alice").to_wire()
    with pytest.raises(MalformedMessage):
        Job.from_wire(spoil(wire))  # type: ignore[operator]


@pytest.mark.parametrize(
    "wire", [None, [], ["a", [[1]], []], ["a", [], [[1, 2]]], ["a", [[0, b"x", 1]], []], [1, [], []]]
)
def test_a_spoilt_contribution_is_malformed(wire: object) -> None:
    with pytest.raises(MalformedMessage):
        Contribution.from_wire(wire)


def test_what_was_taken_over_is_found_out() -> None:
    alice = Contribution("alice", {0: (ALICE, 1), 10: (ALICE, 2)}, {0: (10, 0.5, 0)})
    bob = Contribution("bob", {10: (BOB, 1), 20: (ALICE, 3)}, {10: (10, 0.25, 4), 20: (10, 0.25, 0)})
    assert Contribution.from_wire(bob.to_wire()) == bob
    first, second = shares([bob, alice])
    assert (first.node, first.bands, first.rows, first.busy_s, first.taken_over) == ("alice", 1, 10, 0.5, {})
    assert (second.bands, second.taken_over, second.resumed_rows) == (2, {"alice": 1}, 4)
    assert shares([bob, alice], lost=["alice"])[1].taken_over == {"alice": 1}
    assert shares([bob, alice], lost=[])[1].taken_over == {}  # alice was only too slow


def test_a_band_that_two_computed_counts_once_and_its_time_twice() -> None:
    """One of them was killed after it had written the band and before it had answered."""
    alice = Contribution("alice", {0: (ALICE, 1), 10: (ALICE, 2)}, {0: (10, 0.5, 0), 10: (10, 0.5, 0)})
    bob = Contribution("bob", {10: (BOB, 1)}, {10: (10, 0.25, 0)})
    first, second = shares([bob, alice])
    assert (first.bands, first.rows, first.busy_s, first.taken_over) == (1, 10, 1.0, {})
    assert (second.bands, second.rows, second.busy_s, second.taken_over) == (1, 10, 0.25, {})


def test_names_of_variables() -> None:
    names = [job_name("p"), times_name("p"), contribution_name("p", BOB), contribution_name("q", BOB), "other"]
    assert pictures_in(names) == ["p"]
    assert contributions_in(names, "p") == [contribution_name("p", BOB)]
