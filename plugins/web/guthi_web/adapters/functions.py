"""The global function store of the plugin `rpc`: what there is, what runs, and calls from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from fastapi import Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from guthi import GuthiError, Node, Service
from guthi_web.service import Web
from guthi_web.views import View, as_json

__all__ = ["add"]

LONGEST_CALL_S = 3600.0
MOST_ITEMS = 100_000


class _Functions(Protocol):
    """What is used of the service `RPC`."""

    def functions(self) -> Sequence[Any]: ...
    def maps(self) -> Sequence[Any]: ...
    def in_flight(self) -> tuple[int, int]: ...
    async def call(self, name: str, /, *arguments: Any, on: str | None, timeout: float | None, **named: Any) -> Any: ...
    def map(self, name: str, items: Iterable[Any], *, star: bool, errors: str, timeout: float | None) -> Any: ...


FUNCTIONS: Service[_Functions] = Service("rpc")


class Call(BaseModel):
    """A call: positional arguments, named ones, and which node is to run it."""

    arguments: list[Any] = Field(default_factory=list)
    named: dict[str, Any] = Field(default_factory=dict)
    on: str | None = Field(None, description="The name or id of a node; without it whoever has most room.")
    timeout_s: float = Field(60.0, gt=0, le=LONGEST_CALL_S)


class Map(BaseModel):
    """A call for each item."""

    items: list[Any] = Field(max_length=MOST_ITEMS)
    star: bool = Field(False, description="An item is a list of arguments.")
    timeout_s: float = Field(60.0, gt=0, le=LONGEST_CALL_S, description="For one item.")


def add(node: Node, web: Web) -> None:
    """Views and calls, where there is the service."""
    if FUNCTIONS not in node.services:
        return
    rpc, clock = node.require(FUNCTIONS), asyncio.get_running_loop().time
    web.add_view(View("functions", "The global function store.", lambda: [_function(each) for each in rpc.functions()]))
    web.add_view(
        View("maps", "Maps that this node runs, or ran of late.", lambda: [_map(m, clock()) for m in rpc.maps()], 0.5)
    )
    web.add_view(View("calls", "How many calls this node runs, and waits for.", lambda: _calls(rpc), 0.5))

    @web.app.post("/api/functions/{name}", tags=["functions"])
    async def call(name: str, call: Call) -> Response:
        """Call a function by name and return its value; what is no JSON is returned as text."""
        try:
            value = await rpc.call(name, *call.arguments, on=call.on, timeout=call.timeout_s, **call.named)
        except GuthiError:
            raise
        except Exception as error:  # noqa: BLE001 - the function's own, which is an answer here
            failure = {"error": type(error).__name__, "message": str(error), "notes": getattr(error, "__notes__", [])}
            return Response(as_json(failure), 500, media_type="application/json")
        return Response(as_json(value), media_type="application/json")

    @web.app.post("/api/functions/{name}/map", tags=["functions"])
    async def run_map(name: str, run: Map) -> StreamingResponse:
        """Call a function for each item, on all nodes that have it; a JSON line a result, as they come.

        The last line has an `error` instead, if the map could not be ended. To close the connection ends the map.
        """
        return StreamingResponse(_lines(rpc, name, run), media_type="application/x-ndjson")


async def _lines(rpc: _Functions, name: str, run: Map) -> AsyncIterator[str]:
    try:
        async with aclosing(rpc.map(name, run.items, star=run.star, errors="return", timeout=run.timeout_s)) as results:
            async for result in results:
                failure = f"{type(result.error).__name__}: {result.error}" if result.error is not None else None
                yield (
                    as_json(
                        {"item": result.item, "value": result.value if failure is None else None, "failure": failure}
                    )
                    + "\n"
                )
    except GuthiError as error:
        yield json.dumps({"error": type(error).__name__, "message": str(error)}) + "\n"


def _function(info: Any) -> dict[str, Any]:
    return {
        "name": info.name,
        "signature": info.signature,
        "doc": info.doc,
        "run": "stream" if info.yields else info.run.value,
        "nodes": list(info.providers),
        "conflicts": list(info.conflicts),
    }


def _calls(rpc: _Functions) -> dict[str, int]:
    running, waited_for = rpc.in_flight()
    return {"running": running, "waited_for": waited_for}


def _map(progress: Any, now: float) -> dict[str, Any]:
    remaining_s = progress.remaining_s(now) if progress.ended_at is None else 0.0
    return {
        "function": progress.function,
        "total": progress.total,
        "done": progress.done,
        "failed": progress.failed,
        "again": progress.again,
        "copies": progress.copies,
        "is_over": progress.ended_at is not None,
        "seconds": round((progress.ended_at or now) - progress.started_at, 1),
        "remaining_s": round(remaining_s, 1) if remaining_s is not None else None,
        "nodes": {
            name: {"in_hand": part.in_hand, "done": part.done, "seconds": round(part.seconds, 3), "losses": part.losses}
            for name, part in sorted(progress.nodes.items())
        },
    }
