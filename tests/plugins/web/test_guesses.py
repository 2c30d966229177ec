"""Wrong tokens: each address has a few, then one now and then; the table is bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guthi_web.guesses import AT_ONCE, EVERY_S, MOST_ADDRESSES, Guesses


def wrong(guesses: Guesses, address: str, now: float) -> bool:
    """A wrong guess, if it may be made."""
    if guesses.wait_s(address, now) > 0:
        return False
    guesses.wrong(address, now)
    return True


def test_some_at_once_and_then_one_now_and_then() -> None:
    guesses = Guesses()
    assert [wrong(guesses, "10.0.0.1", 5.0) for _ in range(AT_ONCE + 2)] == [True] * AT_ONCE + [False] * 2
    assert guesses.wait_s("10.0.0.1", 5.0) == EVERY_S
    assert wrong(guesses, "10.0.0.1", 5.0 + EVERY_S) and not wrong(guesses, "10.0.0.1", 5.0 + EVERY_S)
    assert wrong(guesses, "10.0.0.2", 5.0)  # others do not pay for it


def test_a_network_of_ipv6_is_one_who_guesses() -> None:
    guesses = Guesses()
    for number in range(AT_ONCE):
        assert wrong(guesses, f"2001:db8:0:7::{number:x}", 0.0)
    assert not wrong(guesses, "2001:db8:0:7:ffff::1", 0.0)
    assert wrong(guesses, "2001:db8:0:8::1", 0.0)
    for number in range(AT_ONCE):
        assert wrong(guesses, ["10.0.0.1", "::ffff:10.0.0.1"][number % 2], 0.0)
    assert not wrong(guesses, "10.0.0.1", 0.0)


def test_of_too_many_addresses_those_are_forgotten_that_may_guess_soonest() -> None:
    guesses = Guesses()
    for _ in range(AT_ONCE):
        assert wrong(guesses, "203.0.113.9", 0.0)
    for number in range(MOST_ADDRESSES + 100):
        wrong(guesses, f"10.1.{number >> 8}.{number & 255}", 0.0)
    assert len(guesses) <= MOST_ADDRESSES
    assert not wrong(guesses, "203.0.113.9", 0.0)


def test_who_is_no_address_is_one_too() -> None:
    guesses = Guesses()
    for _ in range(AT_ONCE):
        assert wrong(guesses, "", 0.0)
    assert not wrong(guesses, "", 0.0) and wrong(guesses, "a socket", 0.0)


@given(st.lists(st.floats(0, 20), max_size=200))
def test_never_more_than_the_rate_says(pauses: list[float]) -> None:
    guesses, now, made = Guesses(), 0.0, 0
    for pause in pauses:
        now += pause
        made += wrong(guesses, "10.0.0.1", now)
        assert made <= AT_ONCE + now / EVERY_S + 1e-6
