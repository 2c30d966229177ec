"""Guthi's dashboard plugin: the network in a browser, from any node."""

from guthi_dashboard.panel import Column, Panel
from guthi_dashboard.plugin import DashboardPlugin

__all__ = ["Column", "DashboardPlugin", "Panel"]
