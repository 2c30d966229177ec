"""The hooks that the plugin brings: through them other plugins show themselves.

An implementation is marked `@guthi.hookimpl(optionalhook=True)`, so that its plugin also runs where `web` does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import guthi

if TYPE_CHECKING:
    from guthi_web.measures import Measure
    from guthi_web.service import Web
    from guthi_web.views import View

__all__ = ["WebHooks"]


class WebHooks:
    """The hooks of the plugin web."""

    @guthi.hookspec
    def web_routes(self, web: Web) -> None:
        """The server is being put together: add paths to `web.app`, and folders by `web.serve_files`."""

    @guthi.hookspec
    def web_views(self) -> Sequence[View]:
        """What can be seen of this plugin: each is `GET /api/NAME`, and is followed live by pages."""
        return ()

    @guthi.hookspec
    def web_measures(self) -> Sequence[Measure]:
        """What `/metrics` says of this plugin; called at each scrape."""
        return ()
