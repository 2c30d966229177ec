"""Guthi's resources plugin: processor, memory, disk and network of every node, known on every node."""

from guthi_resources.history import Point
from guthi_resources.plugin import ResourcesPlugin
from guthi_resources.probe import Probe
from guthi_resources.sample import Sample
from guthi_resources.service import RESOURCES, Reading, Resources

__all__ = ["RESOURCES", "Point", "Probe", "Reading", "Resources", "ResourcesPlugin", "Sample"]
