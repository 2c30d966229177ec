"""Sends a message to several members of a view, and insists until each has answered, or the view is over.

Nobody is given up: a member that does not answer for a lease is left out of the next view, by those who decide on that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from guthi import DeadlineExceeded, MalformedMessage, NodeId, PeerLost, UnknownTopic
from guthi_dvar.coherent.questions import Questions
from guthi_dvar.coherent.standing import Moved, Standing
from guthi_mutex import ViewId

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["LATER", "Rounds"]

TIMEOUT_S = 120.0
PAUSE_S = 0.05
LATER = "later"
"""What a member answers that is not in that view, not yet or not any more."""


class Rounds:
    """The messages of this node to members."""

    def __init__(self, node: Node, standing: Standing) -> None:
        self._node, self._standing = node, standing

    def ask(
        self,
        view_id: ViewId,
        topic: str,
        bodies: Sequence[tuple[NodeId, Any]],
        *,
        without: Collection[NodeId] = (),
        may_refuse: bool = False,
    ) -> Coroutine[Any, Any, list[Any]]:
        """Send them now; awaited, what each has answered, in the order of the bodies. Raises Moved when the view is
        over, now or then.

        Those `without` the plugin answer None, if they are, and with `may_refuse` those who cannot read the message.
        """
        if bodies and not self._standing.is_in(view_id):
            raise Moved
        questions = Questions(self._node, topic, bodies, TIMEOUT_S)
        return self._answers(view_id, topic, bodies, questions, without, may_refuse)

    async def _answers(
        self,
        view_id: ViewId,
        topic: str,
        bodies: Sequence[tuple[NodeId, Any]],
        questions: Questions,
        without: Collection[NodeId],
        may_refuse: bool,
    ) -> list[Any]:
        if not bodies:
            return []
        with questions as answers:
            async with self._standing.during(view_id):
                insisting = [
                    self._insist(to, topic, body, answer, to in without, may_refuse)
                    for (to, body), answer in zip(bodies, answers, strict=True)
                ]
                return [await insisting[0]] if len(insisting) == 1 else await asyncio.gather(*insisting)

    async def _insist(
        self,
        to: NodeId,
        topic: str,
        body: Any,
        first: Awaitable[Any] | None,
        is_without: bool,
        may_refuse: bool,
    ) -> Any:
        while True:
            try:
                request = first or self._node.request(to, topic, body, timeout_s=TIMEOUT_S)
                first = None
                answer = await request
            except UnknownTopic:
                if is_without:
                    return None
                answer = LATER  # it has restarted, and begins
            except MalformedMessage:
                if may_refuse:
                    return None
                raise
            except (PeerLost, DeadlineExceeded):
                answer = LATER
            if answer != LATER:
                return answer
            self._standing.use()
            await asyncio.sleep(PAUSE_S)
