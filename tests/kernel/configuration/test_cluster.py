"""Cluster files: what is shared, what is each node's own, and how many nodes one can make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from guthi.api import Address
from guthi.configuration.cluster import Cluster
from guthi.errors import ConfigError, UsageError

CLUSTER_TOML = """
[cluster]
app = "mandelbrot"

[node]
plugins = ["rpc"]
zone = "lab"
data_dir = "data"

[plugins.rpc]
threads = 2

[plugins.health]
interval = "1s"

[[cluster.nodes]]
name = "alice"
listen = "127.0.0.1:6969"

[[cluster.nodes]]
name = "bob"
zone = "attic"
plugins = ["rpc", "health"]
data_dir = "elsewhere/bob"
"""


def load(folder: Path, text: str = CLUSTER_TOML, **environment: str) -> Cluster:
    path = folder / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    return Cluster.from_toml(path, environment=environment)


def names(cluster: Cluster) -> list[str]:
    return [config.node.name for config in cluster.nodes]


def test_each_node_has_the_shared_tables_under_its_own(tmp_path: Path) -> None:
    cluster = load(tmp_path)
    alice, bob = cluster.nodes
    assert (cluster.app, cluster.source) == ("mandelbrot", tmp_path / "cluster.toml")
    assert names(cluster) == ["alice", "bob"]
    assert (alice.node.zone, bob.node.zone) == ("lab", "attic")
    assert (alice.node.listen, bob.node.listen) == (Address("127.0.0.1", 6969), Address("127.0.0.1", 0))
    assert alice.source == bob.source == cluster.source


def test_a_plugin_table_may_serve_some_of_the_nodes(tmp_path: Path) -> None:
    alice, bob = load(tmp_path).nodes
    assert alice.node.plugins == ("rpc",)
    assert bob.plugins["health"] == {"interval": "1s"}
    with pytest.raises(ConfigError, match=r"\[plugins.web\] is never used"):
        load(tmp_path, CLUSTER_TOML + "[plugins.web]\n")


def test_a_shared_data_folder_has_one_folder_a_node(tmp_path: Path) -> None:
    alice, bob = load(tmp_path).nodes
    assert alice.node.data_dir == tmp_path / "data" / "alice"
    assert bob.node.data_dir == tmp_path / "elsewhere" / "bob"


def test_the_environment_goes_before_the_file_but_names_nobody(tmp_path: Path) -> None:
    cluster = load(tmp_path, GUTHI_NODE_NAME="mallory", GUTHI_NODE_ZONE="roof")
    assert names(cluster) == ["alice", "bob"]
    assert {config.node.zone for config in cluster.nodes} == {"roof"}


def test_nodes_of_several_machines_may_share_a_port(tmp_path: Path) -> None:
    text = '[node]\nlisten = "127.0.0.1:7"\n[[cluster.nodes]]\nname = "a"\n[[cluster.nodes]]\nname = "b"\n'
    assert {config.node.listen.port for config in load(tmp_path, text).nodes} == {7}


def test_fewer_nodes_are_the_first_ones(tmp_path: Path) -> None:
    assert names(load(tmp_path).scaled(1)) == ["alice"]


def test_more_nodes_are_copies_of_the_last(tmp_path: Path) -> None:
    cluster = load(tmp_path, CLUSTER_TOML + 'listen = "127.0.0.1:6970"\nadvertise = ["10.0.0.1:6970"]\n')
    many = cluster.scaled(4)
    assert names(many) == ["alice", "bob", "bob-2", "bob-3"]
    copy = many.nodes[3].node
    assert (copy.zone, copy.listen, copy.advertise) == ("attic", Address("127.0.0.1", 0), ())
    assert copy.data_dir == tmp_path / "elsewhere" / "bob-3"
    assert cluster.node("bob-3") == many.nodes[3]


def test_a_copy_never_takes_the_name_of_a_node(tmp_path: Path) -> None:
    text = '[[cluster.nodes]]\nname = "a-2"\nzone = "own"\n[[cluster.nodes]]\nname = "a"\n'
    cluster = load(tmp_path, text).scaled(4)
    assert names(cluster) == ["a-2", "a", "a-3", "a-4"]
    assert cluster.node("a-2").node.zone == "own"


def test_a_cluster_has_at_least_one_node(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 nodes"):
        load(tmp_path).scaled(0)


@pytest.mark.parametrize("name", ["carol", "bob-1", "bob-02", "bob-x", "alice-2", ""])
def test_an_unknown_node_is_answered_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="it has alice, bob"):
        load(tmp_path).node(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]", "there is no [[cluster.nodes]] entry; `guthi run` starts"),
        ("cluster = 5", "cluster is not a table"),
        ("[cluster]\nnodes = 5", '"nodes" in [cluster]: 5 is not a list'),
        ("[cluster]\nap = 5", 'unknown key "ap" in [cluster]; did you mean "app"?'),
        ("[[cluster.nodes]]", '[[cluster.nodes]] entry 1 misses the key "name"'),
        ('[[cluster.nodes]]\nnam = "a"', 'unknown key "nam" in [[cluster.nodes]] entry 1; did you mean "name"?'),
        ('[[cluster.nodes]]\nname = "a"\n' * 2, 'two [[cluster.nodes]] entries are named "a"'),
        ('[node]\nzon = "x"\n[[cluster.nodes]]\nname = "a"', 'unknown key "zon" in [node]'),
        ('node = 5\n[[cluster.nodes]]\nname = "a"', "node is not a table"),
        ('[gosip]\n[[cluster.nodes]]\nname = "a"', "unknown table [gosip]; did you mean [gossip]?"),
        ("[[cluster.nodes]", " is not TOML: "),
    ],
)
def test_a_mistake_is_one_line_that_begins_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "cluster.toml"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_node_open_to_other_machines_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="guthi keygen"):
        load(tmp_path, '[[cluster.nodes]]\nname = "a"\nlisten = "0.0.0.0:1"\n')
