"""How two nodes prove who they are and agree on session keys: the Noise framework, with the pattern IKpsk2.

Source: The Noise Protocol Framework, revision 34 (https://noiseprotocol.org/noise.html). The initiator knows
the responder's static public key s beforehand (from its member record); psk comes from the cluster key:

    <- s                    known before
    ...
    -> e, es, s, ss         message 1: 96 bytes and the payload
    <- e, ee, se, psk       message 2: 48 bytes and the payload

e: a fresh public key in the clear. s: the static public key, encrypted. ee, es, se, ss: the X25519 product of
an ephemeral or static key of the initiator (first letter) and one of the responder (second letter) is mixed
into the chaining key; psk: so is the pre-shared key. All that was sent is hashed, and every encryption
authenticates the hash: the two sides agree on the whole conversation, prologue included, or fail.

Invariants
- A message that fails is as if it never came: reading works on a copy, which replaces the state only when the
  payload was authentic. A forged answer cannot break a handshake that is under way (as in WireGuard).
- Message 1 can be replayed, and theft of the responder's static key opens its payload later. That the
  initiator is alive and has the psk is proven by the first transport datagram under the new keys: until then
  the responder does nothing on its behalf.
- Message 2 answers one ephemeral key: no other initiator, and no other run of the same one, accepts it.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
from dataclasses import dataclass, field
from enum import Enum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from guthi.api import Buffer
from guthi.errors import PeerBreach, UsageError
from guthi.security.identity import KEY_SIZE, Identity

__all__ = ["HandshakeFailed", "HandshakeState", "Initiator", "Responder", "Role", "TransportKeys"]

PROTOCOL_NAME = "Noise_IKpsk2_25519_AESGCM_SHA256"
PSK_SIZE = 32
TAG_SIZE = 16
MAX_PAYLOAD_SIZE = 65535 - 96
"""What fits into either message: Noise messages have at most 65535 bytes."""


class HandshakeFailed(PeerBreach):
    """A handshake message is cut short, forged, for another node, or made with another cluster key."""


@dataclass(frozen=True, slots=True)
class TransportKeys:
    """A 32-byte AES-256-GCM key for each direction, and a hash that is the same on both sides and
    names this session; the hash is no secret.
    """

    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)
    handshake_hash: bytes


class Role(Enum):
    """Who writes first."""

    INITIATOR = 0
    RESPONDER = 1


class _Token(Enum):
    E = "e"
    S = "s"
    EE = "ee"
    ES = "es"
    SE = "se"
    SS = "ss"
    PSK = "psk"


_IK = ((_Token.E, _Token.ES, _Token.S, _Token.SS), (_Token.E, _Token.EE, _Token.SE))
_PATTERNS = {"IK": _IK, "IKpsk2": (_IK[0], (*_IK[1], _Token.PSK))}
_HASHES = {"SHA256": "sha256", "SHA512": "sha512", "BLAKE2s": "blake2s", "BLAKE2b": "blake2b"}


class _CipherState:
    """AES-256-GCM under one key, with a counter for the nonce (section 5.1)."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._nonce = 0

    def encrypt(self, plaintext: bytes, associated: bytes) -> bytes:
        return self._aead.encrypt(self._next_nonce(), plaintext, associated)

    def decrypt(self, ciphertext: bytes, associated: bytes) -> bytes:
        try:
            return self._aead.decrypt(self._next_nonce(), ciphertext, associated)
        except InvalidTag:
            raise HandshakeFailed("a handshake message is not authentic") from None

    def _next_nonce(self) -> bytes:
        nonce = self._nonce.to_bytes(12, "big")
        self._nonce += 1
        return nonce


