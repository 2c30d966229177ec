"""Which key a datagram is sealed with: the primary, unless its receiver was heard to use another."""

from __future__ import annotations

import pytest

from guthi.api import Address
from guthi.security.audience import Audience
from guthi.security.keyring import ClusterKey, Keyring

OLD, NEW = ClusterKey(b"o" * 32), ClusterKey(b"n" * 32)
HERE, THERE = Address("10.0.0.1", 1), Address("10.0.0.2", 1)


def test_the_key_that_was_heard_from_an_address_is_used_there_until_the_primary_is() -> None:
    audience = Audience(Keyring([NEW, OLD]))
    assert audience.key_for(HERE) == NEW
    audience.heard(HERE, OLD)
    assert (audience.key_for(HERE), audience.key_for(THERE)) == (OLD, NEW)
    audience.heard(HERE, NEW)
    assert audience.key_for(HERE) == NEW and len(audience) == 0


def test_the_likeliest_key_is_tried_first_and_each_once() -> None:
    audience = Audience(Keyring([NEW, OLD]))
    assert audience.keys_for(HERE) == [NEW, OLD]
    audience.heard(HERE, OLD)
    assert audience.keys_for(HERE) == [OLD, NEW]


def test_a_removed_key_is_used_no_more() -> None:
    audience = Audience(Keyring([NEW, OLD]))
    audience.heard(HERE, OLD)
    audience.change_keys(Keyring([NEW]))
    assert audience.key_for(HERE) == NEW and len(audience) == 0


def test_an_exception_becomes_none_when_its_key_becomes_the_primary() -> None:
    audience = Audience(Keyring([OLD, NEW]))
    audience.heard(HERE, NEW)
    audience.heard(THERE, OLD)
    audience.change_keys(Keyring([NEW, OLD]))
    assert len(audience) == 0


def test_who_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi.security.audience.MAX_EXCEPTIONS", 3)
    audience = Audience(Keyring([NEW, OLD]))
    for number in range(10):
        audience.heard(Address("10.0.0.1", 1 + number), OLD)
    assert len(audience) == 3
    assert audience.key_for(Address("10.0.0.1", 10)) == OLD
    assert audience.key_for(Address("10.0.0.1", 1)) == NEW
