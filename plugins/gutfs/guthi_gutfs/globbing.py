"""Decides which paths a pattern means: `*`, `?` and `[…]` within a name, `**` for any number of folders."""

from __future__ import annotations

import re
from functools import lru_cache

from guthi_gutfs.errors import BadPath
from guthi_gutfs.paths import ROOT, names_of, tree_path

__all__ = ["fixed_part", "matches"]

MAGIC = re.compile(r"[*?\[]")


def fixed_part(pattern: str) -> str:
    """The folder below which all that match must be."""
    names = names_of(tree_path(pattern))
    fixed = next((at for at, name in enumerate(names) if MAGIC.search(name)), max(len(names) - 1, 0))
    return ROOT + "/".join(names[:fixed])


def matches(pattern: str, path: str) -> bool:
    """Whether a path is one of those that a pattern means."""
    return _expression(tree_path(pattern)).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = ["(?:/[^/]+)*" if name == "**" else "/" + _name(name) for name in names_of(pattern)]
    try:
        return re.compile("".join(parts) or ROOT)
    except re.error as error:
        raise BadPath(f"{pattern!r:.200} is no pattern: {error}") from None


def _name(pattern: str) -> str:
    """One name; a bracket that is not closed stands for itself."""
    text, at = "", 0
    while at < len(pattern):
        each, at = pattern[at], at + 1
        if each == "*":
            text += "[^/]*"
        elif each == "?":
            text += "[^/]"
        elif each == "[" and (end := pattern.find("]", at + 1)) > 0:
            inside = pattern[at:end].replace("\\", "\\\\").replace("[", "\\[")
            text += "[" + ("^" + inside[1:] if inside.startswith("!") else inside) + "]"
            at = end + 1
        else:
            text += re.escape(each)
    return text
