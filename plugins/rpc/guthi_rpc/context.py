"""What a function may know of the call that it is running for: `guthi_rpc.current_call()`.

It is there in coroutines, in threads and in worker processes alike. Calls that the function makes in its turn inherit
its deadline, and end when it is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from guthi.api import NodeId
from guthi.errors import UsageError

__all__ = ["CallId", "Context", "current_call", "current_deadline", "running_call"]

CallId = tuple[NodeId, int]
"""The caller and the number that it gave the call; all attempts at the call have the same."""


class Context:
    """One call, as the function that runs for it sees it.

    `function` is its name, `call` names the call, `key` is the caller's idempotence key, `deadline` the moment in loop
    time (None: none, or it runs in a worker process), `attempt` how many attempts were made before, `state` what an
    earlier one had last passed to `checkpoint` (None: nothing), `trace` what the caller's span is known by.
    """

    __slots__ = ("_report", "attempt", "call", "deadline", "function", "is_over", "key", "priority", "state", "trace")

    def __init__(
        self,
        function: str,
        call: CallId,
        *,
        key: str | None = None,
        deadline: float | None = None,
        priority: int = 0,
        attempt: int = 0,
        state: Any = None,
        report: Callable[[Context, Any], None] | None = None,
        trace: str | None = None,
    ) -> None:
        self.function, self.call, self.key = function, call, key
        self.deadline, self.priority = deadline, priority
        self.attempt, self.state, self.trace = attempt, state, trace
        self.is_over = False  # nobody waits for it any more, though it may still run in its thread
        self._report = report

    def report_to(self, tell: Callable[[Any], None]) -> None:
        """Where checkpoints go from now on."""
        self._report = lambda _, state: tell(state)

    def detached(self) -> Context:
        """The same for a worker process, whence checkpoints come by another way."""
        return Context(
            self.function, self.call, key=self.key, priority=self.priority, attempt=self.attempt, state=self.state
        )

    @property
    def caller(self) -> NodeId:
        """The node that wants the result."""
        return self.call[0]

    def checkpoint(self, state: Any) -> None:
        """Publish how far the function has come, so that a later attempt can go on from there, with `state`.

        `state` has to be of the kinds that travel (see docs/rpc.md), and is sent as it is at this moment; None takes
        back what was said before. It may be called as often as the function likes: it returns at once, and what comes
        too quickly is left out in favour of what comes after. Nothing is promised to have arrived.
        """
        if self._report is not None and not self.is_over:
            self._report(self, state)


running_call: ContextVar[Context | None] = ContextVar("guthi_rpc.context", default=None)


def current_call() -> Context:
    """The call that this code runs for; raises UsageError outside a function of the store."""
    found = running_call.get()
    if found is None:
        raise UsageError("no call is running here; ask for the context inside a function that rpc calls")
    return found


def current_deadline() -> float | None:
    """The deadline of the call that this code runs for, in loop time; None where there is none."""
    found = running_call.get()
    return found.deadline if found is not None else None
