"""Sealed datagrams: our cluster reads them once; nobody else reads, forges, replays or reflects them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import astuple
from hashlib import blake2b

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from guthi.security.keyring import ClusterKey, Keyring
from guthi.security.seal import OVERHEAD_BYTES, SEALED_KIND, ClusterSeal, Dropped

KEY, OTHER_KEY = ClusterKey(b"k" * 32), ClusterKey(b"o" * 32)


def seal_of(name: str, *keys: ClusterKey, sender_limit: int = 100) -> ClusterSeal:
    return ClusterSeal(Keyring(keys or (KEY,)), random.Random(name).randbytes, sender_limit=sender_limit)


@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_what_is_sealed_is_opened(plaintexts: list[bytes]) -> None:
    alice, bob = seal_of("alice"), seal_of("bob")
    for plaintext in plaintexts:
        datagram = alice.seal(plaintext)
        assert len(datagram) == len(plaintext) + OVERHEAD_BYTES
        assert bob.open(datagram) == plaintext
    assert bob.dropped == Dropped()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: Callable[[bytes], bytes]) -> None:
    assert seal_of("bob").open(kind(seal_of("alice").seal(kind(b"text")))) == b"text"


def test_the_layout_is_as_written_in_the_protocol() -> None:
    salt = bytes(range(16))
    seal = ClusterSeal(Keyring([KEY]), lambda size_bytes: salt[:size_bytes])
    seal.seal(b"counter 0")
    header = bytes([0x01]) + KEY.key_id + salt + (1).to_bytes(8, "big")
    cipher = AESGCM(blake2b(salt, digest_size=32, key=KEY.derive(b"datagram")).digest())
    assert seal.seal(b"text") == header + cipher.encrypt(bytes(4) + (1).to_bytes(8, "big"), b"text", header)


def test_no_nonce_is_used_twice_and_each_boot_has_a_key_of_its_own() -> None:
    first_boot, second_boot = (ClusterSeal(Keyring([KEY]), os.urandom) for _ in range(2))
    datagrams = [seal.seal(b"same text") for seal in (first_boot, second_boot) for _ in range(50)]
    assert len({datagram[:29] for datagram in datagrams}) == 100
    assert len({datagram[29:] for datagram in datagrams}) == 100


def test_another_cluster_does_not_read_it() -> None:
    stranger = seal_of("stranger", OTHER_KEY)
    assert stranger.open(seal_of("alice").seal(b"text")) is None
    assert stranger.dropped == Dropped(unknown_key=1)


def test_a_stranger_who_writes_our_key_id_is_not_heard() -> None:
    bob = seal_of("bob")
    datagram = bytearray(seal_of("stranger", OTHER_KEY).seal(b"text"))
    datagram[1:5] = KEY.key_id
    assert bob.open(datagram) is None
    assert bob.dropped == Dropped(forged=1)


def test_keys_can_be_rotated_one_node_after_the_other() -> None:
    old, both, new = (
        seal_of("old", KEY),
        seal_of("both", OTHER_KEY, KEY),
        seal_of("new", OTHER_KEY),
    )
    assert both.open(old.seal(b"from the old key")) == b"from the old key"
    assert both.open(new.seal(b"from the new key")) == b"from the new key"
    assert new.open(both.seal(b"sealed with the first")) == b"sealed with the first"
    assert old.open(both.seal(b"sealed with the first")) is None


def test_a_replayed_datagram_is_dropped() -> None:
    alice, bob = seal_of("alice"), seal_of("bob")
    datagrams = [alice.seal(bytes([number])) for number in range(10)]
    for datagram in reversed(datagrams):
        assert bob.open(datagram) is not None
    for datagram in datagrams:
        assert bob.open(datagram) is None
    assert bob.dropped == Dropped(replayed=10)


def test_a_datagram_older_than_the_window_is_dropped() -> None:
    alice, bob = seal_of("alice"), seal_of("bob")
    datagrams = [alice.seal(b"") for _ in range(1025)]
    assert bob.open(datagrams[1024]) == b""
    assert bob.open(datagrams[0]) is None
    assert bob.open(datagrams[1]) == b""
    assert bob.dropped == Dropped(replayed=1)


def test_our_own_datagram_reflected_is_dropped() -> None:
    alice = seal_of("alice")
    assert alice.open(alice.seal(b"text")) is None
    assert alice.dropped == Dropped(reflected=1)


@given(st.integers(0, OVERHEAD_BYTES + 9), st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_noticed_and_the_true_datagram_still_good(place: int, bit: int) -> None:
    alice, bob = seal_of("alice"), seal_of("bob")
    datagram = alice.seal(b"ten bytes.")
    forged = bytearray(datagram)
    forged[place] ^= 1 << bit
    assert bob.open(forged) is None
    assert sum(astuple(bob.dropped)) == 1
    assert bob.open(datagram) == b"ten bytes."


def test_a_flipped_bit_of_a_known_sender_does_not_move_its_window() -> None:
    alice, bob = seal_of("alice"), seal_of("bob")
    bob.open(alice.seal(b""))
    datagram = alice.seal(b"text")
    far_ahead = datagram[:21] + (2**64 - 1).to_bytes(8, "big") + datagram[29:]
    assert bob.open(far_ahead) is None
    assert bob.dropped == Dropped(forged=1)
    assert bob.open(datagram) == b"text"


def test_every_truncation_is_dropped() -> None:
    alice, bob = seal_of("alice"), seal_of("bob")
    datagram = alice.seal(b"text")
    assert all(bob.open(datagram[:size]) is None for size in range(len(datagram)))
    assert bob.dropped == Dropped(malformed=OVERHEAD_BYTES, forged=len(b"text"))


@given(st.binary(max_size=200), st.sampled_from([b"", bytes([SEALED_KIND]), bytes([SEALED_KIND]) + KEY.key_id]))
def test_garbage_is_counted_and_never_raises(garbage: bytes, start: bytes) -> None:
    bob = seal_of("bob")
    assert bob.open(start + garbage) is None
    assert sum(astuple(bob.dropped)) == 1


def test_the_table_is_bounded_and_forgets_whom_it_heard_least_recently() -> None:
    bob = seal_of("bob", sender_limit=3)
    senders = [seal_of(f"sender {number}") for number in range(4)]
    recorded = [sender.seal(b"recorded") for sender in senders]
    for datagram in recorded[:3]:
        assert bob.open(datagram) is not None
    assert bob.open(senders[0].seal(b"heard again")) is not None
    assert bob.open(recorded[3]) is not None  # pushes out sender 1
    replayable = [number for number, datagram in enumerate(recorded) if number != 1 and bob.open(datagram)]
    assert replayable == []
    assert bob.open(recorded[1]) == b"recorded", "the documented price of a bounded table"


def test_garbage_with_our_key_id_pushes_nobody_out_of_the_table() -> None:
    alice, bob = seal_of("alice"), seal_of("bob", sender_limit=1)
    datagram = alice.seal(b"text")
    assert bob.open(datagram) == b"text"
    for number in range(100):
        bob.open(bytes([SEALED_KIND]) + KEY.key_id + number.to_bytes(16, "big") + bytes(40))
    assert bob.open(datagram) is None
    assert bob.dropped == Dropped(forged=100, replayed=1)


def test_a_sender_that_starts_again_is_heard_at_once() -> None:
    bob = seal_of("bob")
    before, after = seal_of("alice, first life"), seal_of("alice, second life")
    old = [before.seal(b"before") for _ in range(5)]
    assert [bob.open(datagram) for datagram in old] == [b"before"] * 5
    assert bob.open(after.seal(b"after")) == b"after"
    assert [bob.open(datagram) for datagram in old] == [None] * 5


def test_a_receiver_that_starts_again_hears_what_was_recorded_once_more_and_only_once() -> None:
    datagram = seal_of("alice").seal(b"text")
    bob = seal_of("bob, second life")
    assert [bob.open(datagram) for _ in range(3)] == [b"text", None, None]


def test_changed_keys_are_used_and_removed_ones_are_not_let_in() -> None:
    alice, bob = seal_of("alice", KEY, OTHER_KEY), seal_of("bob", KEY, OTHER_KEY)
    old = [alice.seal(b"old") for _ in range(2)]
    alice.change_keys(Keyring([OTHER_KEY, KEY]))
    assert alice.seal(b"new")[1:5] == OTHER_KEY.key_id
    assert bob.open(alice.seal(b"new")) == b"new"
    assert bob.open(old[0]) == b"old"
    bob.change_keys(Keyring([OTHER_KEY]))
    assert bob.open(old[1]) is None and bob.dropped.unknown_key == 1
    assert bob.open(alice.seal(b"new")) == b"new"


def test_what_was_heard_before_a_change_of_keys_is_still_a_replay() -> None:
    alice, bob = seal_of("alice", KEY, OTHER_KEY), seal_of("bob", KEY, OTHER_KEY)
    datagram = alice.seal(b"text")
    assert bob.open(datagram) == b"text"
    bob.change_keys(Keyring([OTHER_KEY, KEY]))
    assert bob.open(datagram) is None and bob.dropped.replayed == 1


def test_a_datagram_can_be_sealed_with_another_key_and_no_nonce_is_used_twice() -> None:
    alice, bob = seal_of("alice", KEY, OTHER_KEY), seal_of("bob", KEY, OTHER_KEY)
    datagrams = [alice.seal(b"text", key) for key in (KEY, OTHER_KEY, KEY, OTHER_KEY)]
    assert [datagram[1:5] for datagram in datagrams[:2]] == [KEY.key_id, OTHER_KEY.key_id]
    assert len({datagram[21:29] for datagram in datagrams}) == 4
    assert [bob.open_with_key(datagram) for datagram in datagrams[:2]] == [(b"text", KEY), (b"text", OTHER_KEY)]
