"""Decides whether what clients saw of shared objects could have happened one operation at a time: linearizability.

A history is a set of operations, each with the moments of its call and of its return. It is linearizable if each can be
given one moment between its two, so that a sequential object, the model, gives exactly these outputs in the order of
the moments (Herlihy and Wing 1990).

The search is that of Wing and Gong 1993 as Lowe 2017 has it: take, of the operations that nothing still to be placed
has returned before, one whose output the model gives; go on with the rest; and step back where none does. Where the
same set of operations has led to the same state before, the rest need not be tried again; this memory makes it fast.
An operation whose outcome is not known (UNKNOWN: its caller crashed, or waited no longer) returns never: it may have
happened at any moment after its call, or not at all. Objects that are independent of each other are looked at one by
one (`key`), for a history of all is linearizable if and only if that of each is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from guthi.errors import GuthiError, UsageError

__all__ = ["UNKNOWN", "History", "Model", "Operation", "Register", "TooHard", "Violation", "linearizable"]

S = TypeVar("S", bound=Hashable)


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""The output of an operation of which nobody knows what has become of it."""


@dataclass(slots=True, eq=False)
class Operation:
    """What a client did to an object; times are on one clock, such as that of a World."""

    client: str
    input: Any
    output: Any
    called_at: float
    returned_at: float
    key: Hashable = None

    def __str__(self) -> str:
        back = f"{self.returned_at:.6f}" if self.output is not UNKNOWN else "never"
        return f"{self.called_at:.6f} to {back}: {self.client}: {self.input!r} -> {self.output!r}"


class Model(Protocol[S]):
    """What the object would do if operations came one after the other. States are hashable, and never changed."""

    @property
    def initial(self) -> S:
        """The state before the first operation."""

    def step(self, state: S, input: Any, output: Any) -> tuple[S, ...]:
        """The states in which this input may leave it, with this output; none if it would not give that output.

        For the output UNKNOWN, all in which it may leave it.
        """


@dataclass(frozen=True, slots=True)
class Register:
    """The model of one value. Inputs are `("read",)`, `("write", value)` and `("compare", expected, value)`.

    A read gives the value, a comparison whether it wrote, and a write's output is not looked at.
    """

    initial: Hashable = None

    def step(self, state: Hashable, input: Any, output: Any) -> tuple[Hashable, ...]:
        """See Model."""
        match input:
            case ("read",):
                return (state,) if output is UNKNOWN or output == state else ()
            case ("write", value):
                return (value,)
            case ("compare", expected, value):
                matches = state == expected
                return (value if matches else state,) if output is UNKNOWN or output == matches else ()
        raise UsageError(f"a register knows read, write and compare, not {input!r}")


class History:
    """Takes down operations while they happen; `now` is the clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.operations: list[Operation] = []

    def called(self, client: str, input: Any, key: Hashable = None) -> Operation:
        """An operation begins; until `returned` its outcome is unknown."""
        operation = Operation(client, input, UNKNOWN, self._now(), math.inf, key)
        self.operations.append(operation)
        return operation

    def returned(self, operation: Operation, output: Any) -> None:
        """It has come to an end."""
        operation.output, operation.returned_at = output, self._now()

    def failed(self, operation: Operation) -> None:
        """It is certain that it did nothing."""
        self.operations.remove(operation)


class Violation(GuthiError, AssertionError):
    """A history is not linearizable. `placed` is the longest row of operations that could be, `stuck` what could not.

    `stuck` has those that might have come next, none of which gives its output there.
    """

    def __init__(self, message: str, placed: Sequence[Operation] = (), stuck: Sequence[Operation] = ()) -> None:
        super().__init__(message)
        self.placed, self.stuck = tuple(placed), tuple(stuck)


class TooHard(GuthiError):
    """The search has taken more steps than it may: give the history fewer operations at a time."""


def linearizable(history: Iterable[Operation], model: Model[Any], *, most_steps: int = 2_000_000) -> list[Operation]:
    """An order in which the operations may have happened, key by key; raises Violation if there is none, and TooHard.

    Of operations whose outcome is unknown only those are in it that must have happened.
    """
    of_key: dict[Hashable, list[Operation]] = {}
    for each in history:
        of_key.setdefault(each.key, []).append(each)
    return [each for operations in of_key.values() for each in _Search(operations, model, most_steps).order()]


@dataclass(slots=True, eq=False)
class _Entry:
    """A call, or a return, in the order of time; `back` is a call's return, None where that is never."""

    place: int
    operation: Operation | None
    back: _Entry | None = None
    before: _Entry | None = field(default=None, repr=False)
    after: _Entry | None = field(default=None, repr=False)


