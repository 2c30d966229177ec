"""What can go wrong with an event that is kept for a node that may fail."""

from __future__ import annotations

from guthi.errors import GuthiError

__all__ = ["EventAbandoned", "EventNotSaved", "EventTaken", "PendingFull"]


class EventTaken(GuthiError):
    """The event is not, or not any more, in this node's hands: another has taken it up, or it is done or dropped."""


class EventAbandoned(GuthiError):
    """The event was tried as often as it may be, and is not offered any more; the message has the last reason."""


class PendingFull(GuthiError):
    """The node keeps as many events, or as many bytes of them, as it may."""


class EventNotSaved(GuthiError):
    """The keeper could not write a durable event to its disk; the message says why. In memory it is as it should be."""
