"""Keeps the index up to date with what other programs do: by the system's notices, or by looking again and again.

| tracking | what is looked at                                                                              |
|----------|------------------------------------------------------------------------------------------------|
| `auto`   | what the system notices; everything when notices were lost, and each rescan interval, since it |
|          | may notice nothing (of folders of other machines, for example). Where the system cannot: `poll` |
| `poll`   | everything, each poll interval                                                                 |
| `off`    | nothing; a file is looked at when somebody asks for it                                         |
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from guthi import GuthiError
from guthi_gutfs.config import GutfsConfig
from guthi_gutfs.disk import Disk
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.tracking.debouncing import Debouncer, Look
from guthi_gutfs.tracking.observing import Observing

__all__ = ["Tracker"]

log = logging.getLogger("guthi_gutfs")


class Tracker:
    """Tracks the exports of one node. `disk` is where it waits for the system."""

    def __init__(self, files: LocalFiles, config: GutfsConfig, disk: Disk) -> None:
        self._files, self._config, self._disk = files, config, disk
        self._loop = asyncio.get_running_loop()
        self._debouncer = Debouncer(config.debounce)
        self._is_new = asyncio.Event()
        self._look_at_all_at = self._loop.time()  # what has changed between the first look and the first notice

    def noticed(self, path: str) -> None:
        """Something may have changed under a path."""
        self._debouncer.noticed(path, self._loop.time())
        self._is_new.set()

    def overflowed(self) -> None:
        """Something may have changed anywhere."""
        self._debouncer.overflowed(self._loop.time())
        self._is_new.set()

    async def run(self) -> None:
        """Track until cancelled."""
        if not self._files.exports or self._config.tracking == "off":
            return
        async with AsyncExitStack() as stack:
            hears = self._config.tracking == "auto" and await self._listen(stack)
            interval_s = self._config.rescan_interval if hears else self._config.poll_interval
            while True:
                await self._wait()
                now = self._loop.time()
                look = self._debouncer.due(now)
                if now >= self._look_at_all_at or (look is not None and look.at_all):
                    self._look_at_all_at = now + interval_s
                    await self._look(Look((), at_all=True))
                elif look is not None:
                    await self._look(look)

    async def _listen(self, stack: AsyncExitStack) -> bool:
        observing = Observing(self._files.exports, self.noticed, self.overflowed)
        stack.push_async_callback(self._disk.read, observing.stop)
        try:
            await self._disk.read(observing.start)
        except OSError as error:
            log.warning(
                "the system tells of no changes (%s); exports are looked at every %g s",
                error.strerror or error,
                self._config.poll_interval,
            )
            return False
        return True

    async def _wait(self) -> None:
        """Until the next look is due, or something new was noticed."""
        deadline = self._look_at_all_at
        if self._debouncer.deadline is not None:
            deadline = min(deadline, self._debouncer.deadline)
        self._is_new.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._is_new.wait()
        except TimeoutError:
            pass

    async def _look(self, look: Look) -> None:
        try:
            if look.at_all:
                await self._files.rescan()
            else:
                await self._files.refresh(look.paths)
        except GuthiError as error:
            log.warning("exports could not be looked at: %s", error)
            self._look_at_all_at = min(self._look_at_all_at, self._loop.time() + self._config.poll_interval)
