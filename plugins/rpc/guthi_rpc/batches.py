"""Several items of a map in one message: what is sent, how the function is run for them, and what comes back.

On `rpc.batch` a node sends `[name, items, shape, number, priority]`, and a trace where calls are traced. The shape says
what an item is: "item" the one argument, "star" a list of arguments; with "fold" the items are values that the function
combines, two by two, into one.
The answer is `[outcomes, seconds, running]`, null or "overloaded", as with a single call. An outcome is an encoded
value, or a list of one encoded fault: encoded one by one, so that one that cannot be spoils no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial, reduce
from typing import Any

from guthi.errors import MalformedMessage, NotEncodable
from guthi.values.codec import Codec
from guthi.values.faults import describe, revive
from guthi_rpc.attempts import Failure, contained, is_being_cancelled
from guthi_rpc.functions import Function
from guthi_rpc.questions import read_trace
from guthi_rpc.results import Outcome

__all__ = ["BATCH", "Batch", "Shape", "batched", "read_batch", "read_outcomes", "write_outcomes"]

BATCH = "rpc.batch"


class Shape(Enum):
    """What the items of a batch are to the function."""

    ITEM = "item"
    STAR = "star"
    FOLD = "fold"


_SHAPES = frozenset(shape.value for shape in Shape)


@dataclass(slots=True)
class Batch:
    """Items on their way to a node."""

    name: str
    items: Sequence[Any]
    shape: Shape
    number: int
    priority: int = 0
    trace: str | None = None

    def to_wire(self) -> list[Any]:
        """The list that `read_batch` reads."""
        wire = [self.name, list(self.items), self.shape.value, self.number, self.priority]
        return wire if self.trace is None else [*wire, self.trace]


def read_batch(wire: object) -> Batch:
    """Read what a peer sends; raises MalformedMessage."""
    match wire:
        case [str(name), list(items), str(shape), int(number), int(priority), *rest] if items and shape in _SHAPES:
            fits = shape != Shape.STAR.value or all(isinstance(item, list) for item in items)
            if fits and len(rest) <= 1:
                return Batch(name, items, Shape(shape), number, priority, read_trace(*rest) if rest else None)
    raise MalformedMessage("a batch is a name, one item or more, a shape that fits them, a number and a priority")


def batched(function: Function, shape: Shape) -> Function:
    """The function that takes a list of items, and gives a list of values and failures, each in a tuple of its own."""
    if shape is Shape.FOLD:
        call = partial(_fold_in_turn if function.is_async else _fold, function.call)
    else:
        call = partial(_run_together if function.is_async else _run_in_turn, function.call, shape is Shape.STAR)
    return Function(function.description, call, function.is_async, function.at_once, function.durations)


def _fold(call: Callable[..., Any], values: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(reduce(call, values), None)]


async def _fold_in_turn(call: Callable[..., Any], values: Sequence[Any]) -> list[tuple[Any, Any]]:
    value = values[0]
    for each in values[1:]:
        value = await call(value, each)
    return [(value, None)]


def _run_in_turn(call: Callable[..., Any], star: bool, items: Sequence[Any]) -> list[tuple[Any, Any]]:
    outcomes: list[tuple[Any, Any]] = []
    for item in items:
        try:
            outcomes.append((call(*item) if star else call(item), None))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller is to see it
            outcomes.append((None, Failure.of(contained(error))))
    return outcomes


async def _run_together(call: Callable[..., Any], star: bool, items: Sequence[Any]) -> list[tuple[Any, Any]]:
    async def run(item: Any) -> tuple[Any, Any]:
        try:
            return await (call(*item) if star else call(item)), None
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                raise
            return None, Failure.of(contained(error))  # a task that SystemExit leaves would end the loop

    return list(await asyncio.gather(*map(run, items)))


def write_outcomes(outcomes: Sequence[tuple[Any, Any]], codec: Codec) -> list[Any]:
    """What travels."""
    return [_write(value, failure, codec) for value, failure in outcomes]


def _write(value: Any, failure: Failure | None, codec: Codec) -> Any:
    error: Exception
    if failure is None:
        try:
            return b"".join(codec.encode(value))
        except NotEncodable as refusal:
            error = NotEncodable(f"its result has no form on the wire: {refusal}")
    else:
        error = failure.revived()
    return [b"".join(codec.encode(describe(error, codec)))]


def read_outcomes(wire: Sequence[Any], seconds: float, codec: Codec, node: str) -> list[Outcome]:
    """What has travelled; raises MalformedMessage."""
    each_s = seconds / max(len(wire), 1)
    return [_read(each, each_s, codec, node) for each in wire]


def _read(wire: Any, seconds: float, codec: Codec, node: str) -> Outcome:
    match wire:
        case bytes() | memoryview():
            return Outcome(codec.decode(wire), seconds)
        case [bytes() | memoryview() as fault]:
            error = revive(codec.decode(fault), codec, node)
            return Outcome(None, seconds, error if isinstance(error, Exception) else RuntimeError(str(error)))
    raise MalformedMessage("an outcome is an encoded value, or a list of one encoded fault")
