"""What can go wrong with a call, beyond what the function itself raises."""

from __future__ import annotations

from guthi.errors import GuthiError, UsageError

__all__ = ["NoProvider", "UnknownFunction", "WorkerDied"]


class UnknownFunction(UsageError, LookupError):
    """No node, or not the node that was asked for, has a function of that name."""


class NoProvider(GuthiError):
    """Functions of that name were known, but every node that had one is gone."""


class WorkerDied(GuthiError):
    """The process that ran a function died under it."""
