"""What a tab of the dashboard is: views of the web server, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Column", "Panel"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: which key of a row, under which title, and how its value is written.

    `bytes` and `seconds` choose a unit, `percent` draws a bar, `state` a coloured mark, `names` is a list of texts.
    Where there is little room, columns that are not `is_main` are left out.
    """

    key: str
    title: str
    kind: Literal["text", "number", "bytes", "seconds", "percent", "state", "names"] = "text"
    is_main: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """A tab. It is shown where the web server has the first of its `views`, sorted by `order` and title.

    Without a `script` it is a table of the first view with these `columns`. A script is the path of a module of
    JavaScript that the web server serves; see docs/dashboard.md for what it exports.
    """

    name: str
    title: str
    views: tuple[str, ...]
    order: int = 100
    columns: tuple[Column, ...] = ()
    script: str = ""

    def described(self) -> dict[str, Any]:
        """What a page is told of it."""
        return {
            "name": self.name,
            "title": self.title,
            "views": list(self.views),
            "script": self.script,
            "columns": [
                {"key": each.key, "title": each.title, "kind": each.kind, "is_main": each.is_main}
                for each in self.columns
            ],
        }
