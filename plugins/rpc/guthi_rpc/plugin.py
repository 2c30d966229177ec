"""The plugin `rpc`: connects the service to the node's life and to its members' comings and goings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar

import guthi
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
        self._rpc: Rpc | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service. Raises ConfigError where code is to be accepted and cannot be read."""
        self._rpc = Rpc(self.node, self.config)
        if self.config.ship_code and self.node.me.role is not guthi.Role.CLIENT:
            self._rpc.accept_code()
        self.node.provide(RPC, self._rpc)
        stack.callback(self._rpc.close)

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi functions`, `guthi call` and `guthi map`."""
        from guthi_rpc.commands import call, functions, map_lines

        return [functions, call, map_lines]

    @guthi.hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        """A newcomer is told what this node has."""
        if self._rpc is not None:
            self._rpc.introduce(member)
            self._rpc.notice()

    @guthi.hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        """It may have been forgotten, and it may have forgotten us."""
        if self._rpc is not None:
            self._rpc.introduce(member)
            self._rpc.notice()

    @guthi.hookimpl
    def member_suspected(self, member: guthi.Member) -> None:
        """It gets no work while others are there."""
        if self._rpc is not None:
            self._rpc.notice()

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """What it had is gone."""
        if self._rpc is not None:
            self._rpc.lose(member)

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """What it had is gone."""
        if self._rpc is not None:
            self._rpc.forget(member)
