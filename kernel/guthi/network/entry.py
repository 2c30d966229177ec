"""How a node gets into its network: it waits until somebody has let it in, and says why nobody did.

It fails at the deadline, or as soon as all that it asked have refused it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from guthi.api import Address
from guthi.errors import JoinFailed
from guthi.membership.effects import JoinRefused

__all__ = ["Entry"]


class Entry:
    """One node's; `joined` is set once it is in."""

    def __init__(self, joined: asyncio.Event) -> None:
        self._joined = joined
        self._asked: frozenset[Address] = frozenset()
        self._refusals: dict[Address, JoinRefused] = {}
        self._over = asyncio.Event()

    def refused(self, refusal: JoinRefused) -> None:
        """A node does not let this one in."""
        if refusal.address in self._asked:
            self._refusals[refusal.address] = refusal
            if self._refusals.keys() == self._asked:
                self._over.set()

    @property
    def is_refused(self) -> bool:
        """Whether there is a network that does not let this node in."""
        return bool(self._refusals)

    async def wait(self, wanted: Sequence[Address], resolved: Sequence[Address], timeout_s: float) -> None:
        """Wait to be let in at one of the addresses, which people wrote as `wanted`; raises JoinFailed."""
        self._asked = frozenset(resolved)
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._joined, self._over)]
        try:
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if not self._joined.is_set():
            raise JoinFailed(self._explanation(wanted, timeout_s))

    def _explanation(self, wanted: Sequence[Address], timeout_s: float) -> str:
        refusals = [
            f"{refusal.member.name} at {address} refused this node: {refusal.reason}"
            for address, refusal in sorted(self._refusals.items())
        ]
        silent = sorted(self._asked - self._refusals.keys()) if refusals else wanted
        listed = ", ".join(map(str, silent))
        if listed:
            refusals.append(
                f"no answer from {listed} within {timeout_s:g} s; check that a node runs there, that UDP is let "
                "through, and that it has the same cluster key"
            )
        return "; ".join(refusals)
