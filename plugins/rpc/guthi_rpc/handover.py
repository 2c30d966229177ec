"""How a node that leaves hands over what it remembers of calls with keys, so that its seat need not stay behind it.

It tells every other peer on `rpc.leaving` `[its life, false]`; each takes over from it (see `takeover`) and answers
true, or false where it is about to leave itself. From the first word on the leaver does not count itself as an elector,
nor does a call begin by its answer alone: whoever it answers has to have a majority without it (see `ballot`). When
enough have taken over, it says `[its life, true]`. Who has not heard that keeps the leaver's seat, as that of a node
that failed; so has everybody where there was no time, or where it does not know itself what was before it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from guthi import GuthiError, Incoming, MalformedMessage, MemberState, NodeClosed, NodeId, PeerLost
from guthi_rpc.directory import LIFE_BYTES, Directory
from guthi_rpc.electors import Electors
from guthi_rpc.outcomes import Outcomes
from guthi_rpc.standing import Standing
from guthi_rpc.takeover import Takeover

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Handover"]

TOPIC = "rpc.leaving"
PATIENCE_S = 1.0  # with those who do not answer, where enough have
HASTE_S = 0.25  # the same where the node is about to be gone


class Handover:
    """Of one node, whether it leaves or another does."""

    def __init__(
        self,
        node: Node,
        directory: Directory,
        electors: Electors,
        outcomes: Outcomes,
        standing: Standing,
        takeover: Takeover,
    ) -> None:
        self._node, self._directory, self._electors = node, directory, electors
        self._outcomes, self._standing, self._takeover = outcomes, standing, takeover
        self._has_released = False
        node.handle(TOPIC, self._told)

    async def leave(self, others: list[NodeId], limit_s: float | None = None) -> None:
        """Hand over to the others; whoever has not taken over by then has not."""
        if self._has_released or not others:
            return
        self._electors.leave()
        took, refused = await self._offer(others, limit_s)
        if self._standing.is_settled and self._is_enough(took, [each for each in others if each not in refused]):
            self._has_released = True
            await asyncio.gather(*(self._say(each, is_released=True, timeout_s=PATIENCE_S) for each in sorted(took)))
            for each in others:
                if each not in took | refused and self._may_answer(each):  # slow, or gone: nobody waits for it
                    self._mention(each)

    async def _offer(self, others: list[NodeId], limit_s: float | None) -> tuple[set[NodeId], set[NodeId]]:
        """Who took over, and who is about to leave as well."""
        clock = asyncio.get_running_loop().time
        ends_at = float("inf") if limit_s is None else clock() + limit_s
        patience_s = PATIENCE_S if limit_s is None else HASTE_S
        answer = [each for each in others if self._may_answer(each)]
        asked = {self._node.start(self._say(each, is_released=False, timeout_s=limit_s)): each for each in answer}
        answered: dict[NodeId, bool | None] = {}
        try:
            while asked and clock() < ends_at:
                timeout_s = min(patience_s, ends_at - clock())
                done, _ = await asyncio.wait(asked, timeout=timeout_s, return_when=asyncio.ALL_COMPLETED)
                answered |= {asked.pop(task): task.result() for task in done}
                if self._is_enough({node for node, took in answered.items() if took}, others):
                    break
        finally:
            for task in asked:
                task.cancel()
        return (
            {node for node, took in answered.items() if took},
            {node for node, took in answered.items() if took is False},
        )

    def _is_enough(self, took: set[NodeId], others: list[NodeId]) -> bool:
        """Whether of each call's seats, but for this node's, more than half know of it."""
        if took.issuperset(others):
            return True
        seats = (self._electors.of(name[1]) for name, _, _ in self._outcomes.later_than(0))
        return all(2 * sum(node in took for node, _ in each) > len(each) for each in seats)

    def _may_answer(self, other: NodeId) -> bool:
        """Whether nobody suspects it."""
        member = self._node.network.membership.get(other)
        return member is not None and member.state is MemberState.ALIVE

    def _mention(self, other: NodeId) -> None:
        with suppress(PeerLost, NodeClosed):
            self._node.network.requests.cast(other, TOPIC, [self._directory.life(self._node.id), True])

    async def _say(self, other: NodeId, *, is_released: bool, timeout_s: float | None) -> bool | None:
        """What it answers; None where it does not."""
        word = [self._directory.life(self._node.id), is_released]
        try:
            return bool(await self._node.request(other, TOPIC, word, timeout_s=timeout_s))
        except GuthiError:
            return None

    def _told(self, incoming: Incoming) -> Any:
        match incoming.value:
            case [bytes(life), bool(is_released)] if len(life) == LIFE_BYTES:
                pass
            case _:
                raise MalformedMessage("who leaves says its life, and whether it has handed over")
        if is_released:
            self._electors.released(incoming.peer, life)
            return True
        return False if self._electors.is_leaving else self._take_from(incoming.peer)

    async def _take_from(self, peer: NodeId) -> bool:
        await self._takeover.take_from(peer)
        return True
