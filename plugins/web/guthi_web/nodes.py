"""The views of the kernel itself: all nodes, who is connected to whom, and this node."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from guthi import Address, MalformedMessage, Member, MemberState, Node, NodeId
from guthi_web.asking import ask_all
from guthi_web.views import View

__all__ = ["LINKS", "Links", "node_views"]

LINKS = "web.links"
SECRETIVE = ("key", "token", "secret", "password", "credential")


def node_views(node: Node, links: Links) -> list[View]:
    """Those that are always there."""
    started_at = asyncio.get_running_loop().time()
    return [
        View("nodes", "Every member of the network, as this node sees it.", lambda: _nodes(node)),
        View("links", "Which nodes have open sessions, as each says itself.", links.read, every_s=5.0),
        View(
            "self",
            "This node: identity, addresses, keys' fingerprints, configuration.",
            lambda: _self(node, started_at),
        ),
    ]


def _nodes(node: Node) -> list[dict[str, Any]]:
    known = [each for each in node.network.membership.snapshot() if each.state is not MemberState.LEFT]
    everybody = {each.id: each for each in [*known, node.me]}
    return [_row(node, each) for each in sorted(everybody.values(), key=lambda each: (each.name, each.id))]


def _row(node: Node, member: Member) -> dict[str, Any]:
    rtt_s, verdict = node.network.endpoint.round_trip_s(member.id), member.verdict
    said = None
    if verdict is not None:
        said = f"{node.network.name_of(verdict.accuser)} ({verdict.path}): {verdict.evidence}"
    address = node.address if member.id == node.id else member.addresses[0]
    return {
        "id": str(member.id),
        "name": member.name,
        "address": address.host,
        "port": address.port,
        "zone": member.zone,
        "role": member.role.name.lower(),
        "state": member.state.name.lower(),
        "verdict": said,
        "rtt_ms": round(rtt_s * 1000, 2) if rtt_s is not None else None,
        "plugins": dict(member.plugins),
        "is_me": member.id == node.id,
    }


class Links:
    """Who has sessions with whom."""

    def __init__(self, node: Node) -> None:
        self._node = node
        node.handle(LINKS, lambda incoming: [bytes(peer) for peer in node.network.endpoint.peers])

    async def read(self) -> list[dict[str, Any]]:
        """A row for each node that answered."""
        told = await ask_all(self._node, LINKS, _read)
        told[self._node.id] = list(self._node.network.endpoint.peers)
        return [{"id": str(id), "peers": [str(peer) for peer in peers]} for id, peers in sorted(told.items())]


def _read(value: Any) -> list[NodeId]:
    if not isinstance(value, list) or not all(isinstance(id, bytes) and len(id) == NodeId.SIZE for id in value):
        raise MalformedMessage("links are a list of node ids")
    return [NodeId(id) for id in value]


def _self(node: Node, started_at: float) -> dict[str, Any]:
    me = node.me
    return {
        "id": str(me.id),
        "name": me.name,
        "addresses": [str(each) for each in me.addresses],
        "listens_on": str(node.address),
        "zone": me.zone,
        "role": me.role.name.lower(),
        "incarnation": me.incarnation,
        "public_key": me.public_key.hex(),
        "cluster_keys": [each.fingerprint for each in node.network.endpoint.keyring.keys],
        "plugins": dict(me.plugins),
        "uptime_s": round(asyncio.get_running_loop().time() - started_at),
        "guthi": version("guthi"),
        "python": platform.python_version(),
        "process": os.getpid(),
        "config": _config(node),
    }


def _config(node: Node) -> dict[str, Any]:
    """The tables, without what might be secret."""
    config = node.config
    tables = {name: _plain(getattr(config, name)) for name in ("node", "transport", "gossip", "broadcast")}
    plugins = {f"plugins.{each.name}": _plain(each.config) for each in node.plugins}
    return tables | {name: table for name, table in plugins.items() if table}


def _plain(value: Any, name: str = "") -> Any:
    if any(word in name.lower() for word in SECRETIVE) and value:
        return "(not shown)"
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name), each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each, str(key)) for key, each in value.items()}
    if isinstance(value, Address | Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(each, name) for each in value]
    return value
