"""What can be seen of a node: views, each read at most so often that reading costs next to nothing.

A view has a name, under which it is `GET /api/NAME` and can be followed live, and a function that reads it. What was
read is kept, and given to everybody who asks meanwhile: ten open pages cost as much as one. After a reading that took t
seconds the next one waits SHARE * t at least, so that no view takes more than a fiftieth of the loop's time; and so
long that no page is sent more than CHARACTERS_A_SECOND of it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

from guthi import UsageError

__all__ = ["Snapshot", "View", "Views", "as_json"]

SHARE = 50.0
SHORTEST_S = 0.1
CHARACTERS_A_SECOND = 1 << 20
DEEPEST = 30
READ_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class View:
    """Something to look at.

    `read` gives a list of rows, which are mappings of names to numbers, texts, lists and the like, or one mapping; it
    may be a coroutine function. `every_s` is how often it is read while somebody follows it; a `nudge` reads it at
    once. `what` is a sentence for the description of the API.
    """

    name: str
    what: str
    read: Callable[[], Any | Awaitable[Any]]
    every_s: float = 1.0


class Snapshot(NamedTuple):
    """What was read, as it is and as JSON; `version` is raised when it is something else than before."""

    version: int
    data: Any
    text: str


def as_json(data: Any) -> str:
    """The text that travels; what has no form in JSON is shown as Python would, and what is no number as null."""
    try:
        return _dumped(data)
    except (TypeError, ValueError, RecursionError):  # odd keys, infinities, circles: rare, so only then looked for
        return _dumped(_tame(data, DEEPEST))


def _dumped(data: Any) -> str:
    text = json.dumps(data, default=_shown, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if text.isascii() or _is_unicode(text):
        return text
    return json.dumps(data, default=_shown, separators=(",", ":"), allow_nan=False)  # odd characters as numbers


def _is_unicode(text: str) -> bool:
    """Not with the lone surrogates by which Python reads names of files that are no UTF-8 (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tame(value: Any, depth: int) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _tame(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_tame(each, depth - 1) for each in value]
    return _tame(_shown(value), depth - 1)


def _shown(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


class _Kept:
    def __init__(self, view: View) -> None:
        self.view = view
        self.snapshot = Snapshot(0, None, "null")
        self.read_at = float("-inf")
        self.took_s = 0.0
        self.lock = asyncio.Lock()
        self.nudged = asyncio.Event()


class Views:
    """The views of one node; `clock` is loop time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def add(self, view: View) -> None:
        """One more; raises UsageError for a name that is taken."""
        if view.name in self._kept:
            raise UsageError(f"there is a view {view.name!r} already; choose another name")
        self._kept[view.name] = _Kept(view)

    def __iter__(self) -> Iterator[View]:
        return (kept.view for kept in self._kept.values())

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def nudge(self, name: str) -> None:
        """It has changed, and who follows it should be told soon; nothing for a view that is not there."""
        if name in self._kept:
            self._kept[name].nudged.set()

    async def read(self, name: str) -> Snapshot:
        """What is there now, or was a moment ago. Raises KeyError, what reading raises, and TimeoutError."""
        kept = self._kept[name]
        async with kept.lock:
            if self._clock() - kept.read_at >= self._pause_s(kept):
                await self._read(kept)
            return kept.snapshot

    async def _read(self, kept: _Kept) -> None:
        began = self._clock()
        kept.nudged.clear()
        data = kept.view.read()
        if inspect.isawaitable(data):
            async with asyncio.timeout(READ_PATIENCE_S):
                data = await data
        text = as_json(data)
        kept.read_at = self._clock()
        kept.took_s = kept.read_at - began
        if text != kept.snapshot.text:
            kept.snapshot = Snapshot(kept.snapshot.version + 1, data, text)

    def _pause_s(self, kept: _Kept) -> float:
        return max(SHORTEST_S, SHARE * kept.took_s, len(kept.snapshot.text) / CHARACTERS_A_SECOND)

    async def until_due(self, name: str) -> None:
        """Wait for the moment at which somebody who follows the view should have it read again."""
        kept = self._kept[name]
        try:
            async with asyncio.timeout(max(kept.view.every_s, self._pause_s(kept))):
                await kept.nudged.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(kept.read_at + self._pause_s(kept) - self._clock(), 0.0))
