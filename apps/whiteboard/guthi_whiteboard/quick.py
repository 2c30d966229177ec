"""Reads the usual lines of a log, strokes as `to_line` writes them, by their form alone: four times as fast.

It decides nothing. Whatever it does not know it leaves to `from_line`, and what it knows means there just the same: a
stroke in this form is within all bounds of `shapes`, and its JSON is what `from_line` would write again. That is so
because each number, name and list in the form is at most what `shapes` allows, and has one way only to be written.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from guthi_whiteboard.shapes import COLOURS, MOST_NUMBERS

__all__ = ["Parts", "stroke_parts"]

Parts = tuple[int, str, int, str, str]

_COUNT: Final = r"([1-9][0-9]{0,14})"
_AUTHOR: Final = r'"([a-z2-7]{13})"'
_PLACE: Final = r"(?:0|-?[1-9][0-9]{0,8})"
_WIDTH: Final = r"(?:1000|[1-9][0-9]{0,2})"
_SHARE: Final = r"(?:100|[1-9]?[0-9])"
_MORE: Final = f"{{0,{MOST_NUMBERS // 2 - 1}}}+"  # possessive: a list that is too long is seen to be so at once
_STROKE: Final = (
    rf'"colour":"(?:{"|".join(COLOURS)})","width":{_WIDTH},"points":\[{_PLACE},{_PLACE}(?:,{_PLACE},{_PLACE}){_MORE}\]'
)
_PRESSURE: Final = rf',"pressure":\[{_SHARE}(?:,{_SHARE}){_MORE}\]'
_LINE: Final = re.compile(
    rf"\[{_COUNT},{_AUTHOR},{_COUNT},{_AUTHOR},"
    rf'(\{{"kind":"(?:highlighter",{_STROKE}|pen",{_STROKE}(?:{_PRESSURE})?)\}})\]'
)


def stroke_parts(line: str) -> Parts | None:
    """Count, author, birth count, birth author and the object's JSON; None: it is something else."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    count, author, birth_count, birth_author, text = match.groups()
    return int(count), sys.intern(author), int(birth_count), sys.intern(birth_author), text