class _SymmetricState:
    """The running hash of all that was said, and the chaining key of all that was agreed (section 5.2)."""

    def __init__(self, protocol_name: str, hash_name: str) -> None:
        self._hash_name = _HASHES[hash_name]
        size = hashlib.new(self._hash_name).digest_size
        name = protocol_name.encode()
        self.hash = name.ljust(size, b"\0") if len(name) <= size else self._digest(name)
        self._chaining_key = self.hash
        self._cipher: _CipherState | None = None

    def fork(self) -> _SymmetricState:
        """A copy that goes its own way."""
        twin = copy.copy(self)
        twin._cipher = copy.copy(self._cipher)
        return twin

    def mix_hash(self, data: bytes) -> None:
        self.hash = self._digest(self.hash + data)

    def mix_key(self, material: bytes) -> None:
        self._chaining_key, key = self._derive(material, 2)
        self._cipher = _CipherState(key[:KEY_SIZE])

    def mix_key_and_hash(self, material: bytes) -> None:
        self._chaining_key, addition, key = self._derive(material, 3)
        self.mix_hash(addition)
        self._cipher = _CipherState(key[:KEY_SIZE])

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        assert self._cipher is not None  # all our patterns mix a key before they encrypt
        ciphertext = self._cipher.encrypt(plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        assert self._cipher is not None
        plaintext = self._cipher.decrypt(ciphertext, self.hash)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The key from the initiator to the responder, and the one back."""
        forth, back = self._derive(b"", 2)
        return forth[:KEY_SIZE], back[:KEY_SIZE]

    def _digest(self, data: bytes) -> bytes:
        return hashlib.new(self._hash_name, data).digest()

    def _derive(self, material: bytes, count: int) -> list[bytes]:
        """HKDF (RFC 5869) with the chaining key as salt and no info."""
        secret = hmac.digest(self._chaining_key, material, self._hash_name)
        outputs = [b""]
        for number in range(1, count + 1):
            outputs.append(hmac.digest(secret, outputs[-1] + bytes((number,)), self._hash_name))
        return outputs[1:]


class HandshakeState:
    """One run of a pattern, on one side (section 5.3); Initiator and Responder fix the pattern.

    Raises HandshakeFailed for what the peer did, UsageError for steps out of turn and keys of a wrong size.
    """

    def __init__(
        self,
        role: Role,
        *,
        identity: Identity,
        ephemeral_private: bytes,
        prologue: bytes,
        peer_public_key: bytes | None = None,
        psk: bytes | None = None,
        protocol_name: str = PROTOCOL_NAME,
    ) -> None:
        _, pattern_name, _, _, hash_name = protocol_name.split("_")
        self._role = role
        self._messages = _PATTERNS[pattern_name]
        self._step = 0
        self._psk = _sized(psk, PSK_SIZE, "the pre-shared key") if "psk" in pattern_name else None
        ephemeral_private = _sized(ephemeral_private, KEY_SIZE, "the ephemeral private key")
        self._mine = {
            "s": X25519PrivateKey.from_private_bytes(identity.private_key),
            "e": X25519PrivateKey.from_private_bytes(ephemeral_private),
        }
        self._theirs: dict[str, bytes] = {}
        responder_key = identity.public_key
        if role is Role.INITIATOR:
            responder_key = _sized(peer_public_key, KEY_SIZE, "the responder's public key")
            self._theirs["s"] = responder_key
        self._symmetric = _SymmetricState(protocol_name, hash_name)
        self._symmetric.mix_hash(prologue)
        self._symmetric.mix_hash(responder_key)

    @property
    def peer_public_key(self) -> bytes:
        """The static key of the other side; a responder knows it, proven, once it has read message 1."""
        if "s" not in self._theirs:
            raise UsageError("the initiator's public key is known after message 1 was read")
        return self._theirs["s"]

    @property
    def keys(self) -> TransportKeys:
        """The session keys, once the last message was written or read."""
        if self._step < len(self._messages):
            raise UsageError("a handshake has keys only after its last message")
        forth, back = self._symmetric.split()
        send, receive = (forth, back) if self._role is Role.INITIATOR else (back, forth)
        return TransportKeys(send, receive, self._symmetric.hash)

    def write(self, payload: bytes) -> bytes:
        """The next message of this side."""
        tokens = self._turn(writing=True)
        if len(payload) > MAX_PAYLOAD_SIZE:
            raise UsageError(f"a handshake payload has at most {MAX_PAYLOAD_SIZE} bytes, not {len(payload)}")
        symmetric = self._symmetric.fork()
        parts = [self._write_token(token, symmetric) for token in tokens]
        parts.append(symmetric.encrypt_and_hash(payload))
        self._symmetric = symmetric
        self._step += 1
        return b"".join(parts)

    def read(self, message: Buffer) -> bytes:
        """The payload of the other side's next message; one that fails changes nothing."""
        tokens = self._turn(writing=False)
        rest = bytes(message)
        symmetric, theirs = self._symmetric.fork(), self._theirs.copy()
        for token in tokens:
            rest = self._read_token(token, symmetric, theirs, rest)
        payload = symmetric.decrypt_and_hash(rest)
        self._symmetric, self._theirs = symmetric, theirs
        self._step += 1
        return payload

    def _turn(self, *, writing: bool) -> tuple[_Token, ...]:
        my_turn = self._step % 2 == self._role.value
        if self._step >= len(self._messages) or my_turn != writing:
            raise UsageError("out of turn: the initiator writes and reads, the responder reads and writes, once each")
        return self._messages[self._step]

    def _write_token(self, token: _Token, symmetric: _SymmetricState) -> bytes:
        if token is _Token.E:
            ephemeral_key = self._mine["e"].public_key().public_bytes_raw()
            self._mix_ephemeral(ephemeral_key, symmetric)
            return ephemeral_key
        if token is _Token.S:
            return symmetric.encrypt_and_hash(self._mine["s"].public_key().public_bytes_raw())
        self._mix_secret(token, symmetric, self._theirs)
        return b""

    def _read_token(self, token: _Token, symmetric: _SymmetricState, theirs: dict[str, bytes], rest: bytes) -> bytes:
        if token is _Token.E:
            theirs["e"], rest = _take(rest, KEY_SIZE)
            self._mix_ephemeral(theirs["e"], symmetric)
        elif token is _Token.S:
            sealed_key, rest = _take(rest, KEY_SIZE + TAG_SIZE)
            theirs["s"] = symmetric.decrypt_and_hash(sealed_key)
        else:
            self._mix_secret(token, symmetric, theirs)
        return rest

    def _mix_ephemeral(self, public_key: bytes, symmetric: _SymmetricState) -> None:
        symmetric.mix_hash(public_key)
        if self._psk is not None:  # section 9.2: a psk alone must not lead to the same keys twice
            symmetric.mix_key(public_key)

    def _mix_secret(self, token: _Token, symmetric: _SymmetricState, theirs: dict[str, bytes]) -> None:
        if token is _Token.PSK:
            assert self._psk is not None
            symmetric.mix_key_and_hash(self._psk)
            return
        my_kind, their_kind = token.value if self._role is Role.INITIATOR else reversed(token.value)
        symmetric.mix_key(_agree(self._mine[my_kind], theirs[their_kind]))


def _agree(private_key: X25519PrivateKey, public_key: bytes) -> bytes:
    try:
        return private_key.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:  # the product is all zero: a point of low order was sent, to force a known secret
        raise HandshakeFailed("a peer's public key is not usable") from None


def _take(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise HandshakeFailed("a handshake message is cut short")
    return message[:size], message[size:]


def _sized(value: bytes | None, size: int, what: str) -> bytes:
    if value is None or len(value) != size:
        raise UsageError(f"{what} has {size} bytes")
    return bytes(value)


class Initiator:
    """The side that opens a session: writes message 1, reads message 2.

    `psk` and `ephemeral_private` have 32 bytes; the latter is drawn anew for every handshake, or there is no
    forward secrecy. Both sides must be given the same `prologue`.
    """

    def __init__(
        self, *, identity: Identity, peer_public_key: bytes, psk: bytes, prologue: bytes, ephemeral_private: bytes
    ) -> None:
        self._state = HandshakeState(
            Role.INITIATOR,
            identity=identity,
            peer_public_key=peer_public_key,
            psk=psk,
            prologue=prologue,
            ephemeral_private=ephemeral_private,
        )

    def write_init(self, payload: bytes) -> bytes:
        """Message 1. The payload is encrypted, but who records it can replay it."""
        return self._state.write(payload)

    def read_response(self, message: Buffer) -> bytes:
        """The payload of message 2. Raises HandshakeFailed, after which the true message 2 is still good."""
        return self._state.read(message)

    @property
    def keys(self) -> TransportKeys:
        """The session keys; UsageError before message 2 was read."""
        return self._state.keys


class Responder:
    """The side that is called: reads message 1, writes message 2. Arguments as for Initiator."""

    def __init__(self, *, identity: Identity, psk: bytes, prologue: bytes, ephemeral_private: bytes) -> None:
        self._state = HandshakeState(
            Role.RESPONDER, identity=identity, psk=psk, prologue=prologue, ephemeral_private=ephemeral_private
        )

    def read_init(self, message: Buffer) -> bytes:
        """The payload of message 1. Raises HandshakeFailed, after which a true message 1 is still good."""
        return self._state.read(message)

    @property
    def peer_public_key(self) -> bytes:
        """The initiator's static key, proven by message 1; UsageError before it was read."""
        return self._state.peer_public_key

    def write_response(self, payload: bytes) -> bytes:
        """Message 2."""
        return self._state.write(payload)

    @property
    def keys(self) -> TransportKeys:
        """The session keys; UsageError before message 2 was written."""
        return self._state.keys