@dataclass(slots=True, eq=False)
class _Choice:
    """An operation that was placed, the state before it, and the other states to which it may lead."""

    entry: _Entry
    state: Any
    others: list[Any]


class _Search:
    """The search in the history of one object."""

    def __init__(self, operations: Sequence[Operation], model: Model[Any], most_steps: int) -> None:
        self._operations = sorted(operations, key=lambda each: (each.called_at, each.returned_at))
        self._model, self._steps_left = model, most_steps
        self._head = _Entry(-1, None)
        self._known = sum(each.output is not UNKNOWN for each in operations)  # so many are still to be placed
        self._placed_set = 0  # a bit for each operation
        self._tried: set[tuple[int, Hashable]] = set()
        self._path: list[_Choice] = []
        self._best: list[Operation] = []
        self._build()

    def _build(self) -> None:
        moments: list[tuple[float, int, int, _Entry]] = []  # at one moment calls come first, so as to allow most
        for place, each in enumerate(self._operations):
            call = _Entry(place, each)
            moments.append((each.called_at, 0, place, call))
            if each.output is not UNKNOWN:
                call.back = _Entry(place, None)
                moments.append((each.returned_at, 1, place, call.back))
        last = self._head
        for *_, entry in sorted(moments, key=lambda moment: moment[:3]):
            last.after, entry.before = entry, last
            last = entry

    def order(self) -> list[Operation]:
        """The operations in the order that was found."""
        state = self._model.initial
        entry = self._head.after
        while self._known:
            choice: _Choice | None = None
            if entry is not None and entry.operation is not None:
                others = self._fresh(entry, state)
                if not others:
                    entry = entry.after
                    continue
                choice = _Choice(entry, state, others)
            else:  # something that is not placed has returned: something before it was placed wrongly
                choice = self._step_back()
                if not choice.others:
                    entry, state = choice.entry.after, choice.state
                    continue
            state = self._place(choice)
            entry = self._head.after
        return [self._operations[each.entry.place] for each in self._path]

    def _place(self, choice: _Choice) -> Any:
        """Take an operation as the next one; the state that it leads to."""
        self._path.append(choice)
        self._lift(choice.entry)
        self._placed_set |= 1 << choice.entry.place
        self._known -= choice.entry.back is not None
        return choice.others.pop()

    def _step_back(self) -> _Choice:
        """Take the last operation back; raises Violation where there is none."""
        if len(self._path) > len(self._best):
            self._best = [self._operations[each.entry.place] for each in self._path]
        if not self._path:
            raise self._violation()
        choice = self._path.pop()
        self._put_back(choice.entry)
        self._placed_set &= ~(1 << choice.entry.place)
        self._known += choice.entry.back is not None
        return choice

    def _fresh(self, entry: _Entry, state: Any) -> list[Any]:
        """The states that the operation may lead to, and that have not led to nothing before."""
        self._steps_left -= 1
        if self._steps_left < 0:
            raise TooHard("the history has too many operations at once; record fewer, or in shorter histories")
        operation = entry.operation
        assert operation is not None
        after = self._placed_set | 1 << entry.place
        fresh = []
        for new in self._model.step(state, operation.input, operation.output):
            if (after, new) not in self._tried:
                self._tried.add((after, new))
                fresh.append(new)
        return fresh

    def _lift(self, call: _Entry) -> None:
        """Take an operation out of the row; `_put_back` undoes it, in reverse order."""
        for entry in (call, call.back):
            if entry is not None:
                assert entry.before is not None
                entry.before.after = entry.after
                if entry.after is not None:
                    entry.after.before = entry.before

    def _put_back(self, call: _Entry) -> None:
        for entry in (call.back, call):
            if entry is not None:
                assert entry.before is not None
                entry.before.after = entry
                if entry.after is not None:
                    entry.after.before = entry

    def _violation(self) -> Violation:
        placed = self._best
        rest = [each for each in self._operations if each not in placed]
        first_back = min((each.returned_at for each in rest), default=math.inf)
        stuck = [each for each in rest if each.called_at <= first_back and each.output is not UNKNOWN]
        lines = "\n".join(f"  {each}" for each in [*placed[-5:], *stuck])
        return Violation(
            f"not linearizable: after {len(placed)} of {len(self._operations)} operations none of "
            f"{len(stuck)} can be next; the last that could be placed, and those:\n{lines}",
            placed,
            stuck,
        )
