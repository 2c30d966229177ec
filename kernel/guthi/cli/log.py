"""Where a process's log goes: to standard error, a line a record."""

from __future__ import annotations

import logging

__all__ = ["log_to_stderr"]


def log_to_stderr(level: str) -> None:
    """Log everything from `level` on: "debug", "info", "warning" or "error"."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S", level=level.upper()
    )
