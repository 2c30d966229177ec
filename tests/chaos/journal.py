"""What nodes write down while they work, so that it can be judged afterwards: one JSON line an entry.

A line is one `write` to a file opened for appending, so that what was written is there after SIGKILL. Moments are of
CLOCK_MONOTONIC, which all processes of a machine share and which no fault bends; they are read before a call and after
its return, never in between.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["STATUS_S", "Call", "Entry", "Journal", "calls", "read_journals"]


STATUS_S = 0.5  # how often a node says that it lives, how much processor time it has had, and whom it sees


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: at what moment, in which life of which node, of what kind, and what else there is to say."""

    at: float
    node: str
    life: str
    kind: str
    work: str
    told: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """Something that a node did, from its call to its return; `returned_at` is infinite if it never did.

    `error` is the name of what it raised, empty if nothing; `typed` whether that is an error of Guthi's; `limit_s` how
    long it may take at most.
    """

    node: str
    life: str
    work: str
    input: Any
    called_at: float
    returned_at: float = math.inf
    output: Any = None
    error: str = ""
    typed: bool = True
    limit_s: float = math.inf
    text: str = field(default="", compare=False)

    @property
    def is_ok(self) -> bool:
        """Whether it returned a result."""
        return not self.error and self.returned_at < math.inf


class Journal:
    """What one life of a node writes."""

    def __init__(self, path: Path, node: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._node, self.life = node, f"{os.getpid()}-{time.monotonic_ns()}"
        self._last = 0

    def write(self, kind: str, work: str = "", at: float | None = None, /, **told: Any) -> None:
        """One entry, of now or of a moment that has been."""
        line = {"at": time.monotonic() if at is None else at, "node": self._node, "life": self.life}
        os.write(self._file, json.dumps(line | {"kind": kind, "work": work, "told": told}).encode() + b"\n")

    def called(self, work: str, input: Any, limit_s: float) -> int:
        """A call begins; returns its number."""
        self._last += 1
        self.write("called", work, call=self._last, input=input, limit_s=limit_s)
        return self._last

    def returned(self, work: str, call: int, output: Any = None) -> None:
        """It has a result."""
        self.write("returned", work, call=call, output=output)

    def failed(self, work: str, call: int, error: BaseException, *, typed: bool) -> None:
        """It raised."""
        self.write("failed", work, call=call, error=type(error).__name__, typed=typed, text=str(error)[:300])


def read_journals(paths: Iterable[Path], beyond: Mapping[Path, int] | None = None) -> list[Entry]:
    """The entries of all nodes in the order of time, or those beyond these places in the files.

    A line that a death tore is left out.
    """
    found = [entry for path in paths for entry in _entries(path, (beyond or {}).get(path, 0))]
    return sorted(found, key=lambda each: each.at)


def _entries(path: Path, begin: int) -> Iterator[Entry]:
    with path.open("rb") as file:
        file.seek(begin)
        for line in file:
            try:
                yield Entry(**json.loads(line))
            except ValueError:
                continue


def calls(entries: Sequence[Entry], work: str = "") -> list[Call]:
    """The calls of one kind of work, or of all, in the order in which they began."""
    begun: dict[tuple[str, str, int], Call] = {}
    for each in entries:
        if each.kind not in ("called", "returned", "failed") or (work and each.work != work):
            continue
        key, told = (each.node, each.life, each.told["call"]), each.told
        if each.kind == "called":
            begun[key] = Call(each.node, each.life, each.work, told["input"], each.at, limit_s=told["limit_s"])
            continue
        call = begun[key]
        outcome = {name: told[name] for name in ("output", "error", "typed", "text") if name in told}
        whole = {name: getattr(call, name) for name in ("node", "life", "work", "input", "called_at", "limit_s")}
        begun[key] = Call(**whole, returned_at=each.at, **outcome)
    return list(begun.values())
