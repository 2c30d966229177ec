"""Decides which handshake initiations are worth the arithmetic: under a flood, those that echo a cookie.

To answer an INIT takes five operations on the curve, a fifth of a millisecond. Whoever holds the cluster key, or has
recorded INITs that a node has not heard in its present life, could keep it busy with them. So, as in WireGuard
(Donenfeld 2017, section 5.3) and QUIC's Retry (RFC 9000, section 8.1):

- Up to a rate, INITs are answered as they come. Beyond it the node is *under load*.
- Under load an INIT without a valid cookie is answered by a cookie, which costs two hashes and no memory. A cookie is a
  MAC of the sender's address under a secret of the node's own, so only who receives at that address can echo it:
  recorded INITs and forged addresses come no further.
- An INIT that echoes a valid cookie is answered, up to a rate for each machine; an IPv6 machine is its /64.

The secret lives for two minutes and is accepted for two more. The table of machines is bounded, and has only those that
have echoed a cookie under load lately; the one heard least recently is forgotten first.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

from guthi.api import Address
from guthi.bucket import TokenBucket

__all__ = ["COOKIE_BYTES", "Admission", "InitGate"]

COOKIE_BYTES = 16
SECRET_BYTES = 32
SECRET_LIFE_S = 120.0
INITS_PER_S, INITS_BURST = 100.0, 256.0
MACHINE_INITS_PER_S, MACHINE_INITS_BURST = 20.0, 64.0
MAX_MACHINES = 4096


class Admission(Enum):
    """What becomes of an INIT."""

    ANSWER = auto()
    SEND_COOKIE = auto()
    DROP = auto()


class InitGate:
    """Asked for each INIT before any arithmetic. `entropy` must be unpredictable; it is asked only under load."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._free: TokenBucket | None = None  # made at the first INIT, because only then there is a `now`
        self._machines: OrderedDict[str, TokenBucket] = OrderedDict()
        self._secret = self._former_secret = b""
        self._drawn_at = float("-inf")

    def __len__(self) -> int:
        return len(self._machines)

    def admit(self, source: Address, cookie: bytes | None, now: float) -> Admission:
        """What to do with an INIT from there, which echoes this cookie or none."""
        if self._free is None:
            self._free = TokenBucket(INITS_PER_S, INITS_BURST, now)
        if self._free.take(now):
            return Admission.ANSWER
        if cookie is None or not self._is_valid(cookie, source, now):
            return Admission.SEND_COOKIE
        return Admission.ANSWER if self._machine(source, now).take(now) else Admission.DROP

    def cookie_for(self, source: Address, now: float) -> bytes:
        """What an INIT from that address has to echo."""
        self._renew(now)
        return _mac(self._secret, source)

    def _is_valid(self, cookie: bytes, source: Address, now: float) -> bool:
        self._renew(now)
        secrets = (secret for secret in (self._secret, self._former_secret) if secret)
        return any(hmac.compare_digest(cookie, _mac(secret, source)) for secret in secrets)

    def _renew(self, now: float) -> None:
        age_s = now - self._drawn_at
        if age_s < SECRET_LIFE_S:
            return
        self._former_secret = self._secret if age_s < 2 * SECRET_LIFE_S else b""
        self._secret, self._drawn_at = self._entropy(SECRET_BYTES), now

    def _machine(self, source: Address, now: float) -> TokenBucket:
        name = _machine_of(source.host)
        bucket = self._machines.get(name)
        if bucket is None:
            bucket = self._machines[name] = TokenBucket(MACHINE_INITS_PER_S, MACHINE_INITS_BURST, now)
        self._machines.move_to_end(name)
        if len(self._machines) > MAX_MACHINES:
            self._machines.popitem(last=False)
        return bucket


def _mac(secret: bytes, source: Address) -> bytes:
    return blake2b(str(source).encode(), digest_size=COOKIE_BYTES, key=secret, person=b"guthi-cookie").digest()


def _machine_of(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:  # with a scope, or the name of a machine in a test
        return host
    if not isinstance(address, IPv6Address):
        return host
    mapped = address.ipv4_mapped  # on a port that takes both, an IPv4 machine looks like this
    return str(mapped) if mapped is not None else address.packed[:8].hex()
