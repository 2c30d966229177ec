"""Nodes of one process that meet on loopback, for tests: quick to notice losses, and unplugged at will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from guthi.api import Address, Buffer, DatagramReceiver, Datagrams, Departing, Ecn
from guthi.configuration.config import Config
from guthi.host.udp import SystemHost
from guthi.node import Node
from guthi.plugins import Plugin

PATIENCE_S = 60.0


class Line(SystemHost):
    """The real machine, with a plug that can be pulled: then nothing comes or goes, as after a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False
        self.sent = 0
        self.received = 0

    async def open_datagrams(self, address: Address, receiver: DatagramReceiver) -> Any:
        return _Port(self, await super().open_datagrams(address, _Ear(self, receiver)))


class _Ear:
    def __init__(self, line: Line, receiver: DatagramReceiver) -> None:
        self._line, self._receiver = line, receiver

    def datagram_received(self, datagram: Buffer, source: Address, mark: int = Ecn.NOT_ECT) -> None:
        self._line.received += 1
        if not self._line.is_cut:
            self._receiver.datagram_received(datagram, source, mark)

    def turn_ended(self) -> None:
        self._receiver.turn_ended()


class _Port:
    def __init__(self, line: Line, port: Datagrams) -> None:
        self._line, self._port = line, port

    @property
    def local_address(self) -> Address:
        return self._port.local_address

    @property
    def dropped(self) -> Mapping[str, int]:
        return self._port.dropped

    def max_datagram_bytes(self, destination: Address) -> int:
        return self._port.max_datagram_bytes(destination)

    def send(self, datagram: Buffer, destination: Address, mark: Ecn = Ecn.NOT_ECT) -> None:
        if not self._line.is_cut:
            self._line.sent += 1
            self._port.send(datagram, destination, mark)

    def send_many(self, datagrams: Iterable[Departing]) -> None:
        for departing in datagrams:
            self.send(*departing)

    def poll(self, limit_s: float, ended: Callable[[bool], None]) -> None:
        self._port.poll(limit_s, ended)

    def close(self) -> None:
        self._port.close()


def a_node(
    name: str,
    *join: Node,
    line: Line | None = None,
    plugins: Sequence[type[Plugin]] = (),
    tables: dict[str, Any] | None = None,
    **keys: Any,
) -> Node:
    """A node that joins the given ones; `keys` go into its [node] table, `tables` beside it."""
    node = {"name": name, "join": [str(each.address) for each in join], "join_timeout": "5s", **keys}
    quick = {"transport": {"timeout": "500ms", "keepalive": "100ms", "handshake_timeout": "500ms"}}
    config = Config.from_mapping({"node": node, **quick, **(tables or {})}, environment={})
    return Node(config, plugins=plugins, host=line)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the network brings about; fails when it takes too long."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def names(node: Node) -> set[str]:
    """Whom a node sees."""
    return {member.name for member in node.members}
