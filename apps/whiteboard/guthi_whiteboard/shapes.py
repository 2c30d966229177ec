"""Decides what can be on a board: the kinds of objects, their fields, and how large each may be.

An object is a mapping with a `kind` and the fields of that kind, and no others. Numbers are whole: places and widths
are tenths of a pixel at 100 %. Points are a first place and then steps from each to the next, flat: x, y, dx, dy, …
A colour is a name, not a value, so that each page can show it on light or dark paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from guthi import MalformedMessage

__all__ = ["COLOURS", "KINDS", "MOST_NUMBERS", "canonical", "is_author", "is_count"]

COLOURS: Final = ("ink", "grey", "red", "orange", "yellow", "green", "teal", "blue", "violet", "pink")
FILLS: Final = ("none", "tint", "solid")
FARTHEST: Final = 10**9
MOST_NUMBERS: Final = 2000
MOST_TEXT: Final = 2000
MOST_SEEN: Final = 300
MOST_COUNT: Final = 2**53 - 1  # what a page can count to
AUTHOR_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
AUTHOR_LENGTH: Final = 13

Check = Callable[[Any], bool]


def is_author(value: Any) -> bool:
    """Whether this can name a page: 13 letters of base 32, which are 64 bits."""
    return type(value) is str and len(value) == AUTHOR_LENGTH and AUTHOR_LETTERS.issuperset(value)


def is_count(value: Any) -> bool:
    """Whether this can be a Lamport time."""
    return type(value) is int and 1 <= value <= MOST_COUNT


def _numbers(value: Any, fewest: int, most: int) -> bool:
    return (
        type(value) is list
        and fewest <= len(value) <= most
        and set(map(type, value)) == {int}
        and min(value) >= -FARTHEST
        and max(value) <= FARTHEST
    )


def _points(value: Any) -> bool:
    return _numbers(value, 2, MOST_NUMBERS) and len(value) % 2 == 0


def _pressure(value: Any) -> bool:
    return _numbers(value, 1, MOST_NUMBERS // 2) and all(0 <= each <= 100 for each in value)


def _box(value: Any) -> bool:
    return _numbers(value, 4, 4) and value[2] >= 0 and value[3] >= 0


def _text(value: Any) -> bool:
    if type(value) is not str or not 1 <= len(value) <= MOST_TEXT:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say and UTF-8 cannot
        return False
    return "\0" not in value


def _seen(value: Any) -> bool:
    return (
        type(value) is dict
        and len(value) <= MOST_SEEN
        and all(is_author(author) and is_count(count) for author, count in value.items())
    )


def _between(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _one_of(words: tuple[str, ...]) -> Check:
    return lambda value: type(value) is str and value in words


_COLOUR, _WIDTH = _one_of(COLOURS), _between(1, 1000)
_STROKE: Mapping[str, Check] = {"colour": _COLOUR, "width": _WIDTH, "points": _points}
_AREA: Mapping[str, Check] = {"colour": _COLOUR, "width": _WIDTH, "fill": _one_of(FILLS), "box": _box}
_SPAN: Mapping[str, Check] = {"colour": _COLOUR, "width": _WIDTH, "ends": lambda value: _numbers(value, 4, 4)}

KINDS: Final[Mapping[str, Mapping[str, Check]]] = {
    "pen": {**_STROKE, "pressure": _pressure},
    "highlighter": _STROKE,
    "line": _SPAN,
    "arrow": _SPAN,
    "rectangle": _AREA,
    "ellipse": _AREA,
    "text": {
        "colour": _COLOUR,
        "size": _between(20, 5000),
        "at": lambda value: _numbers(value, 2, 2),
        "text": _text,
    },
    "clear": {"seen": _seen, "at_s": _between(0, MOST_COUNT)},
}
"""The kinds and their fields. A clear hides what it has seen: of each author all up to a count."""

OPTIONAL: Final = frozenset({"pressure"})


def canonical(value: Any) -> dict[str, Any]:
    """The same object with its fields in order; raises MalformedMessage for what cannot be on a board."""
    kind = value.get("kind") if type(value) is dict else None
    fields = KINDS.get(kind) if type(kind) is str else None
    if fields is None:
        raise MalformedMessage(f"an object on a board is one of {', '.join(KINDS)}, not {kind!r:.80}")
    known: dict[str, Any] = {"kind": kind}
    for name, is_good in fields.items():
        if name in value:
            if not is_good(value[name]):
                raise MalformedMessage(f"the {name} of a {kind} cannot be {value[name]!r:.80}")
            known[name] = value[name]
        elif name not in OPTIONAL:
            raise MalformedMessage(f"a {kind} needs a {name}")
    if len(known) != len(value):
        surplus = sorted(value.keys() - known.keys())
        raise MalformedMessage(f"a {kind} has no {str(surplus[0])[:80]!r}")
    return known
