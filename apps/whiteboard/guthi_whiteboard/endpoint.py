"""What the node's web server has of the app: the page, its files, and a websocket for each page that is open."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import FileResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from guthi import GuthiError, MalformedMessage, UsageError
from guthi_whiteboard.asking import Hello, reason_of, said
from guthi_whiteboard.seat import HELLO_PATIENCE_S, POLICY_VIOLATED, UNREADABLE, Seat
from guthi_whiteboard.service import Whiteboard

if TYPE_CHECKING:
    from guthi import Node
    from guthi_web import Web

__all__ = ["PAGE", "Endpoint"]

PAGE: Final = Path(__file__).parent / "page"
TRY_AGAIN_LATER: Final = 1013

log = logging.getLogger("guthi_whiteboard")


class Endpoint:
    """The pages of one node; at most `most` are served."""

    def __init__(self, node: Node, whiteboard: Whiteboard, most: int) -> None:
        self._node, self._whiteboard, self._most = node, whiteboard, most
        self._pages = 0

    def add_to(self, web: Web) -> None:
        """Serve."""
        web.access.publish("/whiteboard")
        web.serve_files("/whiteboard/page", PAGE)
        web.app.add_api_route("/whiteboard", _index, include_in_schema=False)
        web.app.add_api_websocket_route("/api/whiteboard/{name:path}", self.follow)

    async def follow(self, websocket: WebSocket) -> None:
        """One page, as long as it is open. See `asking` for what it says, `seat` for what it is told."""
        await websocket.accept()
        if self._pages >= self._most:
            await websocket.close(TRY_AGAIN_LATER, f"{self._most} pages are open already")
            return
        self._pages += 1
        try:
            await self._serve(websocket)
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await websocket.close(TRY_AGAIN_LATER, "nothing was said")  # a machine that slept, or has much to do
        except MalformedMessage as error:
            await websocket.close(UNREADABLE, reason_of(error))
        except UsageError as error:
            await websocket.close(POLICY_VIOLATED, reason_of(error))
        except GuthiError as error:
            log.warning("the board %.80r cannot be opened: %s", websocket.path_params["name"], error)
            await websocket.close(TRY_AGAIN_LATER, reason_of(error))
        finally:
            self._pages -= 1

    async def _serve(self, websocket: WebSocket) -> None:
        async with asyncio.timeout(HELLO_PATIENCE_S):
            hello = said(await _text(websocket))
        if not isinstance(hello, Hello):
            raise MalformedMessage("a page says hello first")
        async with self._whiteboard.open(websocket.path_params["name"]) as room:
            await Seat(room, websocket, hello, self._node.name).serve()

    async def boards(self) -> list[dict[str, Any]]:
        """For the list of boards."""
        return [{"name": name} for name in await self._whiteboard.boards()]


async def _text(websocket: WebSocket) -> str:
    try:
        return await websocket.receive_text()
    except KeyError:
        raise MalformedMessage("a page speaks JSON") from None


async def _index() -> Response:
    return FileResponse(PAGE / "index.html", media_type="text/html; charset=utf-8")
