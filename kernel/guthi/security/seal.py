"""How a datagram without a session (gossip, handshakes) is sealed with the cluster key, and which are let in.

    kind u8 = 0x01 | key id 4 | salt 16 | counter u64 | AES-256-GCM(plaintext) and tag 16

Integers are big-endian. All that stands before the ciphertext is its associated data. The cipher's key is
BLAKE2b-256 of the salt, keyed with what the cluster key yields for the purpose "datagram"; the nonce is the
counter.

Why a salt: all nodes share the cluster key, and under one AES-GCM key no nonce may ever be used twice. Each
node draws a salt when it starts, and so has a cipher key of its own, under which a plain counter is a safe
nonce. Nothing need be kept over a restart, and a receiver need not know the sender beforehand. Two of 2^32
starts share a salt of 16 random bytes with a chance of 2^-65.

What a receiver checks, the cheapest first: kind and size; a key id of ours; not our own salt (a reflected
datagram); a counter that was not seen from that salt; the tag. Only then is the counter marked and a new salt
remembered, so nobody without the key can move a window or fill the table. The table is bounded; the salt
heard least recently is forgotten first.

What it does not do: a datagram of a forgotten salt, or one sealed before the receiver started, can be
replayed to it. What is inside must bear that: gossip is idempotent, its records ordered by incarnation;
handshakes are bound by fresh ephemeral keys. There is no forward secrecy, and every member can read and forge
what any member seals: who sent it is for sessions to prove.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from guthi.api import Buffer
from guthi.security.keyring import ClusterKey, Keyring
from guthi.security.replay import ReplayWindow

__all__ = ["OVERHEAD_BYTES", "SEALED_KIND", "ClusterSeal", "Dropped", "Opened"]

SEALED_KIND = 0x01
"""First byte of every sealed datagram; sessions use others."""

PURPOSE = b"datagram"

_HEADER = struct.Struct("!B4s16sQ")
_SALT_SIZE = 16
_TAG_SIZE = 16

OVERHEAD_BYTES = _HEADER.size + _TAG_SIZE
"""By how much a sealed datagram is longer than what is in it."""


@dataclass(slots=True)
class Dropped:
    """How many datagrams were not let in, by reason."""

    malformed: int = 0
    """Another kind, or too short to be sealed."""
    unknown_key: int = 0
    """Sealed by another cluster, or with a key that was rotated out."""
    reflected: int = 0
    """Our own, sent back to us."""
    replayed: int = 0
    """Let in once already, or too old to tell."""
    forged: int = 0
    """The tag does not fit: damaged, or made by somebody without the key."""


class _Sender(NamedTuple):
    cipher: AESGCM
    window: ReplayWindow


class Opened(NamedTuple):
    """What was in a datagram, and the cluster key that it was sealed with."""

    plaintext: bytes
    key: ClusterKey


class ClusterSeal:
    """Seals with the primary key of the keyring unless told otherwise, opens with any of its keys.

    One instance lives as long as its node runs: it owns the salt. `entropy` must be unpredictable, and is
    asked once. `sender_limit` bounds the senders whose counters are remembered (about 1 KiB each).
    """

    def __init__(self, keyring: Keyring, entropy: Callable[[int], bytes], *, sender_limit: int = 16384) -> None:
        self.dropped = Dropped()
        self._keyring = keyring
        self._salt = entropy(_SALT_SIZE)
        self._ciphers: dict[bytes, AESGCM] = {}  # ours, by key id
        self._derived = _derived_of(keyring)
        self._counter = 0  # one for all keys
        self._sender_limit = sender_limit
        self._senders: OrderedDict[tuple[bytes, bytes], _Sender] = OrderedDict()  # least recently heard first

    def change_keys(self, keyring: Keyring) -> None:
        """Hold these keys from now on; what is sealed with others is not let in any more."""
        self._keyring, self._derived = keyring, _derived_of(keyring)
        self._ciphers.clear()
        for name in [name for name in self._senders if name[0] not in self._derived]:
            del self._senders[name]

    def seal(self, plaintext: Buffer, key: ClusterKey | None = None) -> bytes:
        """A datagram that only holders of the cluster key can read or make; `key` may be one that was held lately."""
        key = key or self._keyring.primary
        header = _HEADER.pack(SEALED_KIND, key.key_id, self._salt, self._counter)
        nonce = _nonce(self._counter)
        self._counter += 1
        return header + self._own_cipher(key).encrypt(nonce, plaintext, header)

    def open(self, datagram: Buffer) -> bytes | None:
        """The plaintext; None, counted in `dropped`, for whatever must not be listened to. Never raises."""
        opened = self.open_with_key(datagram)
        return opened.plaintext if opened is not None else None

    def open_with_key(self, datagram: Buffer) -> Opened | None:
        """As `open`, and says which key it was sealed with."""
        raw = bytes(datagram)
        if len(raw) < OVERHEAD_BYTES or raw[0] != SEALED_KIND:
            self.dropped.malformed += 1
            return None
        _, key_id, salt, counter = _HEADER.unpack_from(raw)
        key = self._keyring.by_id(key_id)
        if key is None:
            self.dropped.unknown_key += 1
            return None
        if salt == self._salt:
            self.dropped.reflected += 1
            return None
        sender = self._senders.get((key_id, salt)) or self._new_sender(key_id, salt)
        if not sender.window.fresh(counter):
            self.dropped.replayed += 1
            return None
        try:
            plaintext = sender.cipher.decrypt(_nonce(counter), raw[_HEADER.size :], raw[: _HEADER.size])
        except InvalidTag:
            self.dropped.forged += 1
            return None
        sender.window.mark(counter)
        self._remember((key_id, salt), sender)
        return Opened(plaintext, key)

    def _own_cipher(self, key: ClusterKey) -> AESGCM:
        cipher = self._ciphers.get(key.key_id)
        if cipher is None:
            derived = self._derived.get(key.key_id) or key.derive(PURPOSE)
            cipher = self._ciphers[key.key_id] = _cipher_of(derived, self._salt)
        return cipher

    def _new_sender(self, key_id: bytes, salt: bytes) -> _Sender:
        return _Sender(_cipher_of(self._derived[key_id], salt), ReplayWindow())

    def _remember(self, name: tuple[bytes, bytes], sender: _Sender) -> None:
        self._senders[name] = sender
        self._senders.move_to_end(name)
        if len(self._senders) > self._sender_limit:
            self._senders.popitem(last=False)


def _derived_of(keyring: Keyring) -> dict[bytes, bytes]:
    return {key.key_id: key.derive(PURPOSE) for key in keyring.keys}


def _cipher_of(derived: bytes, salt: bytes) -> AESGCM:
    return AESGCM(blake2b(salt, digest_size=32, key=derived).digest())


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")
