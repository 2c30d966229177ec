"""Decides how operations on a board are written down: one line of JSON each, in files that only grow.

    [count, author, birth count, birth author, object or null]

An operation gives an object a value; null deletes it. Its stamp is a Lamport time (Lamport 1978) and the page that made
it, so all operations of a board are in one order that every node agrees on, and no two have the same place in it. An
object is named by the stamp of the operation that made it, its birth; objects lie on each other in the order of birth.

The page makes the stamp. So an operation that is sent twice, or through two nodes, is one operation, and what was drawn
without a connection has its place in the order of what its author had seen.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeAlias

from guthi import MalformedMessage
from guthi_whiteboard.quick import stroke_parts
from guthi_whiteboard.shapes import canonical, is_author, is_count

__all__ = [
    "MOST_LINE_BYTES",
    "NAME_BYTES",
    "Key",
    "Operation",
    "Stamp",
    "as_lines",
    "from_json",
    "from_line",
    "to_line",
]

MOST_LINE_BYTES: Final = 14 << 10
NAME_BYTES: Final = 50  # about what a line has besides its value


class Stamp(NamedTuple):
    """A place in the order of a board."""

    time: int
    author: str


Key: TypeAlias = tuple[Stamp, Stamp, bytes]


class Operation(NamedTuple):
    """`value` is the JSON of an object as `to_line` writes it, None where it is deleted."""

    stamp: Stamp
    birth: Stamp
    value: str | None

    @property
    def key(self) -> Key:
        """What tells it from all others, in few bytes; of two with one stamp too, which only a faulty page makes."""
        return self.stamp, self.birth, blake2b((self.value or "").encode(), digest_size=8).digest()

    @property
    def rank(self) -> tuple[Stamp, str]:
        """Of two operations on one object the one of the higher rank has won."""
        return self.stamp, self.value or ""

    @property
    def size(self) -> int:
        """About how long its line is."""
        return NAME_BYTES + len(self.value or "")

    @property
    def object(self) -> dict[str, Any] | None:
        """The object, read anew each time."""
        return json.loads(self.value) if self.value is not None else None

    @property
    def is_clear(self) -> bool:
        """Whether it hides what is on the board."""
        return self.value is not None and self.value.startswith('{"kind":"clear"')


def to_line(operation: Operation) -> str:
    """The line, without its end."""
    (count, author), (birth_count, birth_author), value = operation
    return f'[{count},"{author}",{birth_count},"{birth_author}",{"null" if value is None else value}]'


def from_line(line: str | bytes) -> Operation:
    """Read what a peer, or its file, says; raises MalformedMessage."""
    if len(line) > MOST_LINE_BYTES:
        raise MalformedMessage(f"an operation on a board has {MOST_LINE_BYTES} bytes at most")
    usual = stroke_parts(line if isinstance(line, str) else line.decode("utf-8", "replace"))
    if usual is not None and usual[:2] >= usual[2:4]:
        return _operation(*usual)
    try:
        parts = json.loads(line)
    except (ValueError, RecursionError):
        raise MalformedMessage(f"{line[:80]!r} is no operation on a board") from None
    return from_json(parts)


def from_json(parts: Any) -> Operation:
    """The same of a line that has been read as JSON, as it comes from a page."""
    if type(parts) is not list or len(parts) != 5:
        raise MalformedMessage("an operation on a board is [count, author, birth count, birth author, object or null]")
    count, author, birth_count, birth_author, value = parts
    if not (is_count(count) and is_count(birth_count) and is_author(author) and is_author(birth_author)):
        raise MalformedMessage("an operation on a board has stamps of a count and 13 letters a-z2-7")
    if (count, author) < (birth_count, birth_author):
        raise MalformedMessage("an operation on a board changes what was not there yet")
    text = None if value is None else json.dumps(canonical(value), separators=(",", ":"), ensure_ascii=False)
    operation = _operation(count, sys.intern(author), birth_count, sys.intern(birth_author), text)
    if text is not None and len(to_line(operation).encode()) > MOST_LINE_BYTES:
        raise MalformedMessage(f"an object on a board has about {MOST_LINE_BYTES} bytes at most; draw it in parts")
    return operation


def _operation(count: int, author: str, birth_count: int, birth_author: str, text: str | None) -> Operation:
    stamp = Stamp(count, author)
    is_first = count == birth_count and author == birth_author
    return Operation(stamp, stamp if is_first else Stamp(birth_count, birth_author), text)


def as_lines(operations: Iterable[Operation]) -> bytes:
    """What is written at the end of a file."""
    return "".join(f"{to_line(each)}\n" for each in operations).encode()
