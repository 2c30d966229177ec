"""Decides who is next by a token that walks a fixed tree: Raymond's algorithm.

Theory: K. Raymond, "A tree-based algorithm for distributed mutual exclusion", ACM Transactions on Computer Systems
7(1), 1989. A node knows of its neighbours in the tree only, and of the token only in which direction it lies.

    REQUEST              somebody on my side of the tree wants the token
    PRIVILEGE counter    the token, with the highest counter granted so far

A node keeps a queue of those who want the token of it: neighbours and itself, each at most once. While the queue is
not empty and the token elsewhere, one REQUEST is under way towards the token. Who has the token and is not inside gives
it to the head of the queue, with a REQUEST behind it if others still wait.

The tree is static: the members by rank, the parent of rank r being (r-1) // 4. At the start every node points towards
the holder, or towards rank 0, which then has the token.

Messages an entry, with d edges between the token and who wants it: d REQUESTs and d PRIVILEGEs. In this tree d is at
most twice the depth, log4 N, which makes about 2 log2 N messages at worst. The more nodes wait the fewer, as REQUESTs
merge: where all wait the token goes round the tree, over each edge twice, and it is about 4 an entry.
No starvation: a queue is first come, first served, and the token leaves a node for its head.

Invariants: following the directions leads from every node to the token, as handing it over an edge turns just that
edge round; there is one token, so one node inside; its counter has grown by one with every grant.

A request can be withdrawn while it is in our own queue: nobody else has it under our name. If a REQUEST was sent for
nothing else the token comes in vain, and stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from random import Random
from typing import Any

from guthi import MalformedMessage, NodeId
from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send

__all__ = ["Raymond", "step_towards"]

ARITY = 4


def step_towards(goal: int, here: int) -> int:
    """The rank next to `here` on the way through the tree to the rank `goal`, which is another."""
    while goal > here:  # a parent's rank is lower, so climbing from `goal` either meets `here` or passes it
        parent = _parent(goal)
        if parent == here:
            return goal
        goal = parent
    return _parent(here)


def _parent(rank: int) -> int:
    return (rank - 1) // ARITY


class Kind(IntEnum):
    REQUEST = 0
    PRIVILEGE = 1


class Raymond(Algorithm):
    """A token on a tree; the least memory, and few messages under load."""

    name = "raymond"

    def __init__(
        self, me: NodeId, members: Sequence[NodeId], holder: NodeId | None, fence: int, rng: Random | None = None
    ) -> None:
        super().__init__(me, members, holder, fence, rng)
        rank, last = self.members.index(me), len(self.members)
        children = range(ARITY * rank + 1, min(ARITY * rank + ARITY + 1, last))
        self._neighbours = {self.members[each] for each in ([_parent(rank)] if rank else []) + list(children)}
        at = self.members.index(holder) if holder is not None else 0
        self._direction = me if at == rank else self.members[step_towards(at, rank)]  # me: the token is here
        self._inside = holder == me
        self._counter = fence  # true where the token is
        self._wanting: deque[NodeId] = deque()
        self._asked = False  # a REQUEST of ours is under way

    def request(self) -> list[Effect]:
        assert not self._inside
        assert self.me not in self._wanting
        self._wanting.append(self.me)
        return self._go_on()

    def release(self) -> list[Effect]:
        assert self._inside
        self._inside = False
        return self._go_on()

    def enter_again(self) -> list[Effect]:
        assert self._inside
        return [self._hand_over(self.me)]

    def cancel(self) -> list[Effect]:
        self._wanting.remove(self.me)
        return []

    def receive(self, sender: NodeId, message: Any) -> list[Effect]:
        match message:
            case [Kind.REQUEST] if sender in self._neighbours and sender not in {self._direction, *self._wanting}:
                self._wanting.append(sender)
            case [Kind.PRIVILEGE, int(counter)] if sender == self._direction and self._asked:
                self._direction, self._asked, self._counter = self.me, False, counter
            case _:
                raise MalformedMessage("raymond knows one request of a neighbour, and the privilege when asked for")
        return self._go_on()

    def _go_on(self) -> list[Effect]:
        """Give the token to who is first, then ask for it back if others wait."""
        effects: list[Effect] = []
        if self._direction == self.me and not self._inside and self._wanting:
            effects.append(self._hand_over(self._wanting.popleft()))
        if self._direction != self.me and not self._asked and self._wanting:
            self._asked = True
            effects.append(Send(self._direction, [Kind.REQUEST]))
        return effects

    def _hand_over(self, to: NodeId) -> Effect:
        if to == self.me:
            self._inside = True
            self._counter += 1
            return Granted(self._counter)
        self._direction = to
        return Send(to, [Kind.PRIVILEGE, self._counter])

    @property
    def queue(self) -> tuple[NodeId, ...]:
        """A neighbour stands for whoever waits on its side of the tree."""
        return tuple(self._wanting)
