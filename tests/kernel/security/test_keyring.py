"""Cluster keys: typos are noticed, secrets are not shown, and the open key never mixes with a secret one."""

from __future__ import annotations

import os
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.errors import ConfigError
from guthi.security.keyring import MAX_KEYS, OPEN_KEY, ClusterKey, Keyring

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

secrets_of_keys = st.binary(min_size=32, max_size=32)


@given(secrets_of_keys)
def test_the_written_form_is_read_back(secret: bytes) -> None:
    key = ClusterKey(secret)
    assert ClusterKey.parse(key.text()) == key
    assert ClusterKey.parse(f"  {key.text().upper()}\n").secret == secret


def test_the_written_form_is_stable() -> None:
    """Key files of older installations stay readable."""
    assert ClusterKey(bytes(range(32))).text() == ("guthi1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp2hoe5yu")


@given(secrets_of_keys, st.integers(0, 64), st.sampled_from(ALPHABET))
def test_any_single_typo_is_noticed(secret: bytes, place: int, letter: str) -> None:
    text = ClusterKey(secret).text()
    typo = text[:place] + letter + text[place + 1 :]
    if typo != text:
        with pytest.raises(ConfigError):
            ClusterKey.parse(typo)


@given(secrets_of_keys, st.integers(0, 64))
def test_a_cut_or_doubled_text_is_noticed(secret: bytes, place: int) -> None:
    text = ClusterKey(secret).text()
    for wrong in (text[:place], text[:place] + text[place + 1 :], text + text[place]):
        with pytest.raises(ConfigError):
            ClusterKey.parse(wrong)


@given(st.text())
def test_any_other_text_is_a_config_error(text: str) -> None:
    for wrong in (text, f"guthi1-{text}"):
        with pytest.raises(ConfigError):
            ClusterKey.parse(wrong)


def test_errors_name_the_mend_and_hide_the_text() -> None:
    text = ClusterKey.generate(os.urandom).text()
    with pytest.raises(ConfigError, match="copy it again") as caught:
        ClusterKey.parse(text[:-1])
    assert text[10:-10] not in str(caught.value)
    with pytest.raises(ConfigError, match="guthi keygen"):
        ClusterKey.parse("swordfish")
    with pytest.raises(ConfigError, match="guthi keygen"):
        ClusterKey(bytes(31))


@given(secrets_of_keys)
def test_nothing_shown_has_the_secret(secret: bytes) -> None:
    key = ClusterKey(secret)
    ring = Keyring([key])
    for shown in (str(key), repr(key), f"{key}", f"{[key]}", str(ring), repr(ring), key.fingerprint):
        assert key.text() not in shown
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    assert key.fingerprint in str(key)


def test_key_id_is_the_start_of_a_personal_blake2b() -> None:
    key = ClusterKey(bytes(32))
    assert key.key_id == blake2b(bytes(32), person=b"guthi-key-id").digest()[:4]


def test_each_purpose_has_a_key_of_its_own() -> None:
    key, other = ClusterKey(b"a" * 32), ClusterKey(b"b" * 32)
    derived = {key.derive(b"datagram"), key.derive(b"psk"), key.derive(b""), other.derive(b"psk"), key.secret}
    assert len(derived) == 5
    assert {len(each) for each in derived} == {32}
    assert key.derive(b"psk") == blake2b(b"psk", digest_size=32, key=key.secret, person=b"guthi-derive").digest()


def test_equal_keys_are_equal_and_hash_alike() -> None:
    assert ClusterKey(b"a" * 32) == ClusterKey(b"a" * 32)
    assert ClusterKey(b"a" * 32) != ClusterKey(b"b" * 32)
    assert ClusterKey(b"a" * 32) != b"a" * 32
    assert len({ClusterKey(b"a" * 32), ClusterKey(b"a" * 32), ClusterKey(b"b" * 32)}) == 2


def test_a_keyring_seals_with_the_first_key_and_finds_all() -> None:
    new, old = ClusterKey(b"n" * 32), ClusterKey(b"o" * 32)
    ring = Keyring([new, old, new])
    assert ring.primary == new
    assert ring.keys == (new, old)
    assert ring.by_id(old.key_id) == old
    assert ring.by_id(b"none") is None
    assert not ring.is_open


def test_the_list_that_a_keyring_was_made_from_may_change() -> None:
    keys = [ClusterKey(b"n" * 32)]
    ring = Keyring(keys)
    keys.append(ClusterKey(b"o" * 32))
    assert ring.keys == (ClusterKey(b"n" * 32),)


def test_the_open_keyring_says_so_and_takes_no_secret_key_beside_it() -> None:
    assert Keyring([OPEN_KEY]).is_open
    for keys in ([OPEN_KEY, ClusterKey(b"n" * 32)], [ClusterKey(b"n" * 32), OPEN_KEY]):
        with pytest.raises(ConfigError, match="admits everybody"):
            Keyring(keys)


def test_a_full_keyring_can_still_be_rotated_and_takes_no_more() -> None:
    keys = [ClusterKey(bytes([number]) * 32) for number in range(MAX_KEYS + 1)]
    full = Keyring(keys[:MAX_KEYS])
    assert full.using(keys[5].key_id).primary == keys[5]
    assert full.adding(keys[5]).keys == full.keys
    assert len(full.removing(keys[5].key_id).keys) == MAX_KEYS - 1
    with pytest.raises(ConfigError, match="at most 16 cluster keys, not 17"):
        full.adding(keys[MAX_KEYS])


def test_an_empty_keyring_is_refused() -> None:
    with pytest.raises(ConfigError, match="guthi keygen"):
        Keyring([])


def test_two_keys_with_one_id_are_refused() -> None:
    first, second = ClusterKey(b"a" * 32), ClusterKey(b"b" * 32)
    object.__setattr__(second, "key_id", first.key_id)
    with pytest.raises(ConfigError, match="one key id"):
        Keyring([first, second])
