"""Decides whether somebody may try a token: a few wrong ones at once, and then one now and then.

A token of the cluster key has 160 bits, and nobody guesses it; one that people chose may be poor. Each address has its
own allowance, by the generic cell rate algorithm (ITU-T I.371): a wrong guess is a debt of EVERY_S seconds, and whoever
owes more than AT_ONCE of them waits. While it waits, the right token is refused too, or the rate would bound nothing.
Cookies are not guesses: they have 256 random bits, and a page that was open when its node was restarted sends old ones.
"""

from __future__ import annotations

import ipaddress

__all__ = ["AT_ONCE", "EVERY_S", "MOST_ADDRESSES", "Guesses"]

AT_ONCE = 10
EVERY_S = 6.0
MOST_ADDRESSES = 1024
SITE_BITS = 64  # of an IPv6 address; whoever has one has all that begin alike


class Guesses:
    """What addresses owe; `now` is loop time. Of too many addresses the one is forgotten that owes least."""

    def __init__(self) -> None:
        self._paid_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._paid_at)

    def wait_s(self, address: str, now: float) -> float:
        """How long it has to wait before it may try; 0: not at all."""
        return max(self._paid_at.get(_site(address), now) - now - (AT_ONCE - 1) * EVERY_S, 0.0)

    def wrong(self, address: str, now: float) -> None:
        """It tried a wrong one."""
        site = _site(address)
        self._paid_at[site] = max(self._paid_at.get(site, now), now) + EVERY_S
        if len(self._paid_at) > MOST_ADDRESSES:
            others = (each for each in self._paid_at if each != site)
            del self._paid_at[min(others, key=self._paid_at.__getitem__)]


def _site(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, SITE_BITS), strict=False))
