"""What can go wrong with a variable."""

from __future__ import annotations

from guthi.errors import GuthiError, UsageError

__all__ = [
    "ConstantWritten",
    "SourceUnreachable",
    "TableFull",
    "TypeMismatch",
    "Unavailable",
    "UnknownVariable",
    "ValueUnavailable",
    "VariableExists",
]


class UnknownVariable(UsageError, LookupError):
    """No variable has that name, or it has been deleted."""


class VariableExists(UsageError):
    """A variable of that name was created before."""


class TypeMismatch(UsageError, TypeError):
    """A value is not of the type that the variable was created with."""


class ConstantWritten(UsageError):
    """A constant was to be written."""


class ValueUnavailable(GuthiError):
    """No node that can be reached has the newest version that is known here."""


class Unavailable(GuthiError):
    """A coherent variable cannot be read or written here now: this node does not reach a majority.

    What was to be written may have been, or be yet, where the message says so.
    """


class SourceUnreachable(GuthiError):
    """The node that wrote the newest version cannot be reached, and only it can compare before it writes."""


class TableFull(GuthiError):
    """There are as many variables, or chunks of arrays, as a node may know, or as many bytes as it may keep."""
