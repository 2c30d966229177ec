"""What can go wrong with logs."""

from __future__ import annotations

from guthi import GuthiError

__all__ = ["TooManyFollowers"]


class TooManyFollowers(GuthiError):
    """As many follow a node's log as may."""
