"""Decides which files of a folder an export has: patterns in the manner of .gitignore, that let in or leave out.

| pattern      | matches                                                        |
|--------------|----------------------------------------------------------------|
| `*.png`      | a name without slash: in every folder                          |
| `raw/*.png`  | a path from the export's folder on; `*` and `?` stay in a name |
| `raw/**`     | `**`: any number of folders                                    |
| `[a-c]*`     | one of these characters; `[!a-c]` any other                    |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["Patterns"]


class Patterns:
    """What is let in and what is left out, for paths relative to an export's folder.

    What is left out is so with all that is in it. Where patterns let in, a file has to match one of them, or to be in a
    folder that does; folders need not, for what is in them may.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include, self._exclude = _compiled(include), _compiled(exclude)

    def admit(self, names: Sequence[str], *, is_folder: bool) -> bool:
        """Whether the export has what is under these names, counted from its folder; the folder itself always."""
        if not names or (self._include is None and self._exclude is None):
            return True
        paths = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
        if self._exclude is not None and any(map(self._exclude.fullmatch, paths)):
            return False
        return is_folder or self._include is None or any(map(self._include.fullmatch, paths))


def _compiled(patterns: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = [_as_expression(each) for each in patterns]
    return re.compile("|".join(alternatives), re.DOTALL) if alternatives else None


def _as_expression(pattern: str) -> str:
    """The regular expression of a pattern."""
    stripped = pattern.strip("/")
    parts = stripped.split("/")
    expressions = [_name_expression(part) for part in parts]
    anywhere = "" if "/" in pattern.rstrip("/") else "(?:[^/]+/)*"
    whole = ""
    for position, (part, expression) in enumerate(zip(parts, expressions, strict=True)):
        is_last = position == len(parts) - 1
        if part == "**":
            whole += ".*" if is_last else "(?:[^/]+/)*"
        else:
            whole += expression if is_last else expression + "/"
    return f"(?:{anywhere}{whole})"


_PARTS = re.compile(r"\*+|\?|\[!?\]?[^\]/]*\]|.", re.DOTALL)


def _name_expression(name: str) -> str:
    found = ""
    for part in _PARTS.findall(name):
        if part[0] == "*":
            found += "[^/]*"
        elif part == "?":
            found += "[^/]"
        elif len(part) > 1:
            inside = part[1:-1].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
            found += f"[^/{inside[1:]}]" if inside[0] == "!" else f"[{inside}]"
        else:
            found += re.escape(part)
    return found
