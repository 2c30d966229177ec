"""How processes are started, asked for what they print, and ended, and how much processor time one has used."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from performance.shape import Missing

__all__ = ["Child", "Failed", "processor_time_s"]

GRACE_S = 5.0


class Failed(Exception):
    """A process did not do its part; the text has the end of what it wrote to standard error."""


def processor_time_s(pid: int) -> float:
    """User and system time of another process, its ended threads included, to the nanosecond.

    The clock's number is that of clock_getcpuclockid(3) on Linux: all but the lowest three bits are ~pid.
    """
    return time.clock_gettime(~pid << 3 | 2)


class Child:
    """A process that runs a module of this package, in a session of its own, and prints one line of JSON."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"performance.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._printed = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def answer(self, timeout_s: float) -> Any:
        """The value under "answer" in the line that the process prints; raises Missing, Failed."""
        end_at = time.monotonic() + timeout_s
        while (line := self._line(end_at)) is not None:
            with suppress(ValueError):
                match json.loads(line):  # libraries print lines of their own
                    case {"missing": str(reason)}:
                        raise Missing(reason)
                    case {"answer": answer}:
                        return answer
        reason = "took too long" if time.monotonic() >= end_at else "ended without an answer"
        raise Failed(f"{reason}: {self._complaint()}")

    def _line(self, end_at: float) -> bytes | None:
        output = self._process.stdout
        assert output is not None
        while b"\n" not in self._printed:
            if not select.select([output], [], [], max(0.0, end_at - time.monotonic()))[0]:
                return None
            more = os.read(output.fileno(), 65536)
            if not more:
                return None
            self._printed += more
        line, _, self._printed = self._printed.partition(b"\n")
        return line

    def _complaint(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-3:]) or "nothing on standard error"

    def end(self) -> None:
        """Ask it to end by closing its standard input; after a while end it, and what it started, by force."""
        family = [self.pid, *_descendants(self.pid)]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()


def _descendants(pid: int) -> Sequence[int]:
    found: list[int] = []
    with suppress(OSError):  # it may end meanwhile
        for listing in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, listing.read_text().split()):
                found += [child, *_descendants(child)]
    return found
