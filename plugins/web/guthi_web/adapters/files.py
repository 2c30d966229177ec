"""The tree of the plugin `gutfs`: exports, caches, folders, and conflicts that wait for a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, Protocol

from fastapi import Query, Response
from pydantic import BaseModel, Field

from guthi import Node, Service
from guthi_web.service import Web
from guthi_web.views import View, as_json

__all__ = ["add"]

MOST_ROWS = 10_000
LONGEST_PATH = 4096
CONFLICTS_PATIENCE_S = 10.0


class _Files(Protocol):
    """What is used of the service `GUTFS`."""

    async def list(self, path: str) -> Sequence[Any]: ...
    async def nodes(self) -> Sequence[Any]: ...
    async def caches(self) -> dict[str, dict[str, int]]: ...
    def cache(self) -> Any: ...
    async def conflicts(self, path: str) -> Sequence[Any]: ...
    async def resolve(self, copy: str, *, keep: Literal["original", "copy"]) -> None: ...


FILES: Service[_Files] = Service("gutfs")


class Decision(BaseModel):
    """What becomes of a conflict: which of the two is kept."""

    copy_path: str = Field(max_length=LONGEST_PATH)
    keep: Literal["original", "copy"]


def add(node: Node, web: Web) -> None:
    """The view, the folders and the conflicts, where there is the service."""
    if FILES not in node.services:
        return
    files = node.require(FILES)

    async def state() -> list[dict[str, Any]]:
        usages = {**await files.caches(), node.name: asdict(files.cache())}
        exporters = {each.name: each for each in await files.nodes()}
        return [_node(name, exporters.get(name), usages.get(name)) for name in sorted({*exporters, *usages})]

    web.add_view(View("files", "Who exports which folders, and what the caches of nodes hold.", state, every_s=5.0))

    @web.app.get("/api/files/list", tags=["files"])
    async def listing(path: Annotated[str, Query(max_length=LONGEST_PATH)] = "/") -> Response:
        """What is in a folder of the tree."""
        rows = [_entry(each) for each in (await files.list(path))[:MOST_ROWS]]
        return Response(as_json(rows), media_type="application/json")

    @web.app.get("/api/files/conflicts", tags=["files"])
    async def conflicts(path: Annotated[str, Query(max_length=LONGEST_PATH)] = "/") -> Response:
        """The copies below a folder that were kept because two writes knew not of each other."""
        async with asyncio.timeout(CONFLICTS_PATIENCE_S):
            found = await files.conflicts(path)
        return Response(as_json([asdict(each) for each in found[:MOST_ROWS]]), media_type="application/json")

    @web.app.post("/api/files/conflicts", tags=["files"], status_code=204)
    async def resolve(decision: Decision) -> None:
        """Decide about one of them."""
        await files.resolve(decision.copy_path, keep=decision.keep)


def _node(name: str, exporter: Any, usage: dict[str, int] | None) -> dict[str, Any]:
    return {
        "name": name,
        "exports": [f"{at} ({how})" for at, how in exporter.exports] if exporter is not None else [],
        "clock_offset_s": exporter.clock_offset_s if exporter is not None else None,
        "cache": usage,
    }


def _entry(info: Any) -> dict[str, Any]:
    return {
        "name": info.name,
        "path": info.path,
        "is_folder": info.is_folder,
        "size_bytes": None if info.is_folder else info.size_bytes,
        "modified_s": info.modified_s,
        "nodes": list(info.nodes),
    }
