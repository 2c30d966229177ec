"""Checks that what nodes saw of coherent variables is linearizable, each variable by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.chaos.journal import Call, Entry, calls
from tests.chaos.workloads.variables import FIRST, WORK

from guthi.testing import UNKNOWN, Operation, Register, Violation, linearizable
from guthi.testing.linearizability import TooHard

__all__ = ["check"]


def check(entries: Sequence[Entry], most_steps: int = 2_000_000) -> tuple[list[str], list[str]]:
    """What was wrong; and the variables of which so much is unknown that it could not be told."""
    wrong, untold = [], []
    of_name = defaultdict[str, list[Operation]](list)
    for call in calls(entries, WORK):
        if (operation := _operation(call)) is not None:
            of_name[call.input[1]].append(operation)
    for name, operations in sorted(of_name.items()):
        try:
            linearizable(operations, Register(FIRST), most_steps=most_steps)
        except Violation as violation:
            wrong.append(f"variable {name!r} is {violation}")
        except TooHard:
            untold.append(name)
    return wrong, untold


def _operation(call: Call) -> Operation | None:
    """A read that failed did nothing; a write that failed may have happened at any moment since, or never."""
    kind, name, *values = call.input
    if kind == "read" and not call.is_ok:
        return None
    output = call.output if call.is_ok else UNKNOWN
    returned_at = call.returned_at if call.is_ok else float("inf")
    return Operation(call.node, (kind, *values), output, call.called_at, returned_at, name)
