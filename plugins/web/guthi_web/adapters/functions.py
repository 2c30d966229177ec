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
from guthi_web.adapters import durations
from guthi_web.measures import Measure
from guthi_web.service import Web
from guthi_web.views import View, as_json

__all__ = ["add", "measures"]

LONGEST_CALL_S = 3600.0
MOST_ITEMS = 100_000


class _Calls(Protocol):
    """What is used of its calls, in which a function's own `on` or `timeout` is an argument like others."""

    async def call(self, name: str, /, *arguments: Any, **named: Any) -> Any: ...


class _Functions(durations.HasDurations, Protocol):
    """What is used of the service `RPC`."""

    def functions(self) -> Sequence[Any]: ...
    def maps(self) -> Sequence[Any]: ...
    def in_flight(self) -> tuple[int, int]: ...
    def options(self, *, on: str | None, timeout: float | None) -> _Calls: ...
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
    durations.serve(node, rpc)

    def rows() -> list[dict[str, Any]]:
        here = rpc.durations()
        return [_function(each, here.get(each.name), node.name) for each in rpc.functions()]

    async def took() -> list[dict[str, Any]]:
        return await durations.durations_of_all(node, rpc)

    web.add_view(View("functions", "The global function store, and what its calls took here.", rows))
    web.add_view(View("durations", "How long functions took, on all nodes that run web.", took, 5.0))
    web.add_view(
        View("maps", "Maps that this node runs, or ran of late.", lambda: [_map(m, clock()) for m in rpc.maps()], 0.5)
    )
    web.add_view(View("calls", "How many calls this node runs, and waits for.", lambda: _calls(rpc), 0.5))

    @web.app.post("/api/functions/{name}", tags=["functions"])
    async def call(name: str, call: Call) -> Response:
        """Call a function by name and return its value; what is no JSON is returned as text."""
        try:
            calls = rpc.options(on=call.on, timeout=call.timeout_s)
            value = await calls.call(name, *call.arguments, **call.named)
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


def measures(node: Node) -> Sequence[Measure]:
    """How long this node's functions took."""
    return durations.measures(node.require(FUNCTIONS)) if FUNCTIONS in node.services else ()


def _function(info: Any, here: durations.Figures | None, me: str) -> dict[str, Any]:
    return {
        "name": info.name,
        "signature": info.signature,
        "doc": info.doc,
        "run": "stream" if info.yields else info.run.value,
        "nodes": list(info.providers),
        "conflicts": list(info.conflicts),
        "here": durations.shown(here) if here is not None and me in info.providers else None,
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
