"""The service `WEB`: this node's web server, to which other plugins add what they have to show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guthi import Address, Service

if TYPE_CHECKING:
    from fastapi import FastAPI

    from guthi_web.access import Access
    from guthi_web.views import View, Views

__all__ = ["WEB", "Web"]


class Web:
    """One instance a node. What is added after the start is served too, but is missing in the API's description."""

    def __init__(self, app: FastAPI, access: Access, views: Views, address: Address, is_secure: bool) -> None:
        self.app = app
        self.access = access
        self._views, self._is_secure = views, is_secure
        self.address = address

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        return f"{'https' if self._is_secure else 'http'}://{self.address.from_here}/"

    def add_view(self, view: View) -> None:
        """Something more to look at; raises UsageError for a name that is taken."""
        self._views.add(view)

    def nudge(self, name: str) -> None:
        """A view has changed: pages that follow it are told within about a tenth of a second."""
        self._views.nudge(name)

    def views(self) -> list[View]:
        """What there is to look at."""
        return list(self._views)

    def serve_files(self, path: str, folder: Path) -> None:
        """Serve the files of a folder under `path`, to anybody: pages and scripts, nothing about the network."""
        from starlette.staticfiles import StaticFiles

        self.app.mount(path, StaticFiles(directory=folder), name=path.strip("/"))
        self.access.publish(f"{path.rstrip('/')}/")


WEB: Service[Web] = Service("web")
"""What the plugin web provides: `node.require(WEB)`."""
