"""One host and the node on it: what can be done to either from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.namespaces import ROOT, Namespaces

__all__ = ["DISK_BYTES", "Host", "NodeEnded", "libfaketime"]

DISK_BYTES = 64 << 20
PATIENCE_S = 60.0
SLICE_BYTES = 1 << 20
LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


class NodeEnded(Exception):
    """A node's process has ended, and nobody asked it to."""


def libfaketime() -> str:
    """The library that bends clocks; empty where it is not installed."""
    return next((str(path) for each in LIBRARIES for path in Path("/").glob(each[1:])), "")


class Host:
    """A machine with a disk, a network card and a clock of its own, and `guthi run` on it.

    `on_surprise` is told when the node ends unasked. `packages` is a folder with the Guthi that is to run, if it is not
    the one that runs this.
    """

    def __init__(self, name: str, number: int, folder: Path, on_surprise: Callable[[str], None]) -> None:
        self.name, self.number, self.folder = name, number, folder
        self.address = f"10.77.0.{number}"
        self.packages: Path | None = None
        self._on_surprise = on_surprise
        self._disk = folder / "disk"
        self._namespaces = Namespaces(number, self.address, self._disk, DISK_BYTES)
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self.clock_off_s = 0.0  # by how much the wall clock is wrong for the node that is started next

    @property
    def tap(self) -> int:
        """The cable of its network card."""
        return self._namespaces.tap

    @property
    def disk(self) -> Path:
        """Its disk, as it is seen from outside."""
        return self._namespaces.disk

    @property
    def journal(self) -> Path:
        """What its node writes down."""
        return self.folder / "journal.jsonl"

    @property
    def pid(self) -> int:
        """Of the node's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    # ---- the node's life

    async def start(self) -> None:
        """Start the node, and wait until it has joined; raises NodeEnded if it ends instead."""
        await self.launch()
        await self._ready()

    async def launch(self) -> None:
        """Start the node's process."""
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._namespaces.entering(), sys.executable, "-m", "guthi", "run", str(self.folder / "node.toml"),
                "--json", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self._environment(),
                start_new_session=True,
            )  # fmt: skip

    async def _ready(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise NodeEnded(f"{self.name} was not ready after {PATIENCE_S:g} s") from None
        if not line:
            raise NodeEnded(
                f"{self.name} could not start (exit code {await self._process.wait()}): {self.last_words()}"
            )
        self._watching = asyncio.create_task(self._watch(self._process))

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("GUTHI_")}
        chosen = [str(self.packages)] if self.packages is not None else []
        own["PYTHONPATH"] = os.pathsep.join([*chosen, str(ROOT), *own.get("PYTHONPATH", "").split(os.pathsep)])
        own["PYTHONFAULTHANDLER"] = "1"
        if self.clock_off_s:  # only then: the library doubles what a start costs
            own |= {"LD_PRELOAD": libfaketime(), "FAKETIME": f"{self.clock_off_s:+.0f}"}
            own |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return own

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._on_surprise(f"{self.name} ended by itself with exit code {code}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of the node's log."""
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])

    async def kill(self) -> None:
        """SIGKILL, to the node and whatever it has started; also if it is stopped."""
        self._expect_end()
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def terminate(self) -> None:
        """SIGTERM, and wait for the end; raises NodeEnded if it is not a good one."""
        self._expect_end()
        assert self._process is not None
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE_S):
                code = await self._process.wait()
        except TimeoutError:
            raise NodeEnded(f"{self.name} did not end within {PATIENCE_S:g} s of SIGTERM") from None
        if code:
            raise NodeEnded(f"{self.name} ended with exit code {code} after SIGTERM: {self.last_words()}")

    def _expect_end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def stop(self) -> None:
        """SIGSTOP: it stands still, and does not know."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            os.kill(self.pid, number)

    # ---- what it has

    def fill_disk(self) -> None:
        """Leave not a byte."""
        with (self.disk / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(SLICE_BYTES))

    def free_disk(self) -> None:
        """As before."""
        (self.disk / "filling").unlink(missing_ok=True)

    def take_descriptors(self) -> None:
        """Let the node open nothing more."""
        self._limit_descriptors(len(os.listdir(f"/proc/{self.pid}/fd")))

    def give_descriptors(self) -> None:
        """As before."""
        self._limit_descriptors(1024)

    def _limit_descriptors(self, count: int) -> None:
        if self.is_running:
            subprocess.run(["prlimit", f"--pid={self.pid}", f"--nofile={count}:"], check=True)

    def files(self, folder: str, *, without: Sequence[str] = (".gutfs-",)) -> dict[str, bytes]:
        """All files below a folder of its disk, by path."""
        root = self.disk / folder
        found = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith(tuple(without)))
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    async def close(self) -> None:
        """End the node by force, and the host with it."""
        await self.kill()
        self._namespaces.close()
