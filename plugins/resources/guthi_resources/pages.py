"""What the web server shows of resources, where there is one: the newest samples, the histories, and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from guthi import Node
from guthi_resources.sample import Sample
from guthi_resources.service import Reading, Resources
from guthi_web import Measure, View

__all__ = ["FILES", "FOLDER", "measures", "views"]

FILES = "/resources"
FOLDER = Path(__file__).parent / "page"


def views(node: Node, resources: Resources) -> Sequence[View]:
    """The newest sample of every node, and the points before it."""
    newest = "The newest sample of every node that runs the plugin resources."
    before = "What was heard of each node of late, by id: points [at_s, cpu %, memory %, received/s, sent/s]."
    return [
        View("resources", newest, lambda: [_row(node, each) for each in resources.all()]),
        View(
            "history", before, lambda: {str(each.node): resources.history(each.node) for each in resources.all()}, 10.0
        ),
    ]


def _row(node: Node, reading: Reading) -> dict[str, Any]:
    member = node.network.membership.get(reading.node)
    shares = {
        "memory_percent": round(reading.sample.memory_percent, 1),
        "disk_percent": round(reading.sample.disk_percent, 1),
    }
    return {
        "id": str(reading.node),
        "name": member.name if member is not None else "",
        "state": member.state.name.lower() if member is not None else "",
        "at_s": round(reading.at_s, 1),
        **_rounded(reading.sample),
        **shares,
    }


def _rounded(sample: Sample) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(sample).items()}


def measures(resources: Resources) -> Sequence[Measure]:
    """This node's own sample: the others are scraped themselves."""
    sample = resources.mine()
    gauges = {
        "guthi_cpu_percent": ("Processor of the machine.", sample.cpu_percent),
        "guthi_load_1m": ("Load of the last minute.", sample.load_1m),
        "guthi_memory_total_bytes": ("Memory installed.", sample.memory_total_bytes),
        "guthi_memory_available_bytes": ("Memory available.", sample.memory_available_bytes),
        "guthi_disk_total_bytes": ("Size of the disk.", sample.disk_total_bytes),
        "guthi_disk_free_bytes": ("Free on the disk.", sample.disk_free_bytes),
        "guthi_received_bytes_per_second": ("Received by the machine.", sample.received_bytes_s),
        "guthi_sent_bytes_per_second": ("Sent by the machine.", sample.sent_bytes_s),
        "guthi_process_cpu_percent": ("Of one core, by the node's process.", sample.process_cpu_percent),
        "guthi_process_memory_bytes": ("Memory of the node's process.", sample.process_memory_bytes),
    }
    return [Measure(name, "gauge", help, [({}, value)]) for name, (help, value) in gauges.items()]
