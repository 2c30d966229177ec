"""The gate before handshakes: open up to a rate, then only to those who can be reached where they say they are."""

from __future__ import annotations

import os

import pytest

from guthi.api import Address
from guthi.security.cookies import (
    COOKIE_BYTES,
    INITS_BURST,
    INITS_PER_S,
    MACHINE_INITS_BURST,
    MACHINE_INITS_PER_S,
    SECRET_LIFE_S,
    Admission,
    InitGate,
)

HERE, THERE = Address("192.0.2.1", 7), Address("192.0.2.2", 7)
NOW = 1000.0


@pytest.fixture
def gate() -> InitGate:
    return InitGate(os.urandom)


def flood(gate: InitGate, count: int, now: float = NOW, source: Address = HERE) -> list[Admission]:
    return [gate.admit(source, None, now) for _ in range(count)]


def under_load(gate: InitGate, now: float = NOW) -> None:
    while gate.admit(HERE, None, now) is Admission.ANSWER:
        pass


def test_up_to_a_rate_all_are_answered_then_they_get_a_cookie(gate: InitGate) -> None:
    burst = int(INITS_BURST)
    assert flood(gate, burst) == [Admission.ANSWER] * burst
    assert flood(gate, 10) == [Admission.SEND_COOKIE] * 10
    later = flood(gate, 1000, NOW + 1.0)
    assert later.count(Admission.ANSWER) == int(INITS_PER_S)


def test_who_echoes_the_cookie_is_answered_under_load(gate: InitGate) -> None:
    under_load(gate)
    cookie = gate.cookie_for(HERE, NOW)
    assert len(cookie) == COOKIE_BYTES
    assert gate.admit(HERE, cookie, NOW) is Admission.ANSWER


@pytest.mark.parametrize("source", [THERE, Address(HERE.host, HERE.port + 1)])
def test_a_cookie_is_good_from_one_address_only(gate: InitGate, source: Address) -> None:
    under_load(gate)
    assert gate.admit(source, gate.cookie_for(HERE, NOW), NOW) is Admission.SEND_COOKIE


def test_ipv4_machines_on_a_port_of_both_families_are_told_apart(gate: InitGate) -> None:
    under_load(gate)
    busy, other = Address("::ffff:192.0.2.1", 7), Address("::ffff:192.0.2.2", 7)
    while gate.admit(busy, gate.cookie_for(busy, NOW), NOW) is Admission.ANSWER:
        pass
    assert gate.admit(other, gate.cookie_for(other, NOW), NOW) is Admission.ANSWER


@pytest.mark.parametrize("cookie", [b"", bytes(COOKIE_BYTES), b"x" * 100])
def test_an_invented_cookie_is_none(gate: InitGate, cookie: bytes) -> None:
    under_load(gate)
    assert gate.admit(HERE, cookie, NOW) is Admission.SEND_COOKIE


def test_a_cookie_outlives_one_change_of_the_secret_and_no_more(gate: InitGate) -> None:
    cookie = gate.cookie_for(HERE, NOW)
    for age_s, admission in (
        (SECRET_LIFE_S - 1, Admission.ANSWER),
        (SECRET_LIFE_S + 1, Admission.ANSWER),
        (2 * SECRET_LIFE_S + 2, Admission.SEND_COOKIE),
    ):
        under_load(gate, NOW + age_s)
        assert gate.admit(HERE, cookie, NOW + age_s) is admission, age_s


def test_after_a_long_pause_no_old_secret_is_accepted(gate: InitGate) -> None:
    cookie = gate.cookie_for(HERE, NOW)
    under_load(gate, NOW + 1e6)
    assert gate.admit(HERE, cookie, NOW + 1e6) is Admission.SEND_COOKIE


def test_one_machine_with_cookies_does_not_take_the_time_of_all(gate: InitGate) -> None:
    under_load(gate)
    cookie = gate.cookie_for(HERE, NOW)
    answers = [gate.admit(HERE, cookie, NOW) for _ in range(1000)]
    assert answers.count(Admission.ANSWER) == int(MACHINE_INITS_BURST)
    assert set(answers) == {Admission.ANSWER, Admission.DROP}
    assert gate.admit(THERE, gate.cookie_for(THERE, NOW), NOW) is Admission.ANSWER
    under_load(gate, NOW + 1.0)
    later = [gate.admit(HERE, cookie, NOW + 1.0) for _ in range(1000)]
    assert later.count(Admission.ANSWER) == int(MACHINE_INITS_PER_S)


def test_an_ipv6_machine_is_its_whole_network_of_64_bits(gate: InitGate) -> None:
    under_load(gate)
    sources = [Address(f"2001:db8::{number:x}", 7) for number in range(1000)]
    answers = [gate.admit(source, gate.cookie_for(source, NOW), NOW) for source in sources]
    assert answers.count(Admission.ANSWER) == int(MACHINE_INITS_BURST)
    assert len(gate) == 1


def test_forged_addresses_leave_nothing_behind(gate: InitGate) -> None:
    for number in range(10_000):
        gate.admit(Address(f"10.{number >> 8}.{number & 255}.1", 7), b"c" * COOKIE_BYTES, NOW)
    assert len(gate) == 0


def test_the_table_of_machines_is_bounded(gate: InitGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.security.cookies.MAX_MACHINES", 10)
    under_load(gate)
    for number in range(100):
        source = Address(f"10.0.0.{number}", 7)
        assert gate.admit(source, gate.cookie_for(source, NOW), NOW) is Admission.ANSWER
    assert len(gate) == 10


def test_without_a_flood_no_secret_is_drawn() -> None:
    def refuse(size_bytes: int) -> bytes:
        raise AssertionError("entropy was asked for")

    assert InitGate(refuse).admit(HERE, None, NOW) is Admission.ANSWER
