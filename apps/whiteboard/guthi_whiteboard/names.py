"""Decides what a board may be called: a name that is one folder on every system, and the same for everybody."""

from __future__ import annotations

import unicodedata

from guthi import UsageError

__all__ = ["board_name", "is_board_name"]

LONGEST = 60
MARKS = " -_"
RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}
)


def is_board_name(name: str) -> bool:
    """Whether a board is called exactly so: letters, digits, and `-`, `_` and spaces between them; in lower case."""
    if not 1 <= len(name) <= LONGEST or len(name.encode("utf-8", "replace")) > 200 or name in RESERVED:
        return False
    if (
        name[0] in MARKS
        or name[-1] in MARKS
        or not all(each.isalnum() or each in MARKS or _combines(each) for each in name)
    ):
        return False
    return name == unicodedata.normalize("NFC", name.casefold())


def board_name(text: object) -> str:
    """The board that somebody means; raises UsageError."""
    name = unicodedata.normalize("NFC", text.strip().casefold()) if isinstance(text, str) else ""
    if not is_board_name(name):
        raise UsageError(
            f"a board's name is 1 to {LONGEST} letters and digits, with spaces, - or _ between them, not {text!r:.80}"
        )
    return name


def _combines(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc")  # vowels of many scripts
