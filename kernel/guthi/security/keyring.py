"""Which cluster keys a node holds, how a key is written down, and what is derived from it.

A cluster key is 32 secret bytes that all nodes of one network share: it admits to the network, and is apart
from the identity, which says who a node is. Written form: `guthi1-` and, in lower-case base32 without padding
(RFC 4648), the key and a checksum of 4 bytes, so that a typo is noticed before it looks like an unreachable
network. Keys are rotated with a keyring: a node accepts every key that it holds, and seals with the first. A rotation
is three steps, each on all nodes: the new key is added, then it is used, then the old one is removed.

The secret itself is never used in a cipher: each purpose has a key of its own, keyed BLAKE2b (RFC 7693) of
the purpose.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from guthi.errors import ConfigError, UsageError

__all__ = ["MAX_KEYS", "OPEN_KEY", "ClusterKey", "Keyring"]

MAX_KEYS = 16
"""How many keys a keyring can have: a rotation needs two."""

_PREFIX = "guthi1-"
_CHECKSUM_SIZE = 4
_PADDING = "=" * 6  # 36 bytes are 58 base32 digits; whole groups have 8


@dataclass(frozen=True, slots=True, eq=False)
class ClusterKey:
    """One shared secret. `repr` and `str` show the fingerprint only; `text()` is the way to write it down."""

    SIZE = 32
    ID_SIZE = 4

    secret: bytes = field(repr=False)
    key_id: bytes = field(init=False, repr=False)
    """First 4 bytes of BLAKE2b of the key: travels in the clear, so that a receiver picks the right key."""

    def __post_init__(self) -> None:
        if len(self.secret) != self.SIZE:
            raise ConfigError(f"a cluster key has {self.SIZE} bytes, not {len(self.secret)}; make one: guthi keygen")
        object.__setattr__(self, "secret", bytes(self.secret))
        key_id = blake2b(self.secret, person=b"guthi-key-id").digest()[: self.ID_SIZE]
        object.__setattr__(self, "key_id", key_id)

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> ClusterKey:
        """A new key from 32 unpredictable bytes."""
        return cls(entropy(cls.SIZE))

    @classmethod
    def parse(cls, text: str) -> ClusterKey:
        """Read the written form; space around it and upper case do no harm.

        Raises ConfigError with the mend, and without the text: it is nearly a secret.
        """
        digits = text.strip().lower()
        if not digits.startswith(_PREFIX):
            raise ConfigError(f"a cluster key starts with {_PREFIX}; make one: guthi keygen > cluster.key")
        try:
            raw = base64.b32decode(digits.removeprefix(_PREFIX).upper() + _PADDING)
            key = cls(raw[: cls.SIZE])
        except (ValueError, ConfigError):
            key = None
        if key is None or not hmac.compare_digest(key.text().encode(), digits.encode()):
            raise ConfigError("the cluster key has a typo or is cut short; copy it again, all of the line")
        return key

    def text(self) -> str:
        """The written form, which `parse` reads: secret."""
        raw = self.secret + _checksum(self.secret)
        return _PREFIX + base64.b32encode(raw).decode().rstrip("=").lower()

    @property
    def fingerprint(self) -> str:
        """Eight digits that tell keys apart and are safe to show: any datagram shows the key id as well."""
        return self.key_id.hex()

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes for one purpose; they reveal neither the key nor what is derived for another purpose."""
        return blake2b(purpose, digest_size=32, key=self.secret, person=b"guthi-derive").digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterKey) and hmac.compare_digest(self.secret, other.secret)

    def __hash__(self) -> int:
        return hash(self.key_id)

    def __str__(self) -> str:
        return f"ClusterKey({self.fingerprint})"

    __repr__ = __str__


def _checksum(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=_CHECKSUM_SIZE, person=b"guthi-key-sum").digest()


OPEN_KEY = ClusterKey(blake2b(b"guthi: a network without a cluster key", digest_size=ClusterKey.SIZE).digest())
"""The key of nodes that were given none. Everybody knows it, so such nodes listen on loopback only."""


class Keyring:
    """The keys a node accepts, never changed; the first one, `primary`, is the one it seals with."""

    __slots__ = ("_by_id", "_keys")

    def __init__(self, keys: Sequence[ClusterKey]) -> None:
        """Raises ConfigError when there is no key, or when the open key lies beside a secret one.

        A network that accepts the open key next to its own would be open to everybody.
        """
        if not keys:
            raise ConfigError("a keyring needs at least one cluster key; make one: guthi keygen")
        if OPEN_KEY in keys and any(key != OPEN_KEY for key in keys):
            raise ConfigError("the open key admits everybody; take it out of the cluster keys")
        self._keys = tuple(dict.fromkeys(keys))
        if len(self._keys) > MAX_KEYS:
            raise ConfigError(
                f"a keyring has at most {MAX_KEYS} cluster keys, not {len(self._keys)}; remove those unused"
            )
        self._by_id = {key.key_id: key for key in self._keys}
        if len(self._by_id) < len(self._keys):
            raise ConfigError("two different cluster keys have one key id; replace one of them: guthi keygen")

    @property
    def primary(self) -> ClusterKey:
        """The key for all that this node sends."""
        return self._keys[0]

    @property
    def keys(self) -> tuple[ClusterKey, ...]:
        """All keys, primary first, each once."""
        return self._keys

    @property
    def is_open(self) -> bool:
        """True when the node was given no key of its own."""
        return self.primary == OPEN_KEY

    def by_id(self, key_id: bytes) -> ClusterKey | None:
        """The key with that id, or None when it is not ours."""
        return self._by_id.get(key_id)

    def adding(self, key: ClusterKey) -> Keyring:
        """A keyring that accepts this key too. Raises ConfigError as the constructor does."""
        if self.is_open:
            raise UsageError("a network without a cluster key has none to rotate; start its nodes with one")
        return Keyring([*self._keys, key])

    def using(self, key_id: bytes) -> Keyring:
        """A keyring that seals with the key of this id. Raises UsageError when it is not there."""
        key = self._by_id.get(key_id)
        if key is None:
            raise UsageError(f"there is no key {key_id.hex()} here; add it first")
        return Keyring([key, *self._keys])

    def removing(self, key_id: bytes) -> Keyring:
        """A keyring without the key of this id. Raises UsageError for the primary key."""
        if key_id == self.primary.key_id:
            raise UsageError(f"{key_id.hex()} is the key in use; use another one first")
        return Keyring([key for key in self._keys if key.key_id != key_id])

    def __repr__(self) -> str:
        return f"Keyring({', '.join(key.fingerprint for key in self._keys)})"
