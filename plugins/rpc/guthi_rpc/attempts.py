"""One attempt at a function, in a thread or a process: timed, and with its failure as a value.

A failure must not be raised through a Future: there StopIteration is refused, CancelledError means something else, and
BrokenExecutor would blame the pool. Between processes it travels as class, args, attributes and traceback text, since
pickle would run the `__init__` of the exception with its `args`, and a process pool breaks when that goes wrong. What
it carries that cannot leave the process, such as a lock or a connection, is replaced by its text.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from guthi.errors import RemoteError
from guthi.host.workers import can_leave, report
from guthi.values.faults import exception_state, rebuilt_exception
from guthi_rpc.context import Context, running_call
from guthi_rpc.questions import Answer

__all__ = ["Attempt", "attempt", "attempt_in_worker", "contained", "is_being_cancelled"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception on its way from a worker process to the node; `cls` is None where the class cannot leave it."""

    cls: type[Exception] | None
    args: list[Any]
    attributes: dict[str, Any]
    name: str
    message: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """What the exception is made of."""
        try:
            args, attributes = exception_state(error)
        except Exception:  # noqa: BLE001 - they may be properties that raise
            args, attributes = [], {}
        trace = "".join(traceback.format_exception(error))
        return cls(type(error), args, attributes, _qualified(type(error)), text_of(error), trace)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled is what can leave the process, and the text of all else."""
        cls = self.cls if can_leave(self.cls) else None
        attributes = {name: _leaving(each) for name, each in self.attributes.items()}
        return Failure, (cls, list(map(_leaving, self.args)), attributes, self.name, self.message, self.trace)

    def revived(self) -> Exception:
        """The exception, with a note that holds the traceback; RemoteError where its class cannot be made again."""
        note = f"in the worker process:\n{self.trace}"
        if self.cls is not None:
            try:
                error = rebuilt_exception(self.cls, self.args, self.attributes)
                error.add_note(note)
                return error
            except Exception:  # noqa: BLE001 - a class may do anything when it is made again, or given a note
                pass
        told = RemoteError(self.name, self.message)
        told.add_note(note)
        return told


def _leaving(value: Any) -> Any:
    return value if can_leave(value) else text_of(value)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it, and how many seconds it took, if that is known; `failure` is None where it went well."""

    seconds: float | None
    value: Any = None
    failure: Exception | Failure | None = None

    def answer(self, measured_s: float) -> Answer:
        """The value and the seconds, as measured by whoever waited if need be; raises what the function raised."""
        if self.failure is None:
            return Answer(self.value, measured_s if self.seconds is None else self.seconds)
        raise self.failure.revived() if isinstance(self.failure, Failure) else self.failure


def attempt(clock: Callable[[], float], call: Callable[[], Any]) -> Attempt:
    """Call; never raises."""
    started_at = clock()
    try:
        value = call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller is to see it, and the pool is not
        return Attempt(clock() - started_at, failure=contained(error))
    return Attempt(clock() - started_at, value)


def attempt_in_worker(call: Callable[[], Any], context: Context) -> Attempt:
    """Call, in a worker process; what it returns can be pickled if the value can."""
    context.report_to(report)
    running_call.set(context)
    done = attempt(lambda: 0.0, call)  # it is timed by the node, which has a clock
    return Attempt(None, done.value, Failure.of(done.failure) if isinstance(done.failure, Exception) else None)


def contained(error: BaseException) -> Exception:
    """The error, or, where it would end or steer the program that receives it, a RemoteError that tells of it."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    told = RemoteError(_qualified(type(error)), text_of(error))
    told.__cause__ = error
    return told


def text_of(value: object) -> str:
    """Its text, whatever that does."""
    try:
        return str(value)
    except BaseException:  # noqa: BLE001 - a thread that failed here would never answer
        return f"<{type(value).__name__} without a text>"


def _qualified(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def is_being_cancelled() -> bool:
    """Whether somebody cancels the task that asks, or the function in it only raised CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
