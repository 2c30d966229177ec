"""A second implementation, written from docs/protocol.md alone: nothing of guthi is imported here.

It shows that the page is enough to join a network from another language. So keep it so: what it cannot do without
looking into the kernel is missing from the page.
"""

from __future__ import annotations

import os
import socket
import warnings
from base64 import b32encode
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any, NamedTuple

import cbor2
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from noise.connection import Keypair, NoiseConnection

SEALED = Struct(">B4s16sQ")
SESSION = Struct(">BIBQ")
MESSAGE = Struct(">BIQI")
ENVELOPE = Struct(">BBHIQ")
INIT, RESPONSE, MEMBERSHIP = 1, 2, 3
COOKIE, RETRY = 5, 6
CAST, REQUEST, REPLY, FAULT, CANCEL, OPEN, VALUE, FINISH, CREDIT, WAIT, REQUESTS, REPLIES = range(1, 13)
HELLO, WELCOME, GOSSIP, COMPARISON = range(1, 5)
MAX_MESSAGE_BYTES = 1 << 20
PING = b"\x01"


# ---- keys


def derive(secret: bytes, purpose: bytes) -> bytes:
    return blake2b(purpose, digest_size=32, key=secret, person=b"guthi-derive").digest()


def key_id(secret: bytes) -> bytes:
    return blake2b(secret, person=b"guthi-key-id").digest()[:4]


def key_text(secret: bytes) -> str:
    checksum = blake2b(secret, digest_size=4, person=b"guthi-key-sum").digest()
    return "guthi1-" + b32encode(secret + checksum).decode().rstrip("=").lower()


def public_key(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def node_id(public_key: bytes) -> bytes:
    return blake2b(public_key, digest_size=16).digest()


# ---- datagrams


def seal(secret: bytes, salt: bytes, counter: int, plaintext: bytes) -> bytes:
    header = SEALED.pack(1, key_id(secret), salt, counter)
    return header + _sealing(secret, salt).encrypt(counter.to_bytes(12, "big"), plaintext, header)


def unseal(secret: bytes, datagram: bytes) -> bytes:
    header = datagram[: SEALED.size]
    kind, key, salt, counter = SEALED.unpack(header)
    assert (kind, key) == (1, key_id(secret))
    return _sealing(secret, salt).decrypt(counter.to_bytes(12, "big"), datagram[SEALED.size :], header)


def _sealing(secret: bytes, salt: bytes) -> AESGCM:
    return AESGCM(blake2b(salt, digest_size=32, key=derive(secret, b"datagram")).digest())


def initiator(secret: bytes, private_key: bytes, ephemeral_private: bytes, peer_key: bytes) -> NoiseConnection:
    noise = NoiseConnection.from_name(b"Noise_IKpsk2_25519_AESGCM_SHA256")
    noise.set_as_initiator()
    noise.set_psks(psk=derive(secret, b"handshake"))
    noise.set_prologue(b"guthi 1")
    noise.set_keypair_from_private_bytes(Keypair.STATIC, private_key)
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral_private)
    noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, peer_key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a fixed ephemeral key, which only vectors have
        noise.start_handshake()
    return noise


def session_keys(noise: NoiseConnection) -> tuple[bytes, bytes]:
    """The key to send and the key to receive with."""
    return noise.noise_protocol.cipher_state_encrypt.k, noise.noise_protocol.cipher_state_decrypt.k


def next_key(key: bytes) -> bytes:
    """The key of the epoch after this key's."""
    return AESGCM(key).encrypt(b"\0\0\0\0" + b"\xff" * 8, bytes(32), None)[:32]


def wrap(key: bytes, index: int, number: int, frames: bytes, epoch: int = 0) -> bytes:
    """A datagram; `key` is that of the epoch."""
    header = SESSION.pack(2, index, epoch % 256, number)
    return header + AESGCM(key).encrypt(number.to_bytes(12, "big"), frames, header)


def unwrap(key: bytes, datagram: bytes) -> tuple[int, bytes]:
    """The packet number and the frames."""
    header = datagram[: SESSION.size]
    _, _, _, number = SESSION.unpack(header)
    return number, AESGCM(key).decrypt(number.to_bytes(12, "big"), datagram[SESSION.size :], header)


# ---- frames and messages


def message_frame(sequence: int, body: bytes) -> bytes:
    return MESSAGE.pack(3, 0, sequence, len(body)) + body


def ack_frame(number: int) -> bytes:
    return Struct(">BIHQQ").pack(2, 0, 1, number, number)


def messages_in(frames: bytes) -> Iterator[bytes]:
    """The bodies of the MESSAGE frames; the others are stepped over."""
    fixed = {1: 1, 5: 21, 6: 17}
    at = 0
    while at < len(frames):
        code = frames[at]
        if code == 3:
            length = MESSAGE.unpack_from(frames, at)[3]
            at += MESSAGE.size + length
            yield frames[at - length : at]
        elif code == 2:
            at += 7 + 16 * int.from_bytes(frames[at + 5 : at + 7], "big")
        elif code == 8:
            at += 31 + 16 * int.from_bytes(frames[at + 5 : at + 7], "big")
        elif code == 4:
            at += 33 + int.from_bytes(frames[at + 29 : at + 33], "big")
        elif code == 7:
            at += 5 + int.from_bytes(frames[at + 3 : at + 5], "big")
        else:
            at += fixed[code]


