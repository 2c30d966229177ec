"""Suzuki and Kasami's broadcast algorithm: a token grants the lock, and whoever wants it asks everybody.

I. Suzuki and T. Kasami, "A distributed mutual exclusion algorithm", ACM TOCS 3(4), 1985. No clock is needed.

State of a node: `asked[j]`, the greatest number of a request that it has heard of node j (the paper's RN); the token,
if it has it; whether it is in the critical section. State of the token: `served[j]`, the number of j's request that was
served last (LN); a queue; how many grants there have been, which is the fence.

| message | form                            | meaning                                             |
|---------|---------------------------------|-----------------------------------------------------|
| Request | [0, number]                     | its sender wants the lock for the number-th time    |
| Token   | [1, counter, served, [rank...]] | by ranks in the sorted members, the queue's as well |

Invariants: there is one token, at a node or on its way; j waits unserved if and only if asked[j] = served[j] + 1 where
all requests have arrived; nobody is in the queue twice.

Messages an entry: none where the token is; else N - 1 requests and the token: N. Who passes the token on and wants it
again puts itself at the end of the token's queue, which is its request: one message an entry where all do that, and
nobody else has to know (the paper leaves that out). A waiter is passed by each other node
at most once before it is served, because the queue takes in, in turn from the releasing node, all that have asked.
The request of a node that gives up cannot be called back: when the token comes, it is passed on at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from guthi import MalformedMessage, NodeId
from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send

__all__ = ["SuzukiKasami"]

REQUEST, TOKEN = 0, 1


@dataclass(slots=True)
class _Token:
    """What is passed on; `served` and `queue` are by rank."""

    counter: int
    served: list[int]
    queue: deque[int] = field(default_factory=deque)


class SuzukiKasami(Algorithm):
    """The default: a token that stays where it was used last, so that using it again costs nothing."""

    name: ClassVar[str] = "suzuki-kasami"

    def __init__(
        self, me: NodeId, members: Sequence[NodeId], holder: NodeId | None, fence: int, rng: Random | None = None
    ) -> None:
        super().__init__(me, members, holder, fence, rng)
        self._rank = self.members.index(me)
        self._asked = [0] * len(self.members)
        has_token = me == (self.members[0] if holder is None else holder)
        self._token = _Token(fence, [0] * len(self.members)) if has_token else None
        self._is_inside = holder == me
        self._is_asking = self._wants = False  # a request of ours is under way; and we have not given it up

    def request(self) -> list[Effect]:
        self._wants = True
        if self._is_asking:  # given up, and wanted again before the token came: the old request serves for it
            return []
        self._asked[self._rank] += 1
        if self._token is not None:
            return self._enter(self._token)
        self._is_asking = True
        number = self._asked[self._rank]
        return [Send(member, [REQUEST, number]) for member in self.members if member != self.me]

    def _enter(self, token: _Token) -> list[Effect]:
        self._is_inside, self._wants = True, False
        token.counter += 1
        return [Granted(token.counter)]

    def release(self) -> list[Effect]:
        return self._pass_on(self._leave())

    def release_and_request(self) -> list[Effect]:
        token = self._leave()
        self._take_in_requests(token)
        self._asked[self._rank] += 1
        if not token.queue:
            return self._enter(token)
        token.queue.append(self._rank)
        self._wants = self._is_asking = True
        return self._send_on(token)

    def enter_again(self) -> list[Effect]:
        token = self._leave()
        self._asked[self._rank] += 1
        return self._enter(token)

    def _leave(self) -> _Token:
        assert self._token is not None and self._is_inside
        self._is_inside = False
        self._token.served[self._rank] = self._asked[self._rank]
        return self._token

    def _pass_on(self, token: _Token) -> list[Effect]:
        self._take_in_requests(token)
        return self._send_on(token) if token.queue else []

    def _take_in_requests(self, token: _Token) -> None:
        count = len(self.members)
        for rank in ((self._rank + step) % count for step in range(1, count)):
            if self._asked[rank] == token.served[rank] + 1 and rank not in token.queue:
                token.queue.append(rank)

    def _send_on(self, token: _Token) -> list[Effect]:
        to, self._token = self.members[token.queue.popleft()], None
        return [Send(to, [TOKEN, token.counter, token.served, list(token.queue)])]

    def cancel(self) -> list[Effect]:
        self._wants = False
        return []

    def receive(self, sender: NodeId, message: Any) -> list[Effect]:
        match message:
            case [0, int(number)] if number > 0:
                return self._requested(self.members.index(sender), number)
            case [1, int(counter), list(served), list(queue)] if self._is_asking:
                return self._arrived(_Token(counter, self._numbers(served), self._ranks(queue)))
            case _:
                raise MalformedMessage("neither a request nor a token that was asked for")

    def _requested(self, rank: int, number: int) -> list[Effect]:
        self._asked[rank] = max(self._asked[rank], number)
        return self._pass_on(self._token) if self._token is not None and not self._is_inside else []

    def _arrived(self, token: _Token) -> list[Effect]:
        self._token, self._is_asking = token, False
        if self._wants:
            return self._enter(token)
        token.served[self._rank] = self._asked[self._rank]
        return self._pass_on(token)

    def _numbers(self, served: list[Any]) -> list[int]:
        if len(served) != len(self.members) or not all(type(number) is int and number >= 0 for number in served):
            raise MalformedMessage("a token has one number for each member")
        return list(served)

    def _ranks(self, queue: list[Any]) -> deque[int]:
        if not all(type(rank) is int and 0 <= rank < len(self.members) for rank in queue):
            raise MalformedMessage("a token's queue has ranks of members")
        if len(set(queue)) < len(queue):
            raise MalformedMessage("a member is in the token's queue twice")
        return deque(queue)

    @property
    def queue(self) -> tuple[NodeId, ...]:
        if self._token is None:
            return (self.me,) if self._wants else ()
        served, queued = self._token.served, self._token.queue
        asked = [rank for rank, number in enumerate(self._asked) if number > served[rank] and rank != self._rank]
        return tuple(self.members[rank] for rank in dict.fromkeys([*queued, *asked]))
