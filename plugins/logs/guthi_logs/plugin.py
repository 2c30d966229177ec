"""The plugin `logs`: writes down what the process logs, and what becomes of members."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import guthi
from guthi_logs.lines import LEVELS
from guthi_logs.recorder import Recorder
from guthi_logs.service import LOGS, Logs

if TYPE_CHECKING:
    import click

    from guthi_dashboard import Panel
    from guthi_web import View, Web

__all__ = ["LogsPlugin"]

SOURCE = "membership"


@dataclass(frozen=True)
class LogsConfig:
    """The table [plugins.logs]; `rate` is lines a second."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on; what `log_level` in [node] leaves out is not there to be kept."""
    lines: int = 2000
    """How many of the last lines are kept."""
    rate: int = 50
    """How many lines a second in the long run; ten times as many at once. Further ones are counted."""

    def __post_init__(self) -> None:
        if self.lines < 1 or self.rate < 1:
            raise ValueError("lines and rate must be 1 or more")


class LogsPlugin(guthi.Plugin):
    """What happens on every node, readable on every node."""

    name = "logs"
    provides = (LOGS,)
    Config = LogsConfig

    def __init__(self, node: guthi.Node, config: LogsConfig) -> None:
        super().__init__(node, config)
        self._logs: Logs | None = None

    async def run(self, stack: AsyncExitStack) -> None:
        """Begin to write."""
        logs = self._logs = Logs(self.node, self.config.lines)
        recorder = Recorder(LEVELS[self.config.level], self.config.rate, self._write)
        recorder.install()
        stack.callback(recorder.remove)
        self.node.provide(LOGS, logs)

    def _write(self, level: int, source: str, text: str) -> None:
        if self._logs is not None:
            self._logs.book.add(self.node.host.wall_time_s(), level, source, text)

    @classmethod
    def commands(cls) -> Sequence[click.Command]:
        """`guthi logs`."""
        from guthi_logs.command import logs

        return [logs]

    @guthi.hookimpl(optionalhook=True)
    def web_views(self) -> Sequence[View]:
        """The lines of all nodes."""
        from guthi_logs.pages import views

        return views(self.node, self._logs) if self._logs is not None else ()

    @guthi.hookimpl(optionalhook=True)
    def web_routes(self, web: Web) -> None:
        """The script of the tab."""
        from guthi_logs.pages import FILES, FOLDER

        web.serve_files(FILES, FOLDER)

    @guthi.hookimpl(optionalhook=True)
    def dashboard_panels(self) -> Sequence[Panel]:
        """The tab Events."""
        from guthi_dashboard import Panel
        from guthi_logs.pages import FILES

        return [Panel("events", "Events", ("events",), 80, script=f"{FILES}/events.js")]

    # ---- what becomes of members

    @guthi.hookimpl
    def node_started(self) -> None:
        """This node is part of its network."""
        self._write(logging.INFO, SOURCE, f"{self.node.name} started at {self.node.address}")

    @guthi.hookimpl
    def node_stopping(self) -> None:
        """It is about to leave."""
        self._write(logging.INFO, SOURCE, f"{self.node.name} is stopping")

    @guthi.hookimpl
    def member_joined(self, member: guthi.Member) -> None:
        """Somebody came."""
        role = ", a client," if member.role is guthi.Role.CLIENT else ""
        level = logging.DEBUG if member.role is guthi.Role.CLIENT else logging.INFO
        self._write(level, SOURCE, f"{member.name}{role} joined from {member.addresses[0]}")

    @guthi.hookimpl
    def member_suspected(self, member: guthi.Member) -> None:
        """With the reason."""
        self._write(logging.WARNING, SOURCE, f"{member.name} is suspected{self._reason(member)}")

    @guthi.hookimpl
    def member_failed(self, member: guthi.Member) -> None:
        """With the reason."""
        self._write(logging.ERROR, SOURCE, f"{member.name} failed{self._reason(member)}")

    @guthi.hookimpl
    def member_recovered(self, member: guthi.Member) -> None:
        """It is there after all."""
        self._write(logging.INFO, SOURCE, f"{member.name} recovered")

    @guthi.hookimpl
    def member_left(self, member: guthi.Member) -> None:
        """It said goodbye."""
        level = logging.DEBUG if member.role is guthi.Role.CLIENT else logging.INFO
        self._write(level, SOURCE, f"{member.name} left")

    def _reason(self, member: guthi.Member) -> str:
        verdict = member.verdict
        if verdict is None:
            return ""
        return f", as {self.node.network.name_of(verdict.accuser)} found ({verdict.path}): {verdict.evidence}"
