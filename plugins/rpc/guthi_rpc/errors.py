"""What can go wrong with a call, beyond what the function itself raises."""

from __future__ import annotations

from guthi.errors import GuthiError, UsageError

__all__ = [
    "TRAVELLING",
    "CodeRefused",
    "NoProvider",
    "NotComputed",
    "OutcomeUnknown",
    "Overloaded",
    "PartialResult",
    "Undecided",
    "UnknownFunction",
    "WorkerDied",
]


class UnknownFunction(UsageError, LookupError):
    """No node, or not the node that was asked for, has a function of that name."""


class CodeRefused(UsageError):
    """No node accepts functions that are not in the store; the message says how one can be told to."""


class NoProvider(GuthiError):
    """Functions of that name were known, but every node that had one is gone."""


class WorkerDied(GuthiError):
    """The process that ran a function died under it."""


class Overloaded(GuthiError):
    """Every node that could be asked has its queue full; the function has not run."""


class OutcomeUnknown(GuthiError):
    """The node that ran a call with a key was lost before it had told of the result: it may have had its effect."""


class Undecided(GuthiError):
    """Too few nodes could tell whether a call with a key has run before; it has not run now, and may be tried again."""


class PartialResult(GuthiError):
    """Fewer nodes answered than was asked for; `gathered` tells who did, and what became of the others."""

    def __init__(self, message: str, gathered: object = None) -> None:
        super().__init__(message)
        self.gathered = gathered


class NotComputed(Exception):
    """Inside rpc: the node, not the function, is to blame for `reason`; `was_begun` where the function may have run."""

    def __init__(self, reason: GuthiError, *, was_begun: bool) -> None:
        super().__init__(str(reason))
        self.reason, self.was_begun = reason, was_begun


TRAVELLING = (CodeRefused, NoProvider, OutcomeUnknown, Overloaded, Undecided, UnknownFunction, WorkerDied)
"""Errors that keep their class on their way to another node."""
