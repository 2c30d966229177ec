"""The plugin `rpc`: connects the service to the node's life and to its members' comings and goings."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import guthi
from guthi_rpc.parts import Parts
from guthi_rpc.service import RPC, Rpc
from guthi_rpc.settings import RpcConfig

if TYPE_CHECKING:
    import click

__all__ = ["RpcPlugin"]


class RpcPlugin(guthi.Plugin):
    """The global function store, calls by name and map."""

    name = "rpc"
    provides = (RPC,)
    Config: ClassVar[type] = RpcConfig

    def __init__(self, node: guthi.Node, config: RpcConfig) -> None:
        super().__init__(node, config)
        self._parts: Parts | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service. Raises ConfigError where code is to be accepted and cannot be read."""
        self._parts = Parts(self.node, self.config)
        rpc = Rpc(self._parts)
        if self.config.ship_code and self.node.me.role is not guthi.Role.CLIENT:
            rpc.accept_code()
        self.node.provide(RPC, rpc)
        stack.callback(self._parts.close)
        stack.push_async_callback(self._parts.leave)

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi functions`, `guthi call` and `guthi map`."""
        from guthi_rpc.commands import call, functions, map_lines

        return [functions, call, map_lines]

    @guthi.hookimpl
    def node_started(self) -> None:
        """From now on it sees who is there."""
        if self._parts is not None:
            self._parts.begin()

    @guthi.hookimpl
    def node_draining(self) -> Coroutine[Any, Any, None] | None:
        """Other nodes call elsewhere from now on, and what they have called here is finished."""
        return self._parts.drain() if self._parts is not None else None

    @guthi.hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        """A newcomer is told what this node has."""
        if self._parts is not None:
            self._parts.introduce(member)
            self._parts.notice()

    @guthi.hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        """It may have been forgotten, and it may have forgotten us."""
        if self._parts is not None:
            self._parts.introduce(member)
            self._parts.notice()

    @guthi.hookimpl
    def member_suspected(self, member: guthi.Member) -> None:
        """It gets no work while others are there."""
        if self._parts is not None:
            self._parts.suspect(member)
            self._parts.notice()

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """What it had is gone."""
        if self._parts is not None:
            self._parts.forget(member)

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """What it had is gone."""
        if self._parts is not None:
            self._parts.forget(member)
