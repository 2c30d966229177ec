"""The plugin `gutfs`: puts the parts together, and connects them with the node's life and its members."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import TYPE_CHECKING, ClassVar

import guthi
from guthi.tasks import TaskSet
from guthi_gutfs import errors
from guthi_gutfs.clocks.network import NetworkClock
from guthi_gutfs.config import GutfsConfig
from guthi_gutfs.disk import Disk
from guthi_gutfs.exports.burying import bury_for_ever
from guthi_gutfs.hooks import GutfsHooks
from guthi_gutfs.network import NetworkSide
from guthi_gutfs.opening import folder_of, open_cache, open_files, tracker_of
from guthi_gutfs.service import GUTFS
from guthi_gutfs.tracking.tracker import Tracker
from guthi_mutex import StaleFence

if TYPE_CHECKING:
    import click

__all__ = ["GutfsPlugin"]


class GutfsPlugin(guthi.Plugin):
    """One file tree for the whole network."""

    name = "gutfs"
    provides = (GUTFS,)
    hookspecs = GutfsHooks
    Config: ClassVar[type] = GutfsConfig

    def __init__(self, node: guthi.Node, config: GutfsConfig) -> None:
        super().__init__(node, config)
        self._tasks = TaskSet()
        self._network: NetworkSide | None = None
        self._tracker: Tracker | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service."""
        node, config = self.node, self.config
        for name in errors.__all__:
            node.codec.register(getattr(errors, name), f"gutfs.{name}")
        node.codec.register(StaleFence, "mutex.StaleFence")  # as the plugin mutex does, which need not be enabled
        rng = Random(node.host.entropy(16))
        clock = NetworkClock(node, config.clock_interval, config.ntp_server, rng)
        folder = folder_of(node, stack)
        self.files = await open_files(node, config, folder, stack, clock.time_s)
        self.cache = await open_cache(node, config, folder, stack)
        self._tracker = tracker_of(node, config, self.files, stack)
        disk = Disk(node.host)
        stack.callback(disk.close)
        self._network = NetworkSide(node, config, self.files, self.cache, disk, clock, rng, self._tasks)
        stack.callback(self._network.close)
        stack.push_async_callback(self._tasks.close)  # before the files are closed with which they work
        node.provide(GUTFS, self._network.service)

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi fs`."""
        from guthi_gutfs.command import fs

        return [fs]

    @guthi.hookimpl
    def node_started(self) -> None:
        """From now on there are others to talk to."""
        if self._network is not None and self._tracker is not None:
            self._network.start()
            self._tasks.start(self._tracker.run(), "gutfs tracking")
            burying = bury_for_ever(self.files, self._network.time_s, self.config.tombstones)
            self._tasks.start(burying, "gutfs burying")

    def _came(self, member: guthi.Member) -> None:
        if self._network is not None:
            self._network.came(member)

    def _went(self, member: guthi.Member) -> None:
        if self._network is not None:
            self._network.went(member)

    @guthi.hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        """It may export files."""
        self._came(member)

    @guthi.hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        """Each may have missed what the other has told."""
        self._came(member)

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """What it exports is not there."""
        self._went(member)

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """What it exports is not there."""
        self._went(member)
