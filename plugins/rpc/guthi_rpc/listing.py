"""What people are shown of the global function store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guthi import NodeId
from guthi_rpc.directory import Directory
from guthi_rpc.functions import Description, Run

__all__ = ["FunctionInfo", "list_functions"]


@dataclass(frozen=True, slots=True)
class FunctionInfo:
    """A function of the store; `providers` are names of nodes. One that `yields` gives a stream of values.

    `conflicts` names the nodes that have a function of the same name with another signature or docstring, which is most
    often another version: they stand in an entry of their own.
    """

    name: str
    signature: str
    doc: str
    run: Run
    yields: bool
    providers: tuple[str, ...]
    conflicts: tuple[str, ...] = ()


def list_functions(directory: Directory, name_of: Callable[[NodeId], str]) -> list[FunctionInfo]:
    """All functions, sorted by name; where providers differ, one entry for each, most providers first."""
    infos: list[FunctionInfo] = []
    for name in directory.names():
        having: dict[Description, list[str]] = {}
        for node, description in directory.descriptions(name):
            having.setdefault(description, []).append(name_of(node))
        everyone = {node for nodes in having.values() for node in nodes}
        for each, nodes in sorted(having.items(), key=lambda entry: (-len(entry[1]), entry[1])):
            others = tuple(sorted(everyone - set(nodes)))
            infos.append(
                FunctionInfo(name, each.signature, each.doc, each.run, each.yields, tuple(sorted(nodes)), others)
            )
    return infos
