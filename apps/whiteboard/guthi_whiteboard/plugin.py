"""The plugin `whiteboard`: connects boards with the node's files, its web server and its members."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import guthi
from guthi_gutfs import GUTFS, Gutfs
from guthi_web import WEB
from guthi_whiteboard.admitting import Bounds
from guthi_whiteboard.service import WHITEBOARD, Whiteboard

if TYPE_CHECKING:
    from guthi_web import View, Web
    from guthi_whiteboard.endpoint import Endpoint

__all__ = ["WhiteboardConfig", "WhiteboardPlugin"]


@dataclass(frozen=True)
class WhiteboardConfig:
    """The table [plugins.whiteboard]."""

    folder: str = "/whiteboards"
    """Where in the tree of [files](gutfs.md) the boards are; the node has to export a folder with `sync` there."""
    most_pages: int = 50
    """How many pages of this node may be open."""
    most_objects: int = 250_000
    """How many objects a board may have, those that were deleted included. Should be the same on all nodes."""
    most_bytes: guthi.Size = 256 << 20
    """How large all objects of a board may be together. Should be the same on all nodes."""

    def __post_init__(self) -> None:
        if min(self.most_pages, self.most_objects, self.most_bytes) < 1:
            raise ValueError("most_pages, most_objects and most_bytes must be 1 or more")
        if not self.folder.startswith("/") or self.folder.endswith("/"):
            raise ValueError(f'folder = "{self.folder}" is not a path of the tree; write for example "/whiteboards"')


class WhiteboardPlugin(guthi.Plugin):
    """Draw together, with no server."""

    name = "whiteboard"
    requires = (GUTFS, WEB)
    provides = (WHITEBOARD,)
    Config: ClassVar[type] = WhiteboardConfig

    def __init__(self, node: guthi.Node, config: WhiteboardConfig) -> None:
        super().__init__(node, config)
        self._whiteboard: Whiteboard | None = None
        self._endpoint: Endpoint | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service. Raises ConfigError where the boards have no replicated folder to be in."""
        from guthi_whiteboard.endpoint import Endpoint

        fs, config = self.node.require(GUTFS), self.config
        await self._require_folder(fs)
        bounds = Bounds(config.most_objects, config.most_bytes)
        self._whiteboard = Whiteboard(self.node, fs, config.folder, bounds)
        self._endpoint = Endpoint(self.node, self._whiteboard, config.most_pages)
        stack.push_async_callback(self._whiteboard.close)
        self.node.provide(WHITEBOARD, self._whiteboard)

    async def _require_folder(self, fs: Gutfs) -> None:
        folder = self.config.folder
        for exporter in await fs.nodes():
            is_here = any(words == "sync" and f"{folder}/".startswith(f"{at}/") for at, words in exporter.exports)
            if exporter.name == self.node.name and is_here:
                return
        raise guthi.ConfigError(
            f"[plugins.whiteboard]: the boards are in {folder}, of which this node keeps no replica; make a folder "
            f'"boards", and write in [plugins.gutfs]: exports = ["./boards:{folder}:sync"]'
        )

    @guthi.hookimpl(optionalhook=True)
    def web_views(self) -> Sequence[View]:
        """`GET /api/boards`."""
        from guthi_web import View

        return [View("boards", "Every whiteboard.", self._endpoint.boards)] if self._endpoint is not None else []

    @guthi.hookimpl(optionalhook=True)
    def web_routes(self, web: Web) -> None:
        """The page."""
        if self._endpoint is not None:
            self._endpoint.add_to(web)

    def _gone(self, member: guthi.Member) -> None:
        if self._whiteboard is not None:
            self._whiteboard.gone(member.id)

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """Who was on it is not here any more."""
        self._gone(member)

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """Likewise."""
        self._gone(member)
