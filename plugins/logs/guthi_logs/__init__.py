"""Guthi's logs plugin: what happens on every node, readable on every node."""

from guthi_logs.errors import TooManyFollowers
from guthi_logs.lines import Line, Told
from guthi_logs.plugin import LogsPlugin
from guthi_logs.service import LOGS, Logs

__all__ = ["LOGS", "Line", "Logs", "LogsPlugin", "Told", "TooManyFollowers"]
