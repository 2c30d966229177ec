"""How a version travels to who has another one, or none: as zeros, as patches, whole, or not at all."""

from __future__ import annotations

from typing import Any

from guthi import MalformedMessage
from guthi_dvar.bodies import value_of
from guthi_dvar.coherent.items import Item, zeros
from guthi_dvar.errors import UnknownVariable
from guthi_dvar.patches import Patch, since
from guthi_dvar.stamps import Stamp
from guthi_dvar.table import Copy

__all__ = ["answer_of", "copy_of"]


def answer_of(copy: Copy, have: Stamp | None, *, is_written: bool) -> list[Any]:
    """What is said of a version to who has another one."""
    if copy.stamp == have:
        return ["same", copy.stamp.to_wire()]
    if not is_written:
        return ["zeros", copy.stamp.to_wire()]
    patches = since(copy.steps, have) if have is not None else None
    if patches is not None:
        return ["patches", copy.stamp.to_wire(), [each.to_wire() for each in patches]]
    return ["value", copy.stamp.to_wire(), copy.value]


def copy_of(item: Item, index: int, have: Copy | None, answer: object, now: float) -> Copy:
    """What was answered to who has that copy; raises MalformedMessage, ValueUnavailable."""
    declaration = item.variable.declaration
    if declaration is None:
        raise UnknownVariable(f"there is no variable {item.variable.name!r:.80} any more")
    match answer:
        case [str("same"), stamp] if have is not None and Stamp.from_wire(stamp) == have.stamp:
            return Copy(have.stamp, have.value, now, have.steps)
        case [str("zeros"), stamp]:
            empty = zeros(item.variable, index)
            if empty is not None:
                return Copy(Stamp.from_wire(stamp), empty.value, now)
        case [str("value"), stamp, value]:
            return Copy(Stamp.from_wire(stamp), value_of(declaration, index, value), now)
        case [str("patches"), stamp, list(patches)] if have is not None and declaration.grid is not None:
            changed = have.value
            for patch in patches:
                changed = Patch.from_wire(patch).apply(changed)
            return Copy(Stamp.from_wire(stamp), changed, now)
    raise MalformedMessage("a value is obtained whole, as patches, as zeros, or is the same")
