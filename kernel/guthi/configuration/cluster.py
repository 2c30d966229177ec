"""What a cluster file says: several nodes in one TOML file, each as if it had a file of its own.

`cluster.toml` holds the tables of a node file, shared by all, and one `[[cluster.nodes]]` entry a node: a partial
[node] table with a name, whose keys go before the shared ones. A shared `data_dir` is the parent of one folder a node,
because it keeps the identity. The same file may serve several machines, each running its own entry of it, so nodes
may well have the same port: only the names must differ.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guthi.api import Address
from guthi.configuration.config import Config, NodeConfig
from guthi.configuration.tables import read_table, read_toml
from guthi.errors import ConfigError, UsageError

__all__ = ["Cluster"]


@dataclass(frozen=True, slots=True)
class _ClusterTable:
    app: str = ""
    """What the nodes are for; for people."""
    nodes: tuple[Mapping[str, Any], ...] = ()
    """The entries; at least one."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The nodes of one cluster file, in its order. `app` names what they are for; `source` is the file."""

    nodes: tuple[Config, ...]
    source: Path
    app: str = ""

    @classmethod
    def from_toml(cls, path: str | Path, *, environment: Mapping[str, str] | None = None) -> Cluster:
        """Read a cluster file. The environment goes before it as for a node file, names excepted; ConfigError."""
        path = Path(path)
        shared = read_toml(path)
        environment = {**(os.environ if environment is None else environment)}
        environment.pop("GUTHI_NODE_NAME", None)  # it cannot name all nodes at once
        try:
            table = _cluster_table(shared.pop("cluster", {}))
            tables = _node_tables(shared.get("node", {}), table, path.absolute().parent)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        enabled = {plugin for node in tables for plugin in node.get("plugins", ())}
        nodes = tuple(
            Config.from_mapping(
                {**shared, "node": node}, str(path), source=path, enabled=enabled, environment=environment
            )
            for node in tables
        )
        return cls(nodes, path, table.app)

    def node(self, name: str) -> Config:
        """The node of that name, also one that `scaled` would add. Raises ConfigError, which lists the names."""
        for config in self.nodes:
            if config.node.name == name:
                return config
        last = self.nodes[-1]
        copy = re.fullmatch(re.escape(last.node.name) + r"-([1-9][0-9]*)", name)
        if copy and int(copy[1]) >= 2:
            return _copied(last, int(copy[1]))
        names = ", ".join(config.node.name for config in self.nodes)
        raise ConfigError(f'{self.source} has no node "{name}"; it has {names}')

    def scaled(self, count: int) -> Cluster:
        """The first `count` nodes, or all and then copies of the last: NAME-2, NAME-3, … on ports that the system
        chooses. Raises UsageError when `count` is below 1."""
        if count < 1:
            raise UsageError(f"a cluster cannot have {count} nodes; 1 is the least")
        taken = {config.node.name for config in self.nodes}
        nodes, number = list(self.nodes[:count]), 2
        while len(nodes) < count:
            copy = _copied(self.nodes[-1], number)
            if copy.node.name not in taken:
                nodes.append(copy)
            number += 1
        return replace(self, nodes=tuple(nodes))


def _cluster_table(table: Any) -> _ClusterTable:
    if not isinstance(table, Mapping):
        raise ConfigError("cluster is not a table; write [[cluster.nodes]] and the keys of one node below it")
    cluster = read_table(_ClusterTable, table, "[cluster]")
    if not cluster.nodes:
        raise ConfigError("there is no [[cluster.nodes]] entry; `guthi run` starts a file for a single node")
    return cluster


def _node_tables(shared: Any, cluster: _ClusterTable, folder: Path) -> list[dict[str, Any]]:
    """One whole [node] table for each entry. Both halves are checked alone, so that a message names the right one."""
    if not isinstance(shared, Mapping):
        raise ConfigError("node is not a table; write [node] and its keys below it")
    common = read_table(NodeConfig, shared, "[node]", folder)
    tables: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(cluster.nodes, 1):
        node = read_table(NodeConfig, entry, f"[[cluster.nodes]] entry {number}", folder)
        if not node.name:
            raise ConfigError(f'[[cluster.nodes]] entry {number} misses the key "name"; write for example name = "bob"')
        if node.name in tables:
            raise ConfigError(f'two [[cluster.nodes]] entries are named "{node.name}"; give each its own name')
        own_folder = {} if common.data_dir is None else {"data_dir": str(common.data_dir / node.name)}
        tables[node.name] = {**shared, **own_folder, **entry}
    return list(tables.values())


def _copied(config: Config, number: int) -> Config:
    node = config.node
    name = f"{node.name}-{number}"
    data_dir = node.data_dir and node.data_dir.with_name(name)
    copy = replace(node, name=name, listen=Address(node.listen.host, 0), advertise=(), data_dir=data_dir)
    return replace(config, node=copy)