def envelope(kind: int, topic: str, request_id: int, timeout_ms: int, body: bytes) -> bytes:
    name = topic.encode()
    return ENVELOPE.pack(kind, 0, len(name), timeout_ms, request_id) + name.ljust(-(-len(name) // 8) * 8, b"\0") + body


class Envelope(NamedTuple):
    kind: int
    topic: str
    request_id: int
    timeout_ms: int
    body: bytes


def opened(message: bytes) -> Envelope:
    kind, _, topic_bytes, timeout_ms, request_id = ENVELOPE.unpack_from(message)
    topic = message[ENVELOPE.size : ENVELOPE.size + topic_bytes].decode()
    return Envelope(kind, topic, request_id, timeout_ms, message[ENVELOPE.size + -(-topic_bytes // 8) * 8 :])


def plain_body(value: object) -> bytes:
    cbor = cbor2.dumps(value)
    return Struct(">HI").pack(0, len(cbor)) + cbor


def bundle(ids: Sequence[int], timeouts_ms: Sequence[int], values: list[Any]) -> bytes:
    """What is behind the envelope of several requests; of several replies, which have no timeouts."""
    return Struct(f">{len(ids)}Q{len(timeouts_ms)}I").pack(*ids, *timeouts_ms) + cbor2.dumps(values)


def split_body(body: bytes) -> tuple[Any, list[bytes]]:
    """The CBOR item, with tags that cbor2 does not know as CBORTag, and the parts beside it."""
    count, cbor_bytes = Struct(">HI").unpack_from(body)
    lengths = Struct(f">{count}Q").unpack_from(body, 6)
    at = 6 + 8 * count + cbor_bytes
    item = cbor2.loads(body[at - cbor_bytes : at])
    parts = []
    for length in lengths:
        at += -at % 8
        parts.append(body[at : at + length])
        at += length
    assert at == len(body)
    return item, parts


# ---- membership


def record(name: str, address: list[Any], public_key: bytes, *, incarnation: int, state: int) -> bytes:
    return cbor2.dumps([name, [address], "", 1, incarnation, state, public_key, 1, []])


def version(record: bytes) -> bytes:
    """What orders two records of one member."""
    fields = cbor2.loads(record)
    return Struct(">QB").pack(fields[4], fields[5])


def digest(records: list[bytes]) -> bytes:
    return b"".join(sorted(node_id(cbor2.loads(each)[6]) + version(each) for each in records))


def fingerprint(records: list[bytes]) -> bytes:
    total = 0
    for each in records:
        total ^= int.from_bytes(blake2b(digest([each]), digest_size=16).digest(), "big")
    return total.to_bytes(16, "big")


# ---- a client


class Client:
    """As little as it takes: one session, one request at a time, over a blocking socket of its own."""

    def __init__(self, secret: bytes, address: tuple[str, int]) -> None:
        self._secret, self._address = secret, address
        self._salt, self._counter = os.urandom(16), 0
        self._private = os.urandom(32)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5.0)
        self._number = self._sequence = self._requests = 0

    def record(self, *, incarnation: int = 0, state: int = 0) -> bytes:
        address = list(self._socket.getsockname())
        return record("stranger", address, public_key(self._private), incarnation=incarnation, state=state)

    def join(self) -> list[Any]:
        """Say hello; returns the record of the node that welcomes us."""
        self._send_sealed(bytes([MEMBERSHIP]) + cbor2.dumps([HELLO, self.record()]))
        while True:
            plain = unseal(self._secret, self._socket.recv(65536))
            if plain[0] == MEMBERSHIP and (message := cbor2.loads(plain[1:]))[0] == WELCOME:
                return list(cbor2.loads(message[1]))

    def connect(self, peer_key: bytes) -> None:
        """Open a session with the node that has this public key."""
        noise = initiator(self._secret, self._private, os.urandom(32), peer_key)
        payload = MAX_MESSAGE_BYTES.to_bytes(8, "big") + self.record()
        init = Struct(">BI").pack(INIT, 7) + bytes(noise.write_message(payload))
        self._send_sealed(init)
        while True:
            datagram = self._socket.recv(65536)
            plain = unseal(self._secret, datagram) if datagram[0] == 1 else b"\0"
            if plain[0] == COOKIE:
                self._send_sealed(bytes([RETRY]) + plain[5:] + init)
            if plain[0] == RESPONSE:
                break
        _, mine, self._index = Struct(">BII").unpack_from(plain)
        assert mine == 7
        noise.read_message(plain[9:])
        self._send_key, self._receive_key = session_keys(noise)
        self._send(PING)

    def request(self, topic: str, value: object) -> Any:
        """Ask, and wait for the reply."""
        self._requests += 1
        self._say(envelope(REQUEST, topic, self._requests, 5000, plain_body(value)))
        while True:
            for message in self._receive():
                answer = opened(message)
                if answer.kind in (REPLY, FAULT) and answer.request_id == self._requests:
                    return split_body(answer.body)[0]

    def close(self) -> None:
        """Say goodbye: the session's end, and that we leave the network."""
        self._send(b"\x07" + bytes(4))
        self._send_sealed(bytes([MEMBERSHIP]) + cbor2.dumps([GOSSIP, self.record(incarnation=1, state=3)]))
        self._socket.close()

    def _say(self, message: bytes) -> None:
        self._send(message_frame(self._sequence, message))
        self._sequence += 1

    def _receive(self) -> list[bytes]:
        datagram = self._socket.recv(65536)
        if datagram[0] != 2:
            return []  # gossip
        number, frames = unwrap(self._receive_key, datagram)
        self._send(ack_frame(number))
        return list(messages_in(frames))

    def _send(self, frames: bytes) -> None:
        self._socket.sendto(wrap(self._send_key, self._index, self._number, frames), self._address)
        self._number += 1

    def _send_sealed(self, plaintext: bytes) -> None:
        self._socket.sendto(seal(self._secret, self._salt, self._counter, plaintext), self._address)
        self._counter += 1
