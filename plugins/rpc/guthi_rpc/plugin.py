"""The plugin `rpc`: connects the service to the node's life and to its members' comings and goings."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import ClassVar

import guthi
from guthi_rpc.directory import MAX_WORKERS
from guthi_rpc.service import RPC, Rpc

__all__ = ["RpcPlugin"]


@dataclass(frozen=True)
class RpcConfig:
    """The table [plugins.rpc]: how many functions run at a time in threads and in processes; 0: one a core."""

    threads: int = 0
    processes: int = 0

    def __post_init__(self) -> None:
        for key in ("threads", "processes"):
            if not 0 <= getattr(self, key) <= MAX_WORKERS:
                raise ValueError(f"{key} must be from 0 (one a core) to {MAX_WORKERS}")


class RpcPlugin(guthi.Plugin):
    """The global function store, calls by name and map."""

    name = "rpc"
    provides = (RPC,)
    Config: ClassVar[type] = RpcConfig

    def __init__(self, node: guthi.Node, config: RpcConfig) -> None:
        super().__init__(node, config)
        self._rpc: Rpc | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service."""
        self._rpc = Rpc(self.node, self.config.threads, self.config.processes)
        self.node.provide(RPC, self._rpc)
        stack.callback(self._rpc.close)

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
            self._rpc.forget(member)

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """What it had is gone."""
        if self._rpc is not None:
            self._rpc.forget(member)
