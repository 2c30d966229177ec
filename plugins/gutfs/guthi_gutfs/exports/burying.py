"""Decides how long it is remembered that a file was deleted: long enough for every replica to hear of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from guthi import GuthiError
from guthi_gutfs.exports.files import LocalFiles

__all__ = ["bury_for_ever"]

TIMES_A_LIFE = 10
LONGEST_PAUSE_S = 3600.0

log = logging.getLogger("guthi_gutfs")


async def bury_for_ever(files: LocalFiles, time_s: Callable[[], float], kept_for_s: float) -> None:
    """Forget again and again what was deleted longer ago; `time_s` is the network's time, in seconds since 1970."""
    while True:
        try:
            await files.bury(time_s() - kept_for_s)
        except GuthiError as error:
            log.warning("what was deleted long ago could not be forgotten: %s", error)
        await asyncio.sleep(min(kept_for_s / TIMES_A_LIFE, LONGEST_PAUSE_S))
