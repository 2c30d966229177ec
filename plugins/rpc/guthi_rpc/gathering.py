"""One call on many nodes: when it is over, and what became of each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence, Sized
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from guthi import DeadlineExceeded, NodeId, PeerLost
from guthi_rpc.errors import NotComputed, PartialResult
from guthi_rpc.questions import Answer

__all__ = ["Answered", "Failed", "Gathered", "Mode", "Suspected", "gather"]


class Mode(Enum):
    """How many answers a gathering waits for: of all nodes, of the first, or of more than half of them."""

    ALL = "all"
    FIRST = "first"
    MAJORITY = "majority"

    def wanted(self, nodes: int) -> int:
        """So many answers, of so many nodes."""
        return {Mode.ALL: nodes, Mode.FIRST: min(nodes, 1), Mode.MAJORITY: nodes // 2 + 1}[self]


@dataclass(frozen=True, slots=True)
class Answered:
    """A node ran the function; `seconds` is how long that took there."""

    node: str
    value: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The function raised, or the node refused it: `error` says what."""

    node: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Suspected:
    """The node was lost, or did not answer in time: whether it ran the function is not known."""

    node: str
    reason: str


@dataclass(slots=True)
class Gathered:
    """What came of a call on many nodes. In `unasked` are nodes whose answer was not waited for any more."""

    mode: Mode
    answered: list[Answered] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    suspected: list[Suspected] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    @property
    def values(self) -> list[Any]:
        """The values, in the order in which they came."""
        return [each.value for each in self.answered]

    @property
    def is_complete(self) -> bool:
        """Whether as many answered as the mode asks for."""
        asked = len(self.answered) + len(self.failed) + len(self.suspected) + len(self.unasked)
        return len(self.answered) >= self.mode.wanted(asked)

    def check(self) -> Gathered:
        """Itself, if it is complete; else raises PartialResult."""
        if self.is_complete:
            return self
        told = [f"{each.node} raised {each.error!r}" for each in self.failed]
        told += [f"{each.node} is suspected: {each.reason}" for each in self.suspected]
        raise PartialResult(
            f"{len(self.answered)} answered, but mode {self.mode.value!r} wants more; {'; '.join(told)}", self
        )


async def gather(
    nodes: Sequence[NodeId],
    ask: Callable[[NodeId], Coroutine[Any, Any, Answer]],
    name_of: Callable[[NodeId], str],
    mode: Mode,
) -> Gathered:
    """Ask all nodes, and return as soon as the mode is satisfied or cannot be any more; what is left is cancelled."""
    gathered, wanted = Gathered(mode), mode.wanted(len(nodes))
    tasks = {asyncio.ensure_future(ask(node)): name_of(node) for node in nodes}
    pending = set(tasks)
    try:
        while pending and len(gathered.answered) < wanted and _may_be_satisfied(gathered, pending, wanted):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=tasks.__getitem__):
                _note(gathered, tasks[task], task)
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    gathered.unasked = sorted(tasks[task] for task in pending)
    return gathered


def _may_be_satisfied(gathered: Gathered, pending: Sized, wanted: int) -> bool:
    """Always for `all`, where whoever answers at all is wanted."""
    return gathered.mode is Mode.ALL or len(gathered.answered) + len(pending) >= wanted


def _note(gathered: Gathered, node: str, task: asyncio.Future[Answer]) -> None:
    try:
        answer = task.result()
    except NotComputed as failure:
        if isinstance(failure.reason, PeerLost):
            gathered.suspected.append(Suspected(node, failure.reason.reason))
        else:
            gathered.failed.append(Failed(node, failure.reason))
    except DeadlineExceeded as error:
        gathered.suspected.append(Suspected(node, str(error)))
    except Exception as error:  # noqa: BLE001 - it is the function's, and the caller is told of it
        gathered.failed.append(Failed(node, error))
    else:
        gathered.answered.append(Answered(node, *answer))
