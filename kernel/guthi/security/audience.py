"""Decides which cluster key a datagram to an address is sealed with: the primary one, or the one used from there.

While keys are rotated, nodes disagree on the primary key, and one that was down may miss a step. So a node answers
whoever seals with another of its keys in that key, until the primary is heard from there: a node that has only the old
key is understood, and understands, as long as the old key is in the ring.
"""

from __future__ import annotations

from collections import OrderedDict

from guthi.api import Address
from guthi.security.keyring import ClusterKey, Keyring

__all__ = ["Audience"]

MAX_EXCEPTIONS = 4096


class Audience:
    """The keyring in use, and the addresses from which another key than its primary was heard last.

    They are at most MAX_EXCEPTIONS; the one heard least recently is forgotten first.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._exceptions: OrderedDict[Address, ClusterKey] = OrderedDict()

    def __len__(self) -> int:
        return len(self._exceptions)

    @property
    def keyring(self) -> Keyring:
        """The keys of this node."""
        return self._keyring

    def change_keys(self, keyring: Keyring) -> None:
        """Hold these keys from now on."""
        self._keyring = keyring
        kept = [
            (at, key)
            for at, key in self._exceptions.items()
            if keyring.by_id(key.key_id) not in (None, keyring.primary)
        ]
        self._exceptions = OrderedDict(kept)

    def heard(self, source: Address, key: ClusterKey) -> None:
        """An authentic datagram came from there, sealed with this key."""
        if key.key_id != self._keyring.primary.key_id:
            self._exceptions[source] = key
            self._exceptions.move_to_end(source)
            if len(self._exceptions) > MAX_EXCEPTIONS:
                self._exceptions.popitem(last=False)
        elif self._exceptions:
            self._exceptions.pop(source, None)

    def key_for(self, address: Address) -> ClusterKey:
        """The key to seal with for that address."""
        return self._exceptions.get(address, self._keyring.primary) if self._exceptions else self._keyring.primary

    def keys_for(self, address: Address) -> list[ClusterKey]:
        """All keys, in the order in which to try them on somebody who does not answer there."""
        first = self.key_for(address)
        return [first, *(key for key in self._keyring.keys if key != first)]
