"""Finds the node that a call is for; where nobody is known to have the function, it waits a moment for news of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from guthi import DeadlineExceeded, Member, NodeId, UsageError
from guthi_rpc.announcing import Announcer
from guthi_rpc.directory import Directory
from guthi_rpc.errors import UnknownFunction
from guthi_rpc.options import Where

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Finder", "listed"]

INTRODUCTION_TIMEOUT_S = 5.0  # how long a call waits for nodes that have not said yet what they have
LOOKUP_GRACE_S = 0.5  # how long it waits when all have, in case the announcement of a new function is on its way


class Finder:
    """Looks functions up for the callers of one node; `changed` waits until the providers may have changed."""

    def __init__(
        self, node: Node, directory: Directory, announcer: Announcer, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._node, self._directory, self._announcer, self._changed = node, directory, announcer, changed

    def meant(self, on: Where) -> NodeId:
        """The node that is meant; raises UnknownMember."""
        return on if type(on) is NodeId else self._node.member(on.id if isinstance(on, Member) else on).id

    def all_meant(self, on: Sequence[Where] | Where) -> set[NodeId]:
        """The node, or the nodes, that are meant; raises UnknownMember, and UsageError where there is none."""
        several = [on] if isinstance(on, str | NodeId | Member) else list(on)
        if not several:
            raise UsageError("on= names no node; leave it out, and every node that has the function is asked")
        return {self.meant(each) for each in several}

    async def search(self, name: str, only: NodeId | None, deadline: float | None) -> None:
        """Return as soon as a node, or `only` that node, is known to have the function.

        A node may not have said yet what it has, or have just got it. Raises UnknownFunction, DeadlineExceeded.
        """
        clock = asyncio.get_running_loop().time
        started_at = clock()
        while not self.is_found(name, only):
            peers = [peer for peer in self._announcer.peers() if only is None or peer == only]
            patience_s = INTRODUCTION_TIMEOUT_S if self._directory.missing(peers) else LOOKUP_GRACE_S
            give_up_at = started_at + patience_s
            try:
                async with asyncio.timeout_at(give_up_at if deadline is None else min(give_up_at, deadline)):
                    await self._changed()
            except TimeoutError:
                if self.is_found(name, only):  # the loop was busy, and the news came with the end of our patience
                    return
                if deadline is not None and deadline < give_up_at:
                    waited_s = deadline - started_at
                    raise DeadlineExceeded(f"nobody had a function {name!r} within {waited_s:.1g} s") from None
                raise self._unknown(name, only) from None

    def is_found(self, name: str, only: NodeId | None) -> bool:
        """Whether a node, or `only` that node, is known to have the function."""
        return bool(self._directory.providers(name)) if only is None else self._directory.has(only, name)

    async def limited_to(self, name: str, on: Sequence[Where] | Where | None) -> set[NodeId] | None:
        """The nodes that are meant, all of which have the function; None for any. Raises as `search`."""
        if on is None:
            await self.search(name, None, None)
            return None
        chosen = self.all_meant(on)
        for node in sorted(chosen):
            await self.search(name, node, None)
        return chosen

    def _unknown(self, name: str, only: NodeId | None) -> UnknownFunction:
        name_of = self._node.network.name_of
        providers = self._directory.providers(name)
        if providers and only is not None:
            others = listed(map(name_of, providers))
            return UnknownFunction(f"{name_of(only)} has no function {name!r}; these nodes have it: {others}")
        close = get_close_matches(name, self._directory.names(), n=1)
        mend = f"did you mean {close[0]!r}?" if close else f"known are: {listed(self._directory.names())}"
        return UnknownFunction(f"no node has a function {name!r}; {mend}")


def listed(names: Iterable[str]) -> str:
    """The names as a sentence has them."""
    return ", ".join(sorted(names)) or "none"
