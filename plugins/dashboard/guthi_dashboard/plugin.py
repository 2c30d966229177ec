"""The plugin `dashboard`: serves one page and tells it which tabs there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import guthi
from guthi_dashboard.hooks import DashboardHooks
from guthi_dashboard.panel import Panel
from guthi_dashboard.panels import FILES, PANELS
from guthi_web import WEB

if TYPE_CHECKING:
    from guthi_web import Web

__all__ = ["DashboardPlugin"]

PAGE = Path(__file__).parent / "page"


class DashboardPlugin(guthi.Plugin):
    """The network in a browser."""

    name = "dashboard"
    requires = (WEB,)
    hookspecs = DashboardHooks

    @guthi.hookimpl
    def web_routes(self, web: Web) -> None:
        """The page, its files, and the tabs."""
        from fastapi import Response
        from starlette.responses import FileResponse

        web.access.publish("/")
        web.serve_files(FILES, PAGE)

        @web.app.get("/", include_in_schema=False)
        async def page() -> Response:
            return FileResponse(PAGE / "index.html", media_type="text/html; charset=utf-8")

        @web.app.get("/api/panels", tags=["dashboard"])
        async def panels() -> list[dict[str, Any]]:
            """The tabs of the dashboard, in order."""
            return [panel.described() for panel in self._panels(web)]

        @web.app.get("/api/access", tags=["dashboard"])
        async def access() -> dict[str, bool]:
            """Whether a page may be opened without a token."""
            return {"is_open": not web.access.needs_token}

    def _panels(self, web: Web) -> list[Panel]:
        """Of two of one name the one that a plugin adds."""
        views = {view.name for view in web.views()}
        added = [panel for some in self.node.hooks.gather("dashboard_panels") for panel in some]
        named = {panel.name: panel for panel in [*PANELS, *added] if panel.views and panel.views[0] in views}
        return sorted(named.values(), key=lambda panel: (panel.order, panel.title))
