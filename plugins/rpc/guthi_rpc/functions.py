"""What a function in the store is: its name, its signature, and the way in which its node runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from guthi.errors import MalformedMessage, UsageError
from guthi_rpc.durations import Durations

__all__ = ["Description", "Function", "Run", "describe_function"]

MAX_NAME_CHARACTERS = 255
MAX_TEXT_CHARACTERS = 1000  # of a signature, and of a docstring


class Run(Enum):
    """Where a function runs: on the node's loop, in a thread, or in a process of its own.

    INLINE is for coroutine functions and for functions that return at once: while they run, the node does nothing
    else. THREAD is for functions that wait or that release the interpreter's lock, as numpy does. PROCESS is for
    pure Python that burns the processor; the function and its values must be importable and picklable *locally*.
    """

    INLINE = "inline"
    THREAD = "thread"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class Description:
    """What every node learns of a function; one that `yields` is a generator, and gives a stream of values."""

    name: str
    signature: str
    doc: str
    run: Run
    yields: bool = False

    def to_wire(self) -> list[str | bool]:
        """The positional list that `from_wire` reads."""
        return [self.name, self.signature, self.doc, self.run.value, self.yields]

    @classmethod
    def from_wire(cls, wire: object) -> Description:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [str(name), str(signature), str(doc), str(run), bool(yields)]:
                pass
            case _:
                raise MalformedMessage("a function is announced by name, signature, doc, run, and whether it yields")
        if not 0 < len(name) <= MAX_NAME_CHARACTERS or max(len(signature), len(doc)) > MAX_TEXT_CHARACTERS:
            raise MalformedMessage("a function is announced with a name or a text that is too long, or without a name")
        try:
            return cls(name, signature, doc, Run(run), yields)
        except ValueError:
            raise MalformedMessage(f"a function runs in no such way: {run[:80]!r}") from None


@dataclass(frozen=True, slots=True)
class Function:
    """A function that this node has; `is_async` where calling it gives a coroutine.

    One that is `at_once` runs on the loop, and as a rule its value is there when the call returns.
    """

    description: Description
    call: Callable[..., Any]
    is_async: bool
    at_once: bool = False
    durations: Durations = field(default_factory=Durations, compare=False, repr=False)

    @property
    def yields(self) -> bool:
        """Whether it gives a stream of values."""
        return self.description.yields


def describe_function(call: Callable[..., Any], name: str | None, run: Run | str | None) -> Function:
    """Take a function into the store; raises UsageError for what cannot be called by name, or run that way."""
    if not callable(call):
        raise UsageError(f"{call!r} is no function; register something that can be called")
    yields = inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)
    if yields and run not in (None, Run.INLINE, Run.INLINE.value):
        raise UsageError(
            f"{call!r} is a generator function, and runs on the loop or in a thread as it needs; leave run=… out"
        )
    is_async = yields or inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
    chosen = _run(call, run, is_async)
    description = Description(_name(call, name), _signature(call), _doc(call), chosen, yields)
    return Function(description, call, is_async, at_once=chosen is Run.INLINE and not is_async)


def _name(call: Callable[..., Any], name: str | None) -> str:
    chosen = getattr(call, "__name__", "") if name is None else name
    if not isinstance(chosen, str) or not 0 < len(chosen) <= MAX_NAME_CHARACTERS or chosen == "<lambda>":
        mend = f"give it one of 1 to {MAX_NAME_CHARACTERS} characters with name=…"
        raise UsageError(f"{call!r} has no name that others could call; {mend}")
    if _sendable(chosen) != chosen:
        raise UsageError(f"the name {chosen!r} has a lone surrogate, and cannot be sent; choose another with name=…")
    return chosen


def _sendable(text: str) -> str:
    """The text with "?" for lone surrogates, which UTF-8 has no form for."""
    return text.encode(errors="replace").decode()


def _run(call: Callable[..., Any], run: Run | str | None, is_async: bool) -> Run:
    if run is None:
        return Run.INLINE if is_async else Run.THREAD
    try:
        chosen = Run(run)
    except ValueError:
        raise UsageError(f"run={run!r}: a function runs {', '.join(repr(each.value) for each in Run)}") from None
    if is_async and chosen is not Run.INLINE:
        raise UsageError(f"{call!r} is a coroutine function, so it runs inline; leave run={chosen.value!r} out")
    if chosen is Run.PROCESS and "<" in getattr(call, "__qualname__", ""):  # <locals> and <lambda>
        raise UsageError(f"{call!r} cannot be imported by a worker process; define it at the top of a module")
    return chosen


def _signature(call: Callable[..., Any]) -> str:
    try:
        return _sendable(str(inspect.signature(call))[:MAX_TEXT_CHARACTERS])
    except (TypeError, ValueError):  # some builtins have none
        return "(...)"


def _doc(call: Callable[..., Any]) -> str:
    return _sendable((inspect.getdoc(call) or "")[:MAX_TEXT_CHARACTERS])
