"""The replay window against a model that remembers everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guthi.security.replay import ReplayWindow


class Model:
    """All counters ever admitted, in a set."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.admitted: set[int] = set()

    def admit(self, counter: int) -> bool:
        if counter in self.admitted or counter <= max(self.admitted, default=-1) - self.size:
            return False
        self.admitted.add(counter)
        return True


near = st.lists(st.integers(0, 30), max_size=80)
jumping = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40) | st.integers(2**63, 2**63 + 40), max_size=60)
sizes = st.sampled_from([1, 2, 7, 8, 64, 1024])


@given(sizes, near | jumping)
def test_admit_agrees_with_the_model(size: int, counters: list[int]) -> None:
    window, model = ReplayWindow(size), Model(size)
    for counter in counters:
        assert window.fresh(counter) == window.fresh(counter)
        fresh = window.fresh(counter)
        assert window.admit(counter) == model.admit(counter) == fresh, counter


@given(sizes, near | jumping)
def test_fresh_and_mark_do_what_admit_does(size: int, counters: list[int]) -> None:
    window, model = ReplayWindow(size), Model(size)
    for counter in counters:
        fresh = window.fresh(counter)
        if fresh:
            window.mark(counter)
        assert fresh == model.admit(counter)
        assert not window.fresh(counter)


@given(st.permutations(range(200)))
def test_any_order_within_the_window_is_admitted_once(counters: list[int]) -> None:
    window = ReplayWindow(200)
    assert all(window.admit(counter) for counter in counters)
    assert not any(window.admit(counter) for counter in counters)


def test_long_run_in_order_then_a_gap_that_is_filled_late() -> None:
    window = ReplayWindow()
    assert all(window.admit(counter) for counter in range(5000))
    assert window.admit(6000)
    assert all(window.admit(counter) for counter in range(5000, 6000))
    assert not window.admit(4999)
    assert window.admit(6001)
    assert not any(window.admit(counter) for counter in range(6002))


def test_the_edge_of_the_window() -> None:
    window = ReplayWindow(1024)
    window.mark(10_000)
    assert not window.admit(10_000 - 1024)
    assert window.admit(10_000 - 1023)
    assert not window.admit(10_000 - 1023)
