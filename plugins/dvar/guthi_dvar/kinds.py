"""Decides which values a variable takes: the types that it can be created with, and how a value is checked.

| written as                            | takes                                                         |
|---------------------------------------|---------------------------------------------------------------|
| `None`, `bool`, `int`, `str`, `bytes` | exactly that; a bool is no int                                |
| `float`                               | a float, or an int, which becomes one                         |
| `list`, `list[int]`                   | a list, of anything or of one type                            |
| `dict`, `dict[str, float]`            | a dict                                                        |
| `tuple`, `tuple[int, ...]`            | a tuple of any length                                         |
| `tuple[int, str]`                     | a tuple of these                                              |
| `int | None`                          | one of several                                                |
| a dataclass                           | its objects; it is registered with `node.codec` on every node |
| `object`, `typing.Any`                | whatever can travel                                           |

Arrays have a shape and a dtype instead (see `grid`). On the wire a type is a list: its name, and its parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import EllipsisType, NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import numpy as np

from guthi import MalformedMessage, NotEncodable, UsageError
from guthi_dvar.errors import TypeMismatch

__all__ = ["ANYTHING", "ARRAY", "Kind", "kind_of", "kind_of_type"]

SCALARS: Final = {"None": NoneType, "bool": bool, "int": int, "float": float, "str": str, "bytes": bytes}
CONTAINERS: Final = {"list": list, "dict": dict, "tuple": tuple, "row": tuple}
MOST_PARTS, DEEPEST, LONGEST_NAME = 64, 16, 200


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A type of values.

    `name` is that of a scalar, `list`, `dict`, `tuple` (any length, one type), `row` (a tuple of these types), `union`,
    `any`, `array`, or `record`, whose `class_name` is the dataclass.
    """

    name: str
    parts: tuple[Kind, ...] = ()
    class_name: str = ""

    def __str__(self) -> str:
        if self.name == "record":
            return self.class_name
        if self.name == "union":
            return " | ".join(map(str, self.parts))
        if self.name == "tuple":
            return f"tuple[{self.parts[0]}, ...]" if self.parts else "tuple"
        shown = "tuple" if self.name == "row" else self.name
        return f"{shown}[{', '.join(map(str, self.parts))}]" if self.parts else shown

    @property
    def is_immutable(self) -> bool:
        """Whether a value can be handed to several readers without a copy."""
        if self.name in SCALARS:
            return True
        return self.name in ("tuple", "row", "union") and bool(self.parts) and all(p.is_immutable for p in self.parts)

    def accept(self, value: Any, *, travelled: bool = False, where: str = "the value") -> Any:
        """The value as it is kept; one that `travelled` has lists where there were tuples. Raises TypeMismatch."""
        if self.name == "any":
            return value
        if self.name in SCALARS:
            return self._scalar(value, where)
        if self.name == "record":
            return value if type(value).__name__ == self.class_name else self._refuse(value, where)
        if self.name == "union":
            return self._one_of(value, travelled, where)
        expected: tuple[type, ...] = (CONTAINERS[self.name],) if self.name in CONTAINERS else ()
        if not isinstance(value, (*expected, list) if travelled and expected == (tuple,) else expected):
            return self._refuse(value, where)
        return self._container(value, travelled, where)

    def _scalar(self, value: Any, where: str) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        expected = SCALARS[self.name]
        if type(value) is expected:
            if isinstance(value, str) and not value.isascii():
                _see_to_unicode(value, where)
            return value
        if expected is float and type(value) is int:
            return float(value)
        if expected is bytes and isinstance(value, bytearray | memoryview):
            return bytes(value)
        return self._refuse(value, where)

    def _one_of(self, value: Any, travelled: bool, where: str) -> Any:
        for part in self.parts:
            try:
                return part.accept(value, travelled=travelled, where=where)
            except TypeMismatch:
                continue
        return self._refuse(value, where)

    def _container(self, value: Any, travelled: bool, where: str) -> Any:
        parts = self.parts
        if self.name == "dict":
            key, item = parts or (ANYTHING, ANYTHING)
            return {
                key.accept(k, travelled=travelled, where=f"a key of {where}"): item.accept(
                    v, travelled=travelled, where=f"{where}[{_shown(k)}]"
                )
                for k, v in value.items()
            }
        if self.name == "row" and len(value) != len(parts):
            return self._refuse(value, where)
        of_each = parts if self.name == "row" else (parts or (ANYTHING,)) * len(value)
        accepted = (
            each.accept(item, travelled=travelled, where=f"{where}[{index}]")
            for index, (each, item) in enumerate(zip(of_each, value, strict=True))
        )
        return list(accepted) if self.name == "list" else tuple(accepted)

    def _refuse(self, value: Any, where: str) -> Any:
        raise TypeMismatch(f"{where} is to be {self}, not {_shown(value)} ({type(value).__name__})")

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [self.name, self.class_name, [each.to_wire() for each in self.parts]]

    @classmethod
    def from_wire(cls, wire: object, depth: int = 0) -> Kind:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [str(name), str(class_name), list(parts)] if (
                name in COUNTS and len(class_name) <= LONGEST_NAME and len(parts) <= MOST_PARTS and depth < DEEPEST
            ):
                if name in PLAIN and not class_name and not parts:
                    return PLAIN[name]  # most are, and all news of a variable name its type
                kind = cls(name, tuple(cls.from_wire(each, depth + 1) for each in parts), class_name)
                if COUNTS[name](len(parts)) and bool(class_name) == (name == "record"):
                    return kind
        raise MalformedMessage("a type is a name, a class and parts")


