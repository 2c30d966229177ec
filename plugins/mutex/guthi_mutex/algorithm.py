"""The interface of a mutual-exclusion algorithm: one lock, one view, one node; nothing fails in here.

Failure is kept out by the views (see `views`). Within a view the members are fixed, and whatever one sends another
arrives, once and in order. When a member fails, leaves, restarts or joins, a majority agrees on the next view; each
lock's algorithm is then made anew over its members, told who holds the lock, and asked again for those who wait.
Messages of older views never reach it. So an algorithm is the pure thing that its paper describes.

An implementation is a machine: no clock, no `await`, no socket; it returns effects. Its messages are lists of whole
numbers, texts, bytes and lists of these. What must hold, whatever the order of messages between different pairs:

- at no moment have two nodes of a view been granted the lock without a release between them;
- each `Granted` of a view has a greater counter than every earlier one, on whichever node it happens;
- every request is granted in the end, if each grant is released.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, TypeAlias

from guthi import NodeId

__all__ = ["Algorithm", "Effect", "Granted", "Send"]


@dataclass(frozen=True, slots=True)
class Send:
    """Give `to`, another member of the view, a message; it arrives in its `receive`, after those sent before."""

    to: NodeId
    message: Any


@dataclass(frozen=True, slots=True)
class Granted:
    """This node is in the critical section from now on; `counter` is greater than in any earlier grant of the view."""

    counter: int


Effect: TypeAlias = Send | Granted
"""What an algorithm can ask for; it does nothing by itself."""


class Algorithm(ABC):
    """One lock, as one member of one view takes part in it.

    `members` is sorted and contains `me`. `holder` is in the critical section from the start, with the grant `fence`,
    or is None: nobody is. `fence` is the highest counter that was granted so far, 0 in a fresh view. All members are
    given the same, except for `me` and `rng`, a generator of their own for algorithms that draw lots.
    """

    name: ClassVar[str]
    """What the configuration calls it; nodes that take part in one lock must agree on it."""

    def __init__(
        self, me: NodeId, members: Sequence[NodeId], holder: NodeId | None, fence: int, rng: Random | None = None
    ) -> None:
        self.me = me
        self.members = tuple(members)
        self.rng = rng

    @abstractmethod
    def request(self) -> list[Effect]:
        """This node wants the lock. Called when it neither holds it nor has asked for it: waiters of one node queue
        above."""

    @abstractmethod
    def release(self) -> list[Effect]:
        """This node, which was granted the lock, leaves the critical section."""

    def release_and_request(self) -> list[Effect]:
        """This node leaves the critical section and wants to enter it again, after those who wait.

        The same as one after the other; an algorithm that can tell others both in one message overrides it.
        """
        return [*self.release(), *self.request()]

    def enter_again(self) -> list[Effect]:
        """This node leaves the critical section and wants to enter it again, before those who wait.

        That is a `Granted` at once, and says nothing to others. An algorithm that cannot do that does what
        `release_and_request` does.
        """
        return self.release_and_request()

    @abstractmethod
    def cancel(self) -> list[Effect]:
        """This node does not want any more what it has asked for and not been granted.

        An algorithm that cannot withdraw a request lets it be granted and releases at once, without a `Granted`. The
        node may request again meanwhile, and then is granted as usual.
        """

    @abstractmethod
    def receive(self, sender: NodeId, message: Any) -> list[Effect]:
        """A message of another member of this view; raises MalformedMessage if it is none of this algorithm's."""

    @property
    @abstractmethod
    def queue(self) -> tuple[NodeId, ...]:
        """Who waits, as far as this node knows, the next one first; for people (`guthi locks`)."""
