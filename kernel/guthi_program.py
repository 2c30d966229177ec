"""The program `guthi` from its first moment: Ctrl-C ends it without a word, also while it is still being imported.

A module of its own beside the package: whatever stands in the package is run only when all of it has been imported,
which takes half a second.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

__all__ = ["main"]

INTERRUPTED = 130


def main() -> NoReturn:
    """The entry point of the command."""
    heeds = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where it was started to ignore it
    if heeds:
        signal.signal(signal.SIGINT, _end)
    from guthi.cli import main as run

    if heeds:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)  # nothing has begun, and an exception in an import may become another one
