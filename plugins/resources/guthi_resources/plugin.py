"""The plugin `resources`: which probe samples the machine, and what the node's life and its members' mean to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import guthi
from guthi_resources.hooks import ResourcesHooks
from guthi_resources.probe import Probe
from guthi_resources.service import RESOURCES, Resources

if TYPE_CHECKING:
    import click

    from guthi_dashboard import Panel
    from guthi_web import Measure, View, Web

__all__ = ["ResourcesPlugin"]


@dataclass(frozen=True)
class ResourcesConfig:
    """The table [plugins.resources]; `budget` is bytes a second."""

    interval: guthi.Duration = 2.0
    """How often the machine is sampled; at least `100ms`."""
    history: int = 300
    """How many points of each node are kept; fewer where all together would be more than 60,000."""
    budget: guthi.Size = 8 << 10
    """How many bytes a second of samples may pass through a node: the more nodes there are, the more seldom each
    tells. Should be the same on all nodes.
    """

    def __post_init__(self) -> None:
        if self.interval < 0.1:
            raise ValueError("interval must be 100ms or more")
        if self.history < 1:
            raise ValueError("history must be 1 or more")
        if self.budget < 1024:
            raise ValueError("budget must be 1 KiB or more")


class ResourcesPlugin(guthi.Plugin):
    """Processor, memory, disk and network of every node."""

    name = "resources"
    provides = (RESOURCES,)
    hookspecs = ResourcesHooks
    Config = ResourcesConfig

    def __init__(self, node: guthi.Node, config: ResourcesConfig) -> None:
        super().__init__(node, config)
        self._resources: Resources | None = None

    @staticmethod
    def make_probe(folder: Path) -> Probe:
        """What samples the machine; `folder` is on the disk to look at. A test's subclass has a probe of its own."""
        from guthi_resources.system import SystemProbe

        return SystemProbe(folder)

    async def run(self, stack: AsyncExitStack) -> None:
        """Provide the service, with a first sample."""
        config = self.config
        probe = self.make_probe(self.node.config.node.data_dir or Path.cwd())
        resources = Resources(self.node, probe, config.interval, config.history, config.budget)
        stack.callback(resources.close)
        await resources.start()
        self.node.provide(RESOURCES, resources)
        self._resources = resources

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi top`."""
        from guthi_resources.command import top

        return [top]

    @guthi.hookimpl
    def node_started(self) -> None:
        """There are others to tell."""
        if self._resources is not None:
            self._resources.begin()

    @guthi.hookimpl(optionalhook=True)
    def web_views(self) -> Sequence[View]:
        """The newest samples."""
        from guthi_resources import pages

        return pages.views(self.node, self._resources) if self._resources is not None else ()

    @guthi.hookimpl(optionalhook=True)
    def web_measures(self) -> Sequence[Measure]:
        """This node's figures."""
        from guthi_resources import pages

        return pages.measures(self._resources) if self._resources is not None else ()

    @guthi.hookimpl(optionalhook=True)
    def web_routes(self, web: Web) -> None:
        """The script of the tab."""
        from guthi_resources import pages

        web.serve_files(pages.FILES, pages.FOLDER)

    @guthi.hookimpl(optionalhook=True)
    def dashboard_panels(self) -> Sequence[Panel]:
        """The tab Resources."""
        from guthi_dashboard import Panel
        from guthi_resources import pages

        return [Panel("resources", "Resources", ("resources",), 20, script=f"{pages.FILES}/resources.js")]

    @guthi.hookimpl
    def member_joined(self) -> None:
        """The ring has another place, or one less; of a node that failed, what it died of stays to be seen."""
        if self._resources is not None:
            self._resources.members_changed()

    member_updated = member_suspected = member_failed = member_recovered = member_joined

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """It is forgotten."""
        self.member_joined()
        if self._resources is not None:
            self._resources.forget(member.id)
