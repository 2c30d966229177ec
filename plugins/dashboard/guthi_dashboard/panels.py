"""The tabs that are there without anybody's doing: of the kernel, and of plugins that bring views but no tab."""

from __future__ import annotations

from guthi_dashboard.panel import Column, Panel

__all__ = ["FILES", "PANELS"]

FILES = "/dashboard"

PANELS = (
    Panel("nodes", "Nodes", ("nodes", "links", "resources"), 10, script=f"{FILES}/panels/nodes.js"),
    Panel("self", "Self", ("self",), 30, script=f"{FILES}/panels/self.js"),
    Panel(
        "functions", "Functions", ("functions", "durations", "maps", "calls"), 40, script=f"{FILES}/panels/functions.js"
    ),
    Panel("variables", "Variables", ("variables",), 50, script=f"{FILES}/panels/variables.js"),
    Panel(
        "locks",
        "Locks",
        ("locks",),
        60,
        (
            Column("name", "Lock"),
            Column("holder", "Held by"),
            Column("fence", "Fence", "number"),
            Column("age_s", "For", "seconds"),
            Column("queue", "Queue", "names"),
        ),
    ),
    Panel(
        "health",
        "Health",
        ("health",),
        65,
        (
            Column("name", "Node"),
            Column("state", "State", "state"),
            Column("rtt_ms", "Round trip, ms", "number"),
            Column("suspicion", "Suspicion"),
        ),
    ),
    Panel("files", "Files", ("files",), 62, script=f"{FILES}/panels/files.js"),
)
