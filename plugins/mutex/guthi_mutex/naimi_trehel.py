"""Decides who is next by a token and a tree that bends itself to the requests: Naimi and Tréhel's algorithm.

Theory: M. Naimi, M. Tréhel, A. Arnold, "A log(N) distributed mutual exclusion algorithm based on path reversal",
Journal of Parallel and Distributed Computing 34(1), 1996 (first: Tréhel, Naimi, 1987).

    REQUEST rank     the member of that rank wants the token; passed on towards the last who wanted it
    TOKEN counter    the token, with the highest counter granted so far

Two structures: every node has an `owner`, the last who wanted the token as far as it knows, or None if that is itself;
and each who waits or is inside may have a `next`, to whom it owes the token. A REQUEST runs along the owners to the
last who wanted it, and makes that node's `next`, or gets the token that lies there unused. Each node on the way now
has the one who wants it as its owner: the path is reversed, and the next REQUEST finds a shorter one.

Messages an entry, the TOKEN among them: where requests are rare, on average H(N-1) = 1 + 1/2 + … + 1/(N-1), which is
the natural logarithm of N plus 0.58 (C. Lavault, "Analysis of an efficient distributed algorithm for mutual exclusion
(average-case analysis of path reversal)", 1992); none when the last one wants it again. One REQUEST can take N-1 hops,
but of many each takes log2 N at most (D. Ginat, D. Sleator, R. Tarjan, "A tight amortized bound for path reversal",
Information Processing Letters 31(1), 1989).
No starvation: the `next` form a queue, first come at its end, first served.

Invariants: without REQUESTs under way the owners form a tree whose root wanted the token last; the `next` form a chain
from the token's place to that root; there is one token, so one node inside, and its counter grows with every grant.

A request cannot be withdrawn, as others may queue behind it: the token comes, is not used, and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum, auto
from random import Random
from typing import Any

from guthi import MalformedMessage, NodeId
from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send

__all__ = ["NaimiTrehel"]


class Kind(IntEnum):
    REQUEST = 0
    TOKEN = 1


class Phase(Enum):
    OUTSIDE = auto()
    WAITING = auto()
    UNWILLING = auto()  # the token is to come, but is not wanted any more
    INSIDE = auto()


class NaimiTrehel(Algorithm):
    """A token that is passed on without a broadcast: a logarithm of messages, and one to hand it over."""

    name = "naimi-trehel"

    def __init__(
        self, me: NodeId, members: Sequence[NodeId], holder: NodeId | None, fence: int, rng: Random | None = None
    ) -> None:
        super().__init__(me, members, holder, fence, rng)
        root = holder if holder is not None else self.members[0]
        self._rank = self.members.index(me)
        self._phase = Phase.INSIDE if holder == me else Phase.OUTSIDE
        self._owner = root if root != me else None
        self._next: NodeId | None = None
        self._counter = fence  # true where the token is

    def request(self) -> list[Effect]:
        assert self._phase in {Phase.OUTSIDE, Phase.UNWILLING}
        if self._phase is Phase.UNWILLING:
            self._phase = Phase.WAITING  # the place in the queue is still ours
            return []
        if self._owner is None:
            return self._enter()  # we were the last who wanted it: it lies here
        owner, self._owner, self._phase = self._owner, None, Phase.WAITING
        return [Send(owner, [Kind.REQUEST, self._rank])]

    def release(self) -> list[Effect]:
        assert self._phase is Phase.INSIDE
        return self._leave()

    def enter_again(self) -> list[Effect]:
        assert self._phase is Phase.INSIDE
        return self._enter()

    def cancel(self) -> list[Effect]:
        assert self._phase is Phase.WAITING
        self._phase = Phase.UNWILLING
        return []

    def receive(self, sender: NodeId, message: Any) -> list[Effect]:
        match message:
            case [Kind.REQUEST, int(rank)] if 0 <= rank < len(self.members) and rank != self._rank:
                return self._requested(rank)
            case [Kind.TOKEN, int(counter)] if self._phase in {Phase.WAITING, Phase.UNWILLING}:
                self._counter = counter
                return self._enter() if self._phase is Phase.WAITING else self._leave()
            case _:
                raise MalformedMessage(
                    "naimi-trehel knows a request of another's rank, and the token when it is wanted"
                )

    def _requested(self, rank: int) -> list[Effect]:
        who = self.members[rank]
        owner, self._owner = self._owner, who
        if owner is not None:
            return [Send(owner, [Kind.REQUEST, rank])]
        if self._phase is Phase.OUTSIDE:
            return [Send(who, [Kind.TOKEN, self._counter])]
        self._next = who
        return []

    def _enter(self) -> list[Effect]:
        self._phase = Phase.INSIDE
        self._counter += 1
        return [Granted(self._counter)]

    def _leave(self) -> list[Effect]:
        self._phase = Phase.OUTSIDE
        heir, self._next = self._next, None
        return [Send(heir, [Kind.TOKEN, self._counter])] if heir is not None else []

    @property
    def queue(self) -> tuple[NodeId, ...]:
        """Ourselves and who comes next: nobody knows the whole of it."""
        ours = [self.me] if self._phase is Phase.WAITING else []
        return (*ours, *([self._next] if self._next is not None else []))
