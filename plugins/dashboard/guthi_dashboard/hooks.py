"""The hook that the plugin brings: through it other plugins add tabs."""

from __future__ import annotations

from collections.abc import Sequence

import guthi
from guthi_dashboard.panel import Panel

__all__ = ["DashboardHooks"]


class DashboardHooks:
    """The hooks of the plugin dashboard."""

    @guthi.hookspec
    def dashboard_panels(self) -> Sequence[Panel]:
        """The tabs that a plugin adds; mark it `@guthi.hookimpl(optionalhook=True)`."""
        return ()
