"""Networks of nodes that run in threads of this process, for tests that call from plain threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import guthi
from guthi_rpc import RPC

__all__ = ["peer", "peers"]


def peer(name: str, join: str = "", **rpc: Any) -> guthi.BlockingNode:
    """Start a node; `rpc` is its table [plugins.rpc]. It loses nobody because the process has to wait."""
    node = {"name": name, "listen": "127.0.0.1:0", "plugins": ["rpc"], "join": [join] if join else []}
    tables: dict[str, Any] = {"node": node, "plugins": {"rpc": rpc}, "transport": {"timeout": "50s"}}
    return guthi.BlockingNode(guthi.Config.from_mapping(tables, environment={}))


@contextmanager
def peers(*names: str, **rpc: Any) -> Iterator[tuple[dict[str, guthi.BlockingNode], Any]]:
    """Nodes of these names, and the service of a client of theirs."""
    with ExitStack() as stack:
        nodes: dict[str, guthi.BlockingNode] = {}
        for name in names:
            first = str(nodes[names[0]].address) if nodes else ""
            nodes[name] = stack.enter_context(peer(name, first, **rpc))
        client = stack.enter_context(guthi.connect(join=[str(nodes[names[0]].address)]))
        yield nodes, client.require(RPC)
