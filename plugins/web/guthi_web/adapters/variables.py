"""The variables of the plugin `dvar`: names, types, versions, where they are kept; values are fetched one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from fastapi import Response

from guthi import GuthiError, Node, Service
from guthi_web.service import Web
from guthi_web.views import View, as_json

__all__ = ["add"]

MOST_ROWS = 10_000
LONGEST_SHOWN = 10_000
ROWS_A_TURN = 500


class _Variables(Protocol):
    """What is used of the service `DVAR`."""

    def names(self) -> Sequence[str]: ...
    async def info(self, name: str) -> Any: ...
    async def get(self, name: str) -> Any: ...


VARIABLES: Service[_Variables] = Service("dvar")


def add(node: Node, web: Web) -> None:
    """The view and the values, where there is the service."""
    if VARIABLES not in node.services:
        return
    dvar = node.require(VARIABLES)
    web.add_view(View("variables", "The distributed variables that this node knows.", lambda: _rows(dvar)))

    @web.app.get("/api/variables/{name:path}", tags=["variables"])
    async def value(name: str) -> Response:
        """The value of a variable; of a large array only how large it is."""
        info = await dvar.info(name)
        size = 1
        for length in info.shape or ():
            size *= length
        if size > LONGEST_SHOWN:
            return Response(as_json({"shape": info.shape, "type": info.type}), media_type="application/json")
        return Response(as_json({"value": await dvar.get(name)}), media_type="application/json")


async def _rows(dvar: _Variables) -> list[dict[str, Any]]:
    rows = []
    for number, name in enumerate(dvar.names()[:MOST_ROWS]):
        if number % ROWS_A_TURN == ROWS_A_TURN - 1:
            await asyncio.sleep(0)  # others have their turn
        try:
            rows.append(_row(await dvar.info(name)))
        except GuthiError:
            continue  # deleted meanwhile
    return rows


def _row(info: Any) -> dict[str, Any]:
    return {
        "name": info.name,
        "type": info.type,
        "shape": list(info.shape) if info.shape is not None else None,
        "constant": info.is_constant,
        "coherence": info.coherence,
        "version": info.version,
        "source": info.source,
        "places": list(info.places),
        "is_valid": info.is_valid,
    }
