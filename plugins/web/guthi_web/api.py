"""The paths that every node has: health, metrics, logging in, views, and joining another network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from guthi import Address, ConfigError, GuthiError, JoinFailed, Node, PeerLost, UsageError
from guthi_web.access import Access
from guthi_web.gate import address_of, too_many_guesses
from guthi_web.guesses import Guesses
from guthi_web.live import Live
from guthi_web.measures import Measure, exposition, measures_of
from guthi_web.views import View, Views, as_json

__all__ = ["add_views", "make_app", "status_of"]

JSON = "application/json"
LONGEST_LIST = 10_000
ROWS_A_TURN = 500
JOIN_TIMEOUT_S = 5.0
COOKIE_LIFE_S = 7 * 24 * 3600


class Login(BaseModel):
    """What opens the server."""

    token: str = Field(max_length=512)


class NewNode(BaseModel):
    """A node of a network to join."""

    address: str = Field(max_length=300, examples=["10.0.0.5:6969"])


def make_app(node: Node, access: Access, guesses: Guesses, views: Views, live: Live) -> FastAPI:
    """The app of a node, without the views; nothing in it is loaded from other sites."""
    app = FastAPI(
        title="Guthi node",
        description="One node of a Guthi network. Lists take `offset`, `limit` and `contains`; "
        "`X-Total-Count` says how many rows there are.",
        version="1",
        docs_url=None,  # these two load their scripts from a content delivery network
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.add_exception_handler(GuthiError, _failed)
    app.add_exception_handler(TimeoutError, _failed)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _not_there)
    _add_operations(app, node, live)
    _add_login(app, access, guesses)
    _add_joining(app, node)
    return app


async def _failed(request: Request, error: Exception) -> Response:
    return _json({"error": type(error).__name__, "message": str(error)}, status_of(error))


async def _not_valid(request: Request, error: Exception) -> Response:
    """What was sent is not told back: it may be no JSON."""
    assert isinstance(error, RequestValidationError)
    wrong = [{"loc": each["loc"], "msg": each["msg"], "type": each["type"]} for each in error.errors()]
    message = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong)
    return _json({"error": "NotValid", "message": message, "detail": wrong}, 422)


async def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {"error": HTTPStatus(error.status_code).phrase, "message": str(error.detail)}
    return _json(text, error.status_code, error.headers)


def _json(value: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(as_json(value), status, headers, media_type=JSON)


def status_of(error: Exception) -> int:
    """The HTTP status that says best what an error says."""
    if isinstance(error, LookupError | FileNotFoundError):
        return 404
    if isinstance(error, UsageError):
        return 422
    return 504 if isinstance(error, TimeoutError | JoinFailed | PeerLost) else 502


def _add_operations(app: FastAPI, node: Node, live: Live) -> None:
    @app.get("/healthz", tags=["operations"], response_class=PlainTextResponse)
    async def healthz() -> str:
        """Whether the node's loop turns: `ok`."""
        return "ok\n"

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        brought: Sequence[Sequence[Measure]] = node.hooks.gather("web_measures")
        measures = [*measures_of(node, live.pages), *(each for some in brought for each in some)]
        return Response(exposition(measures), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.websocket("/api/live")
    async def follow(websocket: WebSocket) -> None:
        """Send {"watch": ["nodes"]}; receive {"view": "nodes", "data": [...]} at each change."""
        await live.serve(websocket)


def _add_login(app: FastAPI, access: Access, guesses: Guesses) -> None:
    @app.post("/api/login", tags=["access"], status_code=204)
    async def login(login: Login, request: Request) -> Response:
        """Give a browser a cookie for the token; 401 where it is not good, 429 after some that were not."""
        address, now = address_of(request.scope), asyncio.get_running_loop().time()
        if (wait_s := guesses.wait_s(address, now)) > 0:
            refusal = too_many_guesses(wait_s)
            headers = {"retry-after": str(refusal.retry_after_s)}
            return _json({"error": "Refused", "message": refusal.reason}, refusal.status, headers)
        if not access.is_token(login.token.strip()):
            guesses.wrong(address, now)
            return _json({"error": "Refused", "message": "that is not the token"}, 401)
        response = Response(status_code=204)
        response.set_cookie(
            access.cookie,
            access.cookie_for(login.token.strip()),
            max_age=COOKIE_LIFE_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @app.post("/api/logout", tags=["access"], status_code=204)
    async def logout() -> Response:
        """Take the cookie away."""
        response = Response(status_code=204)
        response.delete_cookie(access.cookie, httponly=True, samesite="strict")
        return response


def _add_joining(app: FastAPI, node: Node) -> None:
    @app.post("/api/nodes", tags=["network"])
    async def join(new: NewNode) -> dict[str, str]:
        """Join the network of a node, by its address and port; all that both know become one network."""
        address = Address.parse(new.address.strip())
        resolved = await node.host.resolve(address)
        if not resolved or address.port == 0:
            raise ConfigError(f"there is no {address}; write a name or address, and a port")
        await node.network.join([address], JOIN_TIMEOUT_S)
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                while (found := _at(node, resolved)) is None:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise JoinFailed(
                f"no answer from {address} within {JOIN_TIMEOUT_S:g} s; check that a node runs there, that UDP is "
                "let through, and that it has the same cluster key"
            ) from None
        return {"joined": found}


def _at(node: Node, addresses: Sequence[Address]) -> str | None:
    """The name of the member at one of the addresses."""
    for member in [*node.members, node.me]:
        if not set(member.addresses).isdisjoint(addresses):
            return member.name
    return None


def add_views(app: FastAPI, views: Views, chosen: Sequence[View]) -> None:
    """`GET /api/NAME` for each of them."""
    for view in chosen:
        app.get(f"/api/{view.name}", tags=["views"], summary=view.what, name=view.name)(_reader(views, view.name))


def _reader(views: Views, name: str) -> Callable[..., Coroutine[Any, Any, Response]]:
    async def read(
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=0, le=LONGEST_LIST)] = 1000,
        contains: Annotated[str, Query(max_length=200, description="Only rows that have this text in them.")] = "",
    ) -> Response:
        snapshot = await views.read(name)
        if not isinstance(snapshot.data, list):
            return Response(snapshot.text, media_type=JSON)
        rows = snapshot.data if not contains else await _filtered(snapshot.data, contains.casefold())
        chosen = rows[offset : offset + limit]
        text = snapshot.text if len(chosen) == len(snapshot.data) else as_json(chosen)
        return Response(text, media_type=JSON, headers={"x-total-count": str(len(rows))})

    return read


async def _filtered(rows: Sequence[Any], text: str) -> list[Any]:
    found = []
    for number, row in enumerate(rows):
        if number % ROWS_A_TURN == ROWS_A_TURN - 1:
            await asyncio.sleep(0)  # others have their turn
        if text in as_json(row).casefold():
            found.append(row)
    return found
