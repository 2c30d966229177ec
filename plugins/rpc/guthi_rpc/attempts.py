"""One attempt at a function, in a thread or a process: timed, and with its failure as a value.

A failure must not be raised through a Future: there StopIteration is refused, CancelledError means something else, and
BrokenExecutor would blame the pool. Between processes it travels as class, args, attributes and traceback text, since
pickle would run the `__init__` of the exception with its `args`, and a process pool breaks when that goes wrong.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from guthi.errors import RemoteError
from guthi.host.workers import report
from guthi.values.faults import exception_state, rebuilt_exception
from guthi_rpc.context import Context, running_call
from guthi_rpc.questions import Answer

__all__ = ["Attempt", "attempt", "attempt_in_worker", "contained", "is_being_cancelled"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception on its way from a worker process to the node."""

    cls: type[Exception]
    args: list[Any]
    attributes: dict[str, Any]
    message: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """What the exception is made of."""
        return cls(type(error), *exception_state(error), str(error), "".join(traceback.format_exception(error)))

    def revived(self) -> Exception:
        """The exception, with a note that holds the traceback; RemoteError where its class cannot be made again."""
        try:
            error = rebuilt_exception(self.cls, self.args, self.attributes)
        except (TypeError, ValueError):
            error = RemoteError(self.cls.__name__, self.message)
        error.add_note(f"in the worker process:\n{self.trace}")
        return error


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
    cls = type(error)
    told = RemoteError(f"{cls.__module__}.{cls.__qualname__}", str(error))
    told.__cause__ = error
    return told


def is_being_cancelled() -> bool:
    """Whether somebody cancels the task that asks, or the function in it only raised CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
