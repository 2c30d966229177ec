"""Decides which nodes a call is given to, one after the other, until one has answered it.

A node that has no such function any more, or no room, has not begun: the call goes on to another. A node that is lost
may have run the function, so another is asked only if the caller said that it may run twice (`idempotent`), or if a key
keeps it from having its effect twice (see `once`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from itertools import count
from typing import Any

from guthi import DeadlineExceeded, NodeId, UsageError
from guthi_rpc.asking import Asking
from guthi_rpc.checkpoints import Checkpoints
from guthi_rpc.context import current_deadline
from guthi_rpc.dispatch import Dispatch
from guthi_rpc.errors import NotComputed, Overloaded, WorkerDied
from guthi_rpc.finding import Finder
from guthi_rpc.options import Options
from guthi_rpc.questions import Answer, Question

__all__ = ["MAX_LOSSES", "RETRY_S", "Calling", "check_name", "deadline_after", "time_left"]

MAX_LOSSES = 4  # as Spark's spark.task.maxFailures
RETRY_S = 1.0  # how soon a node that was lost is asked again, if there is no other: it may have been restarted


class Calling:
    """The calls of one node, `me`."""

    def __init__(
        self, asking: Asking, dispatch: Dispatch, finder: Finder, checkpoints: Checkpoints, me: NodeId
    ) -> None:
        self._asking, self._dispatch, self._finder = asking, dispatch, finder
        self._checkpoints, self._me = checkpoints, me
        self._numbers = count(1)

    def question(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any], options: Options) -> Question:
        """A new call, with a number of its own; raises UsageError for a name that is none."""
        check_name(name)
        return Question(
            name,
            arguments,
            named,
            next(self._numbers),
            options.key,
            options.priority,
            state=options.state,
            idempotent=options.idempotent,
        )

    def number(self) -> int:
        """A number that no other call of this node has."""
        return next(self._numbers)

    async def resume(self, question: Question) -> None:
        """Let the call be a further attempt, from the last checkpoint that is known of the earlier ones."""
        question.attempt += 1
        state = await self._checkpoints.newest(question.name, (self._me, question.number))
        if state is not None:
            question.state = state

    def done(self, question: Question) -> None:
        """The call is over, whichever way; its checkpoints are needed no more."""
        self._checkpoints.drop(question.name, (self._me, question.number))

    async def call(self, question: Question, options: Options) -> tuple[Answer, NodeId]:
        """The answer, and the node that gave it. Raises what the function raised, UnknownFunction, UnknownMember,
        DeadlineExceeded, PeerLost, Overloaded, NotEncodable."""
        deadline = deadline_after(options.timeout)
        only = None if options.on is None else self._finder.meant(options.on)
        refused: set[NodeId] = set()
        losses = 0
        while True:
            node = self._known(question, options, only, refused) or await self._found(
                question, options, only, refused, deadline
            )
            try:
                return await self._asking.ask(node, question, time_left(deadline)), node
            except (NotComputed, WorkerDied) as error:
                failure = _not_computed(error, question)
                losses += failure.was_begun
                may_go_on = not failure.was_begun or options.idempotent or options.key is not None
                if not may_go_on or losses == MAX_LOSSES or only is not None:
                    raise failure.reason from None
                refused.add(node)
                last = failure
                if failure.was_begun:
                    await self.resume(question)
            if not any(each not in refused for each in self._dispatch.usable(question.name)):
                await self._wait_or_raise(last, question.name, deadline)
                refused.clear()

    async def _wait_or_raise(self, last: NotComputed, name: str, deadline: float | None) -> None:
        """After a loss a node may be back in a moment; after a refusal it is better to tell the caller."""
        if isinstance(last.reason, Overloaded):
            text = f"every node that has {name!r} has its queue full; try again, or add nodes"
            raise Overloaded(text) from last.reason
        left_s = time_left(deadline)
        if not last.was_begun or (left_s is not None and left_s <= RETRY_S):
            raise last.reason from None
        await asyncio.sleep(RETRY_S)

    async def provider(self, question: Question, options: Options) -> NodeId:
        """The node that the call is given to first; raises UnknownFunction, UnknownMember, DeadlineExceeded."""
        only = None if options.on is None else self._finder.meant(options.on)
        known = self._known(question, options, only, set())
        return known or await self._found(question, options, only, set(), deadline_after(options.timeout))

    def _known(self, question: Question, options: Options, only: NodeId | None, refused: Set[NodeId]) -> NodeId | None:
        """The node to ask, if it can be told without waiting for news."""
        if only is not None:
            return only if self._finder.is_found(question.name, only) else None
        place = options.affinity if question.key is None else question.key
        if place is not None:
            ranked = self._dispatch.ranked(question.name, place)
            return next((node for node in ranked if node not in refused), None)
        return self._dispatch.choose(question.name, refused)

    async def _found(
        self, question: Question, options: Options, only: NodeId | None, refused: Set[NodeId], deadline: float | None
    ) -> NodeId:
        await self._finder.search(question.name, only, deadline)
        node = self._known(question, options, only, refused)
        assert node is not None
        return node


def check_name(name: object) -> None:
    """Raises UsageError for what cannot be the name of a function."""
    if not isinstance(name, str):
        raise UsageError(f"a function is called by its name, a text, not by {name!r}; rpc.executor() takes functions")


def _not_computed(error: NotComputed | WorkerDied, question: Question) -> NotComputed:
    """A process that dies is lost with its call as a node is; with a key its death is the result, and is remembered."""
    if isinstance(error, NotComputed):
        return error
    if question.key is not None:
        raise error
    return NotComputed(error, was_begun=True)


def deadline_after(timeout_s: float | None) -> float | None:
    """The moment in loop time, or the running call's own deadline where that is earlier."""
    inherited = current_deadline()
    if timeout_s is None:
        return inherited
    own = asyncio.get_running_loop().time() + timeout_s
    return own if inherited is None else min(own, inherited)


def time_left(deadline: float | None) -> float | None:
    """Seconds until the deadline; raises DeadlineExceeded if there are none."""
    if deadline is None:
        return None
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise DeadlineExceeded("the time of the call was over before a node could be asked")
    return left_s
