"""Decides what a node says of itself on the local network, and whom of those it finds there it says hello to.

With `discovery = "lan"` a node announces itself by multicast DNS (RFC 6762, RFC 6763) and joins whoever announces the
same cluster; the rest is gossip. An announcement has the short node id, addresses, and for each cluster key a tag,
which is a hash of the key's id: it tells clusters apart and says nothing about the key. Anybody on the network can
read announcements, and can invent them: whoever is found that way is only sent a sealed Hello, and that to MAX_FOUND
addresses at once, then to one more each second at most. The last MAX_FOUND that were heard of are remembered and said
hello to as those of a join list are; for a newcomer the one not heard of for longest is given up. So nodes that often
start anew on other ports are found, however long this one lives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from guthi.api import Address, Announcement, Beacon, Host
from guthi.bucket import TokenBucket
from guthi.errors import AddressUnavailable
from guthi.membership.members import Member
from guthi.security.keyring import ClusterKey, Keyring

__all__ = ["LanDiscovery", "announcement_of", "cluster_tag"]

MAX_FOUND = 256
FOUND_PER_S = 1.0
MAX_TAGS = 8  # what stands in one string of a text record; the keys used first are those that others have
TAG_BYTES = 8

log = logging.getLogger("guthi.discovery")


def cluster_tag(key: ClusterKey) -> str:
    """What nodes with this key know each other by: 16 hexadecimal digits, and no secret."""
    return blake2b(key.key_id, digest_size=TAG_BYTES, person=b"guthi-lan").hexdigest()


def announcement_of(me: Member, keyring: Keyring) -> Announcement:
    """What is said of a node."""
    return Announcement(str(me.id), me.addresses, tuple(cluster_tag(key) for key in keyring.keys[:MAX_TAGS]))


class LanDiscovery:
    """Announces one node and listens to others.

    `join` is given the addresses of those newly found, `part` those that are not to be said hello to any more, `clock`
    gives seconds.
    """

    def __init__(
        self,
        host: Host,
        join: Callable[[Sequence[Address]], None],
        part: Callable[[Sequence[Address]], None],
        clock: Callable[[], float],
    ) -> None:
        self._host, self._join, self._part, self._clock = host, join, part, clock
        self._beacon: Beacon | None = None
        self._announcement = Announcement("", (), ())
        self._found: dict[Address, None] = {}  # the one not heard of for longest is first
        self._listed: frozenset[Address] = frozenset()
        self._allowance = TokenBucket(FOUND_PER_S, MAX_FOUND, clock())

    async def start(self, announcement: Announcement, listed: Iterable[Address] = ()) -> None:
        """Begin; those `listed` are joined anyway. Where there is no multicast, say so and do without.

        Raises ConfigError where a library is missing.
        """
        self._announcement, self._listed = announcement, frozenset(listed)
        try:
            self._beacon = await self._host.open_beacon(announcement, self.found)
        except AddressUnavailable as error:
            log.warning("nobody is found on the local network, only by `join`: %s", error)

    def found(self, other: Announcement) -> None:
        """Somebody announced itself."""
        mine = self._announcement
        if other.instance == mine.instance or set(other.tags).isdisjoint(mine.tags):
            return
        on_this_machine = any(address.is_loopback for address in mine.addresses)
        addresses = [each for each in other.addresses if on_this_machine or not each.is_loopback]
        news = [each for each in dict.fromkeys(addresses) if self._is_news(each)]
        if news:
            self._part([self._forget_first() for _ in range(len(self._found) - MAX_FOUND)])
            self._join(news)

    def _is_news(self, address: Address) -> bool:
        if address in self._listed:
            return False
        if address in self._found:
            del self._found[address]
            self._found[address] = None
            return False
        is_allowed = self._allowance.take(self._clock())
        if is_allowed:
            self._found[address] = None
        return is_allowed

    def _forget_first(self) -> Address:
        first = next(iter(self._found))
        del self._found[first]
        return first

    def change(self, announcement: Announcement) -> Coroutine[Any, Any, None] | None:
        """The node's keys have changed; returns what is to be done about it, if anything."""
        if self._beacon is None or announcement == self._announcement:
            return None
        self._announcement = announcement
        return self._beacon.update(announcement)

    async def close(self) -> None:
        """Announce nothing any more."""
        beacon, self._beacon = self._beacon, None
        if beacon is not None:
            await beacon.close()
