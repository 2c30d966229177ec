"""Real nodes on loopback with a web server each, and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tests.kernel.nodes import Line

import guthi
from guthi.security.keyring import ClusterKey
from guthi_web import WEB

KEY = ClusterKey(b"k" * 32)


def a_web_node(
    name: str,
    *join: guthi.Node,
    plugins: Sequence[str] = ("web",),
    classes: Sequence[type[guthi.Plugin]] = (),
    web: dict[str, Any] | None = None,
    key: ClusterKey | None = None,
    line: Line | None = None,
    tables: dict[str, Any] | None = None,
) -> guthi.Node:
    """A node that joins the given ones; `web` is its table [plugins.web], `tables` are those of others."""
    node = {"name": name, "join": [str(each.address) for each in join], "join_timeout": "30s", "plugins": list(plugins)}
    quick = {"timeout": "5s", "keepalive": "500ms", "handshake_timeout": "5s"}
    settings: dict[str, Any] = {**({"web": web} if web else {}), **(tables or {})}
    mapping: dict[str, Any] = {"node": node, "transport": quick, "plugins": settings}
    if key is not None:
        mapping["security"] = {"cluster_key": key.text()}
    return guthi.Node(guthi.Config.from_mapping(mapping, environment={}), plugins=classes, host=line)


@asynccontextmanager
async def a_client(node: guthi.Node, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of a node's server."""
    async with httpx.AsyncClient(base_url=node.require(WEB).url, headers=headers, timeout=60) as client:
        yield client