COUNTS: Final[dict[str, Callable[[int], bool]]] = {
    **dict.fromkeys((*SCALARS, "any", "array", "record"), lambda count: count == 0),
    **dict.fromkeys(("list", "tuple"), lambda count: count <= 1),
    "dict": lambda count: count in (0, 2),
    "row": lambda _: True,
    "union": lambda count: count > 1,
}
PLAIN: Final = {name: Kind(name) for name in (*SCALARS, "any", "array")}
ANYTHING: Final = Kind("any")
ARRAY: Final = Kind("array")


def kind_of(value: object) -> Kind:
    """The type that a variable gets from its first value: of a container not what is in it. Raises UsageError."""
    return kind_of_type(type(value.item() if isinstance(value, np.generic) else value))


def kind_of_type(annotation: Any) -> Kind:
    """The type that is written so; raises UsageError for one that no variable can have."""
    if annotation is None:
        return Kind("None")
    if annotation in (Any, object):
        return ANYTHING
    for name, scalar in SCALARS.items():
        if annotation is scalar:
            return Kind(name)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return Kind("union", tuple(map(kind_of_type, arguments)))
    if (origin or annotation) is tuple:
        return _tuple_kind(arguments)
    if (origin or annotation) in (list, dict):
        return Kind((origin or annotation).__name__, tuple(map(kind_of_type, arguments)))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return Kind("record", class_name=annotation.__name__)
    shown = getattr(annotation, "__qualname__", repr(annotation))
    raise UsageError(
        f"no variable can have the type {shown}; take None, bool, int, float, str, bytes, list, dict, tuple, a "
        "dataclass, typing.Any, or create_array"
    )


def _tuple_kind(arguments: tuple[Any, ...]) -> Kind:
    if not arguments:
        return Kind("tuple")
    if len(arguments) == 2 and isinstance(arguments[1], EllipsisType):
        return Kind("tuple", (kind_of_type(arguments[0]),))
    return Kind("row", tuple(map(kind_of_type, arguments)))


def _see_to_unicode(text: str, where: str) -> None:
    """Raises NotEncodable for what cannot travel, as Python has it for names of files that are no text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotEncodable(f"{where} is a text that is no Unicode ({error}); send bytes") from None


def _shown(value: object) -> str:
    try:
        return f"{value!r:.60}"
    except ValueError:  # Python prints no numbers of so many digits
        return "a very large number"
