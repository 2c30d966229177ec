"""Guthi's web plugin: one web server a node, with a JSON API, metrics, and room for other plugins' pages."""

from guthi_web.measures import Measure
from guthi_web.plugin import WebPlugin
from guthi_web.service import WEB, Web
from guthi_web.views import View

__all__ = ["WEB", "Measure", "View", "Web", "WebPlugin"]
