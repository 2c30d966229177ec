"""What can go wrong with a lock."""

from __future__ import annotations

from guthi.errors import GuthiError, UsageError

__all__ = ["AlgorithmConflict", "LockLost", "LockNotHeld", "NoQuorum", "StaleFence"]


class LockLost(GuthiError):
    """The majority may have given the lock to another while it was held here; what was done under it is in doubt."""


class LockNotHeld(UsageError):
    """A grant was released that has been released already."""


class NoQuorum(GuthiError):
    """This node does not reach a majority of the lock's members, so it can acquire nothing."""


class AlgorithmConflict(UsageError):
    """Two nodes are configured to use different algorithms for one lock; the message names both."""


class StaleFence(GuthiError):
    """A write came under a grant that is older than one which has been seen."""
