"""A pending event in the hands of the app that keeps it: what it can see of it, and do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from guthi import NodeId
from guthi_health.ledger import Event, EventState

if TYPE_CHECKING:
    from guthi_health.keeping import Keeper

__all__ = ["Kept"]


class Kept:
    """An event in the hands of the app that keeps it."""

    lives_on_loop: ClassVar[bool] = True

    def __init__(self, keeper: Keeper, event: Event) -> None:
        self._keeper, self._event = keeper, event

    @property
    def id(self) -> bytes:
        """Names the event, on this node and others."""
        return self._event.id

    @property
    def topic(self) -> str:
        """What kind of work it is."""
        return self._event.topic

    @property
    def state(self) -> EventState:
        """HELD, FREE, DONE or ABANDONED."""
        return self._event.state

    @property
    def holder(self) -> NodeId | None:
        """Who has it in hand, or had it last."""
        return self._event.holder

    @property
    def attempt(self) -> int:
        """How many have had it in hand."""
        return self._event.attempt

    @property
    def value(self) -> Any:
        """Its latest state; its result, once it is DONE."""
        return self._keeper.decoded(self._event.value)

    async def update(self, value: Any) -> None:
        """On behalf of the holder: this is how far it is.

        Raises EventTaken when it is done, abandoned or dropped; PendingFull, EventNotSaved, NotEncodable.
        """
        await self._keeper.update(self._event, value)

    async def finish(self, result: Any) -> None:
        """On behalf of the holder: this came of it. Raises EventTaken, as `update`."""
        await self._keeper.finish(self._event, result)

    async def release(self, reason: str) -> None:
        """Take it out of the holder's hands: whoever is available may take it up."""
        await self._keeper.release(self._event, reason)

    async def outcome(self) -> Any:
        """Wait for the result. Raises EventAbandoned after the last attempt, EventTaken if it is dropped meanwhile."""
        return await self._keeper.outcome(self._event)

    async def drop(self) -> None:
        """Keep it no more; whoever works on it is told when it next says something.

        Raises EventNotSaved: a durable one would be there again after a restart. Then drop it once more.
        """
        await self._keeper.drop(self._event)
