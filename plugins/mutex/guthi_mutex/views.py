"""The service `VIEWS`: which nodes decide together now, and until when this node may be sure that they still do.

It is what locks stand on (see `agreement` and `leases`), offered to other plugins that need a majority. A node that is
sure of its view at some moment knows that no other view has been installed anywhere until then: one with it needs its
promise, and from its promise on it is not sure any more; one without it waits until its lease has run out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from guthi import Service
from guthi_mutex.view import View

__all__ = ["VIEWS", "Views"]


class Views:
    """The view of one node; `rely` is how it is told whether somebody here needs one."""

    def __init__(self, rely: Callable[[bool], None], lease_s: float) -> None:
        self.lease_s = lease_s
        """How long a lease lasts, as this node is configured, in seconds."""
        self.rely = rely
        """Say whether a view, and a lease in it, is needed here: they are made, and renewed, as long as one is."""
        self.view: View | None = None
        """The newest view that is known, if this node is in it; it may be replaced already where `until` is over."""
        self.until = -inf
        """Until when, in loop time, it is certain that no other view has been installed; often in the past."""
        self.listeners: list[Callable[[], None]] = []
        """Plain functions that are called whenever the view is another one, or is certain again, or is so no more."""

    def update(self, view: View | None, until: float, now: float) -> None:
        """By the keeper: what is known at `now`."""
        was_certain, is_certain = now < self.until, now < until
        is_news = view is not self.view or was_certain != is_certain
        self.view, self.until = view, until
        if is_news:
            for listener in tuple(self.listeners):
                listener()


VIEWS: Service[Views] = Service("views")
"""The views and leases below the locks, for plugins that need agreement: `node.require(VIEWS)`."""
