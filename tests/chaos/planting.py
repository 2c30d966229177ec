"""Histories written by hand, good ones and bad ones, so that it can be seen that the checkers find the bad ones."""

from __future__ import annotations

from typing import Any

from tests.chaos.journal import STATUS_S, Entry

__all__ = ["Planted"]


class Planted:
    """Entries as nodes would have written them; every node has one life, of its own name."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._calls = 0

    def write(self, at: float, node: str, kind: str, work: str = "", **told: Any) -> None:
        """One entry."""
        self.entries.append(Entry(at, node, node, kind, work, told))

    def call(
        self,
        node: str,
        work: str,
        input: Any,
        called_at: float,
        returned_at: float | None,
        output: Any = None,
        *,
        error: str = "",
        typed: bool = True,
        limit_s: float = 5.0,
    ) -> None:
        """A call, that returned if it says when, and failed if it says how."""
        self._calls += 1
        self.write(called_at, node, "called", work, call=self._calls, input=input, limit_s=limit_s)
        if error:
            assert returned_at is not None
            self.write(returned_at, node, "failed", work, call=self._calls, error=error, typed=typed, text="")
        elif returned_at is not None:
            self.write(returned_at, node, "returned", work, call=self._calls, output=output)

    def lives(self, node: str, begin: float, end: float, *, without: tuple[float, float] = (0.0, 0.0)) -> None:
        """The node writes its status all this time, but for a time in which it is stopped."""
        at = begin
        while at <= end:
            if not without[0] < at < without[1]:
                self.write(at, node, "status", cpu_s=0.0, alive=[])
            at += STATUS_S
