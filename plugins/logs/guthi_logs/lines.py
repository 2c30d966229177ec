"""What a line of a log is, which lines somebody wants, and how both travel."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from guthi import MalformedMessage, UsageError

__all__ = ["LEVELS", "LONGEST_SOURCE", "LONGEST_TEXT", "Line", "Told", "Wish", "line_from_wire", "line_to_wire"]

LONGEST_TEXT, LONGEST_SOURCE = 4000, 120
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Line(NamedTuple):
    """Something that happened on a node.

    `number` counts up in the node's life; `at_s` is its wall clock, in seconds since 1970; `level` is that of
    `logging`; `source` is a logger's name, or `membership`; `text` may have several lines, as tracebacks have.
    """

    number: int
    at_s: float
    level: int
    source: str
    text: str

    @property
    def level_name(self) -> str:
        """As people say it."""
        return next((name for name, level in reversed(LEVELS.items()) if self.level >= level), "debug")


class Told(NamedTuple):
    """A line, and the name of the node that it is from; `missed` lines before it were too many to be told."""

    node: str
    line: Line
    missed: int = 0


class Wish(NamedTuple):
    """Which lines: from this level on, with this text in them or in their source."""

    level: int = logging.INFO
    contains: str = ""

    @classmethod
    def of(cls, level: str, contains: str) -> Wish:
        """Raises UsageError for a level that is none."""
        if level not in LEVELS:
            raise UsageError(f"there is no level {level!r}; there are: {', '.join(LEVELS)}")
        return cls(LEVELS[level], contains[:LONGEST_SOURCE].casefold())

    def wants(self, line: Line) -> bool:
        """Whether a line is wanted."""
        if line.level < self.level:
            return False
        return not self.contains or self.contains in line.text.casefold() or self.contains in line.source.casefold()

    @classmethod
    def from_wire(cls, level: Any, contains: Any) -> Wish:
        """Raises MalformedMessage."""
        if type(level) is not int or not isinstance(contains, str) or len(contains) > LONGEST_SOURCE:
            raise MalformedMessage("a wish is a level and a text")
        return cls(level, contains)


def line_to_wire(line: Line) -> list[Any]:
    """The line as it travels."""
    return list(line)


def line_from_wire(value: Any) -> Line:
    """Raises MalformedMessage."""
    match value:
        case [int(number), float(at_s), int(level), str(source), str(text)] if number >= 0:
            return Line(number, at_s, level, source[:LONGEST_SOURCE], text[:LONGEST_TEXT])
    raise MalformedMessage("a line of a log is a number, a time, a level, a source and a text")
