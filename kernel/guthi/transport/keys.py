"""Decides under which key each packet of a session is sealed or opened, and when a key makes way for the next.

Each direction has a key of its own, which changes with its *epochs*; the low eight bits of the epoch stand in the clear
header. The sender alone begins epochs, the receiver follows: nobody waits, and nothing is sent again because of it.

    key of epoch e + 1  =  REKEY(key of epoch e)  =  the first 32 bytes of ENCRYPT(key, nonce 2^64 - 1, 32 zero bytes)

(Noise, sections 4.2 and 11.3.) That cannot be turned round: who gets hold of a key can open nothing of older epochs.
Packet numbers, and so nonces, go on over epochs; 2^64 - 1 is none.

| limit               | value | reason                                                                              |
|---------------------|-------|-------------------------------------------------------------------------------------|
| packets of an epoch | 2^22  | half of what RFC 9001, section 6.6, allows AES-GCM with packets of up to 2^16 bytes |
| its age             | 120 s | WireGuard's: a key that is stolen opens no more than that of the past               |
| hard limit          | 2^23  | packets of an epoch that the peer does not confirm: the session is given up         |

Invariants, of RFC 9001, section 6: epoch e + 1 begins only when a packet of epoch e > 0 has been acknowledged, so a
receiver meets its own epoch, the one before, and the next. A packet of the next counts only when it is authentic:
altering the epoch of a packet costs its receiver one failed decryption, as any forgery does. The key of the epoch
before is kept for what is late and then dropped; it opens only numbers below those of the new epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from guthi.api import Buffer
from guthi.security.replay import ReplayWindow
from guthi.transport.wire import EPOCHS, HEADER, SESSION_KIND

__all__ = ["EPOCH_PACKETS", "EPOCH_S", "Opening", "Sealing", "rekeyed"]

EPOCH_PACKETS = 1 << 22
EPOCH_S = 120.0
HARD_LIMIT_PACKETS = 1 << 23

_HEADER_BYTES = HEADER.size
_NONCE = Struct(">4xQ")
_REKEY_NONCE = _NONCE.pack((1 << 64) - 1)


def rekeyed(secret: bytes) -> bytes:
    """The key of the next epoch."""
    return AESGCM(secret).encrypt(_REKEY_NONCE, bytes(32), None)[:32]


class _Key:
    """The key of one epoch; `epoch` as it stands in the header."""

    __slots__ = ("_secret", "cipher", "epoch")

    def __init__(self, secret: bytes, epoch: int = 0) -> None:
        self._secret, self.epoch = secret, epoch
        self.cipher = AESGCM(secret)

    def successor(self) -> _Key:
        return _Key(rekeyed(self._secret), (self.epoch + 1) % EPOCHS)


class Sealing:
    """The way out: `epoch_packets` and `epoch_s` are how long a key serves."""

    __slots__ = ("_due_at", "_epoch_packets", "_epoch_s", "_first_number", "_key", "_remote", "is_confirmed")

    def __init__(self, secret: bytes, remote_index: int, now: float, *, epoch_packets: int, epoch_s: float) -> None:
        self._remote, self._epoch_packets, self._epoch_s = remote_index, epoch_packets, epoch_s
        self._begin(_Key(secret), 0, now)
        self.is_confirmed = True  # the peer begins in this epoch as well, and will not miss it

    def _begin(self, key: _Key, first_number: int, now: float) -> None:
        self._key, self._first_number, self._due_at = key, first_number, now + self._epoch_s
        self.is_confirmed = False

    def seal(self, number: int, payload: bytes) -> bytes:
        """The datagram of packet `number`, whose number nobody else may have."""
        key = self._key
        header = HEADER.pack(SESSION_KIND, self._remote, key.epoch, number)
        return header + key.cipher.encrypt(_NONCE.pack(number), payload, header)

    def is_due(self, next_number: int, now: float) -> bool:
        """Whether the key has served its time, so that the next packet should begin an epoch if `is_confirmed`."""
        return now >= self._due_at or next_number - self._first_number >= self._epoch_packets

    def advance(self, next_number: int, now: float) -> None:
        """Begin an epoch with packet `next_number`, which must ask for an acknowledgement: else nothing confirms it."""
        self._begin(self._key.successor(), next_number, now)

    def acknowledged(self, number: int) -> None:
        """The peer has packet `number`."""
        if number >= self._first_number:
            self.is_confirmed = True

    def is_exhausted(self, next_number: int) -> bool:
        """Whether the peer has left this epoch unconfirmed for so long that its key must not be used any more."""
        return not self.is_confirmed and next_number - self._first_number >= HARD_LIMIT_PACKETS


class Opening:
    """The way in; `hold_s` tells how long a packet may be late, `deadline` when `on_deadline` wants to be called."""

    __slots__ = ("_current", "_first_number", "_hold_s", "_next", "_previous", "_window", "deadline")

    def __init__(self, secret: bytes, hold_s: Callable[[], float]) -> None:
        self._hold_s = hold_s
        self._window = ReplayWindow()
        self._current = _Key(secret)
        self._previous: _Key | None = None
        self._next: _Key | None = None  # made when a packet claims it, true or not
        self._first_number = 0  # of the current epoch, as far as packets have come
        self.deadline: float | None = None

    def open(self, datagram: Buffer, now: float) -> tuple[int, bytes] | None:
        """Its packet number and frames; None when it is not authentic or came before, and nothing has changed."""
        if len(datagram) < _HEADER_BYTES:
            return None
        _, _, epoch, number = HEADER.unpack_from(datagram)
        window = self._window
        if number <= window.highest and not window.fresh(number):
            return None
        key: _Key | None = self._current
        if epoch != self._current.epoch:
            key = self._other(epoch, number)
        if key is None:
            return None
        view = memoryview(datagram)
        try:
            payload = key.cipher.decrypt(_NONCE.pack(number), view[_HEADER_BYTES:], view[:_HEADER_BYTES])
        except (InvalidTag, ValueError):
            return None
        window.admit(number)
        if key is self._next:
            self._follow(key, number, now)
        elif number < self._first_number and key is self._current:
            self._first_number = number
        return number, payload

    @property
    def newest(self) -> int:
        """The highest number that was opened."""
        return self._window.highest

    def _other(self, epoch: int, number: int) -> _Key | None:
        """The key of an epoch that is not the current one, if there is one that may be tried."""
        if epoch == (self._current.epoch + 1) % EPOCHS:
            self._next = self._next or self._current.successor()
            return self._next
        previous = self._previous
        is_late = previous is not None and epoch == previous.epoch and number < self._first_number
        return previous if is_late else None

    def _follow(self, key: _Key, number: int, now: float) -> None:
        self._previous, self._current, self._next = self._current, key, None
        self._first_number = number
        self.deadline = now + self._hold_s()

    def on_deadline(self, now: float) -> None:
        """Drop the key of the epoch before, once nothing that it sealed can be on its way."""
        if self.deadline is not None and now >= self.deadline:
            self._previous = self.deadline = None
