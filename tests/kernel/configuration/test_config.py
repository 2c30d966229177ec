"""The checker of TOML tables, the layers of a configuration, and what every mistake is answered with."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address
from guthi.configuration.config import Config, NodeConfig, SecurityConfig
from guthi.configuration.tables import Duration, Size, Written, overlay, read_table
from guthi.errors import ConfigError, UsageError
from guthi.security.keyring import OPEN_KEY, ClusterKey

KEY, OTHER_KEY = (ClusterKey.generate(random.Random(seed).randbytes).text() for seed in (1, 2))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Tls:
    cert: Path = Path("cert.pem")


def even(value: object) -> int:
    if not isinstance(value, int) or value % 2:
        raise ValueError("odd")
    return value


@dataclass(frozen=True)
class Sample:
    text: str = ""
    count: int = 0
    ratio: float = 0.0
    flag: bool = False
    folder: Path = Path("x")
    address: Address = Address("127.0.0.1", 1)
    names: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    maybe: int | None = 5
    either: int | str = 0
    mode: Literal["a", "b", 3] = "a"
    colour: Colour = Colour.RED
    wait: Duration = 1.0
    room: Size = 1
    tls: Tls = Tls()
    listeners: tuple[Tls, ...] = ()
    free: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    anything: Any = None
    pairs: Annotated[int, Written("an even number", "4", even)] = 0


@dataclass(frozen=True)
class Strict:
    name: str
    least: int = 1

    def __post_init__(self) -> None:
        if self.least < 1:
            raise ValueError("least must be at least 1")


def sample(key: str, value: object) -> object:
    return getattr(read_table(Sample, {key: value}, "[sample]", Path("/base")), key)


def refusal(key: str, value: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read_table(Sample, {key: value}, "[sample]")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "meaning"),
    [
        ("text", "hello", "hello"),
        ("count", 3, 3),
        ("ratio", 0.5, 0.5),
        ("ratio", 2, 2.0),
        ("flag", True, True),
        ("folder", "sub/x", Path("/base/sub/x")),
        ("folder", "/etc", Path("/etc")),
        ("address", "[::1]:80", Address("::1", 80)),
        ("address", Address("h", 1), Address("h", 1)),
        ("names", ["a", "b"], ("a", "b")),
        ("addresses", ["a:1", "b:2"], (Address("a", 1), Address("b", 2))),
        ("maybe", 7, 7),
        ("maybe", None, None),
        ("either", "x", "x"),
        ("mode", "b", "b"),
        ("mode", 3, 3),
        ("colour", "blue", Colour.BLUE),
        ("wait", "150ms", 0.15),
        ("wait", "1.5 s", 1.5),
        ("wait", "5m", 300.0),
        ("wait", "2h", 7200.0),
        ("wait", 20, 20.0),
        ("wait", "20", 20.0),
        ("room", "64 MiB", 64 << 20),
        ("room", "1.5KiB", 1536),
        ("room", "2 MB", 2_000_000),
        ("room", 17, 17),
        ("tls", {"cert": "c.pem"}, Tls(Path("/base/c.pem"))),
        ("listeners", [{"cert": "/a"}, {}], (Tls(Path("/a")), Tls())),
        ("free", {"x": [1]}, {"x": [1]}),
        ("counts", {"x": 1}, {"x": 1}),
        ("anything", [1, "x"], [1, "x"]),
        ("pairs", 4, 4),
    ],
)
def test_a_value_is_read_as_its_annotation_says(key: str, value: object, meaning: object) -> None:
    read = sample(key, value)
    assert read == meaning
    assert type(read) is type(meaning)


@pytest.mark.parametrize(
    ("key", "value", "found", "good"),
    [
        ("text", 5, "5 is not text", '"alice"'),
        ("count", "three", '"three" is not a whole number', "3"),
        ("count", True, "true is not a whole number", "3"),
        ("count", 1.5, "1.5 is not a whole number", "3"),
        ("ratio", False, "false is not a number", "0.5"),
        ("flag", 1, "1 is not true or false", "true"),
        ("folder", 1, "1 is not a path", '"data/alice"'),
        ("address", "here", "'here' is not an address", "127.0.0.1:6969"),
        ("address", 5, "5 is not an address", '"127.0.0.1:6969"'),
        ("names", "a", '"a" is not a list', '["alice"]'),
        ("addresses", "a:1", '"a:1" is not a list', '["127.0.0.1:6969"]'),
        ("addresses", ["a:1", 5], "5 is not an address", '"127.0.0.1:6969"'),
        ("maybe", "x", '"x" is not a whole number', "3"),
        ("either", [], "[] is not a whole number", '"alice"'),
        ("mode", "c", '"c" is not one of "a", "b", 3', '"a"'),
        ("colour", "green", '"green" is not one of "red", "blue"', '"red"'),
        ("wait", "soon", '"soon" is not a duration', '"20s"'),
        ("wait", "5 weeks", '"5 weeks" is not a duration', '"20s"'),
        ("wait", -1, "-1 is not a duration", '"20s"'),
        ("wait", float("inf"), "Infinity is not a duration", '"20s"'),
        ("wait", float("nan"), "NaN is not a duration", '"20s"'),
        ("room", "64 MS", '"64 MS" is not a size', '"64 MiB"'),
        ("room", 0.5, "0.5 is not a size", '"64 MiB"'),
        ("tls", "x", '"x" is not a table', '{ key = "value" }'),
        ("counts", {"x": "y"}, '"y" is not a whole number', "3"),
        ("pairs", 3, "3 is not an even number (odd)", "4"),
    ],
)
def test_a_misfit_names_the_key_what_was_found_and_what_would_be_good(
    key: str, value: object, found: str, good: str
) -> None:
    message = refusal(key, value)
    assert message.startswith(f'"{key}" in [sample]: ')
    assert found in message
    assert good in message.partition(found)[2]


def test_an_unknown_key_is_refused_with_a_suggestion() -> None:
    assert refusal("ratoi", 1) == 'unknown key "ratoi" in [sample]; did you mean "ratio"?'
    assert "known are address, " in refusal("zzz", 1)
    assert refusal("tls", {"crt": "x"}) == 'unknown key "crt" in "tls" of [sample]; did you mean "cert"?'


def test_a_key_without_a_default_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r'\[strict\] misses the key "name"'):
        read_table(Strict, {}, "[strict]")


def test_what_the_class_itself_refuses_is_reported_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^\[strict\]: least must be at least 1$"):
        read_table(Strict, {"name": "x", "least": 0}, "[strict]")
    with pytest.raises(ConfigError, match=r"^here: least must be at least 1$"):
        overlay(Strict("x"), {"least": 0}, "here")


def test_an_annotation_without_a_toml_form_is_the_plugin_authors_mistake() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: complex = 1j

    with pytest.raises(UsageError, match="complex") as caught:
        read_table(Odd, {"value": 1}, "[odd]")
    assert not isinstance(caught.value, ConfigError)


def test_an_overlay_leaves_the_other_keys_alone() -> None:
    assert overlay(Strict("x", 7), {"name": "y"}, "[strict]") == Strict("y", 7)


toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(sorted(Sample.__dataclass_fields__)) | st.text()


@given(st.dictionaries(keys, toml_values, max_size=3))
def test_any_table_is_either_read_or_refused(table: dict[str, Any]) -> None:
    try:
        assert isinstance(read_table(Sample, table, "[sample]"), Sample)
    except ConfigError:
        pass


@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str) -> None:
    factor = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert sample("wait", f"{number}{unit}") == pytest.approx(number * factor)


# ---- node files ----

NODE_TOML = """
[node]
name = "alice"
listen = "0.0.0.0:6969"
join = ["10.0.0.5:6969", "10.0.0.6:6969"]
plugins = ["rpc", "mutex"]
data_dir = "data"
join_timeout = "1m"

[security]
cluster_key_file = "cluster.key"

[transport]
keepalive = "2s"
receive_buffer = "8 MiB"

[gossip]
interval = "100ms"

[plugins.mutex]
algorithm = "raymond"
"""


def node_file(folder: Path, text: str = NODE_TOML) -> Path:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, **environment: str) -> Config:
    return Config.from_toml(node_file(folder, text), environment=environment)


def test_a_whole_file(tmp_path: Path) -> None:
    config = load(tmp_path, NODE_TOML)
    assert config.node == NodeConfig(
        name="alice",
        listen=Address("0.0.0.0", 6969),
        join=(Address("10.0.0.5", 6969), Address("10.0.0.6", 6969)),
        plugins=("rpc", "mutex"),
        data_dir=tmp_path / "data",
        join_timeout=60.0,
    )
    assert config.security == SecurityConfig(cluster_key_file=tmp_path / "cluster.key")
    assert (config.transport.keepalive, config.transport.receive_buffer) == (2.0, 8 << 20)
    assert config.gossip.interval == pytest.approx(0.1)
    assert config.plugins == {"mutex": {"algorithm": "raymond"}}
    assert config.source == tmp_path / "node.toml"


def test_an_empty_file_is_a_node_on_loopback(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert config.node == NodeConfig()
    assert config.node.listen == Address("127.0.0.1", 0)
    assert config.keyring().primary == OPEN_KEY


def test_a_plugin_reads_its_own_table(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class MutexConfig:
        algorithm: str = "suzuki-kasami"

    config = load(tmp_path, NODE_TOML)
    assert config.plugin_config("mutex", MutexConfig) == MutexConfig("raymond")
    assert config.plugin_config("rpc", MutexConfig) == MutexConfig()
    misspelt = config.with_overrides(plugins={"mutex": {"algoritm": "x"}})
    with pytest.raises(ConfigError) as caught:
        misspelt.plugin_config("mutex", MutexConfig)
    place = f"{tmp_path / 'node.toml'}: "
    assert str(caught.value) == (place + 'unknown key "algoritm" in [plugins.mutex]; did you mean "algorithm"?')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[node]\nlistn = "x"', 'unknown key "listn" in [node]; did you mean "listen"?'),
        ("[nod]", "unknown table [nod]; did you mean [node]?"),
        ('listen = "127.0.0.1:0"', '"listen" stands outside a table; put it under [node]'),
        ("gossip = 5", "gossip is not a table; write [gossip] and its keys below it"),
        ("[cluster]", "this is a cluster file; start it with `guthi up`"),
        ("[plugins]\nrpc = 5", '"rpc" in [plugins] is not a table; write [plugins.rpc]'),
        ("[plugins.rpc]", '[plugins.rpc] is never used: enable "rpc" in [node] plugins, or remove'),
        ('[node]\nplugins = ["rpc", "rpc"]', "[node]: plugins names one twice"),
        ('[node]\nname = "a b"', '[node]: name = "a b": use letters, digits'),
        ('[node]\njoin = ["10.0.0.5:0"]', "[node]: nobody can be reached at 10.0.0.5:0"),
        ('[node]\nadvertise = ["0.0.0.0:5"]', "[node]: nobody can be reached at 0.0.0.0:5"),
        ('[node]\nmain = "module"', '[node]: main = "module": write "module:function"'),
        ('[node]\nmain = "..:x"', '[node]: main = "..:x": write "module:function"'),
        ('[transport]\nreceive_buffer = "99999 GiB"', "[transport]: receive_buffer must be less than 2 GiB"),
        (f"[transport]\ntimeout = 1{'0' * 400}", '"timeout" in [transport]: 1000'),
        ("[transport]\ntimeout = inf", "Infinity is not a duration"),
        ("[node]\njoin_timeout = nan", "NaN is not a duration"),
        ('[node]\ndiscovery = "gosip"', '"gosip" is not one of "gossip", "static"'),
        ('[transport]\nkeepalive = "10s"', "[transport]: keepalive must be more than 0 and less than timeout"),
        ("[transport]\nbusy_poll_us = 5000", "[transport]: busy_poll_us must be from 0 (off) to 1000 microseconds"),
        ("[transport]\nmax_datagram = 100", "[transport]: max_datagram must be from 1200 to 65507 bytes"),
        ("[transport]\nmax_message = 1000", "[transport]: max_message must be at least 64 KiB"),
        ("[gossip]\nfanout = 0", "[gossip]: fanout must be at least 1"),
        ('[security]\ncluster_key = "a"\ncluster_key_file = "b"', "[security]: the cluster key has several"),
        ("[node]\nname", " is not TOML: "),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_begins_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "node.toml"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_malformed_toml_is_placed_by_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at line 2, column 8"):
        load(tmp_path, "[node]\nname = ]")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist; `guthi init` writes"):
        Config.from_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config.from_toml(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match="is not TOML"):
        Config.from_toml(tmp_path / "latin.toml")


# ---- layers ----


def test_the_environment_goes_before_the_file_and_keywords_before_both(tmp_path: Path) -> None:
    environment = {
        "GUTHI_NODE_NAME": "bob",
        "GUTHI_NODE_JOIN": "a:1, b:2",
        "GUTHI_GOSSIP_FANOUT": "5",
        "GUTHI_TRANSPORT_TIMEOUT": "30",
        "GUTHI_TRANSPORT_MAX_MESSAGE": "2 GiB",
        "GUTHI_NODE_DATA_DIR": "/var/guthi",
    }
    config = Config.from_toml(node_file(tmp_path), environment=environment, gossip={"fanout": 7}, node={"zone": "lab"})
    assert config.node.name == "bob"
    assert config.node.join == (Address("a", 1), Address("b", 2))
    assert config.node.listen == Address("0.0.0.0", 6969)
    assert config.node.data_dir == Path("/var/guthi")
    assert (config.transport.keepalive, config.transport.timeout) == (2.0, 30.0)
    assert config.transport.max_message == 2 << 30
    assert (config.node.zone, config.gossip.fanout) == ("lab", 7)


def test_an_empty_list_in_the_environment_empties_the_list(tmp_path: Path) -> None:
    assert load(tmp_path, NODE_TOML, GUTHI_NODE_JOIN="").node.join == ()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GUTHI_NODE_LISTEN", "here", "GUTHI_NODE_LISTEN: 'here' is not an address"),
        ("GUTHI_GOSSIP_FANOUT", "many", 'GUTHI_GOSSIP_FANOUT: "many" is not a whole number'),
        ("GUTHI_GOSSIP_FANOUT", "0", "the environment (GUTHI_GOSSIP_…): fanout must be at least 1"),
        ("GUTHI_NODE_LISTN", "x", "unknown variable GUTHI_NODE_LISTN; did you mean"),
        ("GUTHI_CLUSTER_KEY", " ", "GUTHI_CLUSTER_KEY is empty"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "", **{variable: value})
    assert str(caught.value).startswith(message)


def test_variables_of_strangers_are_let_be(tmp_path: Path) -> None:
    assert load(tmp_path, "", GUTHI_NODE_PORT="tcp://10.0.0.1:80", GUTHI="x").node == NodeConfig()


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUTHI_NODE_ZONE", "lab")
    assert Config.from_mapping({}).node.zone == "lab"
    assert Config.from_mapping({}, environment={}).node.zone == ""


def test_guthi_plugins_limits_what_is_enabled(tmp_path: Path) -> None:
    assert load(tmp_path, NODE_TOML, GUTHI_PLUGINS="mutex, web").node.plugins == ("mutex",)
    assert load(tmp_path, NODE_TOML, GUTHI_PLUGINS="").node.plugins == ()


def test_a_table_may_belong_to_a_plugin_that_is_enabled_elsewhere() -> None:
    tables: dict[str, Any] = {"plugins": {"rpc": {}}}
    assert Config.from_mapping(tables, enabled=["rpc"], environment={}).plugins == {"rpc": {}}
    by_variable = Config.from_mapping(tables, environment={"GUTHI_NODE_PLUGINS": "rpc"})
    assert by_variable.node.plugins == ("rpc",)


def test_overrides_take_typed_values_and_text() -> None:
    config = Config().with_overrides(node={"listen": Address("127.0.0.1", 5), "join": ["a:1"]})
    assert (config.node.listen, config.node.join) == (Address("127.0.0.1", 5), (Address("a", 1),))
    with pytest.raises(ConfigError, match=r'unknown key "lisen" in \[node\]'):
        config.with_overrides(node={"lisen": "x"})
    with pytest.raises(ConfigError, match=r"unknown table \[nodes\]; did you mean \[node\]\?"):
        config.with_overrides(nodes={})


# ---- keys ----


@pytest.mark.parametrize("listen", ["0.0.0.0:6969", "[::]:6969", "10.0.0.5:0", "somewhere.example:80"])
def test_a_node_open_to_other_machines_needs_a_key(tmp_path: Path, listen: str) -> None:
    text = f'[node]\nlisten = "{listen}"'
    with pytest.raises(ConfigError, match=r"`guthi keygen > cluster.key` and set cluster_key_file"):
        load(tmp_path, text)
    with pytest.raises(ConfigError, match="guthi keygen"):
        Config().with_overrides(node={"listen": listen})
    with pytest.raises(ConfigError, match="guthi keygen"):
        Config(node=NodeConfig(listen=Address.parse(listen))).keyring()
    assert not load(tmp_path, text, GUTHI_CLUSTER_KEY=KEY).keyring().is_open


def test_the_open_key_written_down_does_not_pass_for_a_secret() -> None:
    config = Config.from_mapping(
        {"node": {"listen": "0.0.0.0:1"}, "security": {"cluster_key": OPEN_KEY.text()}}, environment={}
    )
    with pytest.raises(ConfigError, match="guthi keygen"):
        config.keyring()


def test_a_key_file_has_a_key_a_line_the_first_one_seals(tmp_path: Path) -> None:
    (tmp_path / "cluster.key").write_text(f"# new\n{KEY}\n\n{OTHER_KEY}  # old\n")
    keyring = load(tmp_path, NODE_TOML).keyring()
    assert [key.text() for key in keyring.keys] == [KEY, OTHER_KEY]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such key file"), ("# nothing\n", "has no key"), ("guthi1-typo", "typo")],
)
def test_a_key_file_without_a_key_never_opens_the_node(tmp_path: Path, content: str | None, message: str) -> None:
    key_file = tmp_path / "cluster.key"
    if content is not None:
        key_file.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, '[security]\ncluster_key_file = "cluster.key"').keyring()
    assert str(caught.value).startswith(str(key_file))


def test_an_inline_key_and_a_ring_of_them() -> None:
    one = Config.from_mapping({"security": {"cluster_key": KEY}}, environment={})
    ring = Config.from_mapping({"security": {"cluster_keys": [OTHER_KEY, KEY]}}, environment={})
    assert one.keyring().primary.text() == KEY
    assert [key.text() for key in ring.keyring().keys] == [OTHER_KEY, KEY]
    with pytest.raises(ConfigError):
        Config.from_mapping({"security": {"cluster_key": ""}}, environment={}).keyring()


def test_the_key_of_the_environment_replaces_that_of_the_file_and_a_keyword_replaces_both() -> None:
    tables = {"security": {"cluster_key_file": "nowhere"}}
    environment = {"GUTHI_CLUSTER_KEY": f"{KEY},{OTHER_KEY}"}
    config = Config.from_mapping(tables, environment=environment)
    assert [key.text() for key in config.keyring().keys] == [KEY, OTHER_KEY]
    assert config.with_overrides(security={"cluster_key": OTHER_KEY}).keyring().primary.text() == OTHER_KEY


def test_a_printed_configuration_keeps_the_secret() -> None:
    config = Config.from_mapping({"security": {"cluster_key": KEY}}, environment={})
    ring = Config.from_mapping({}, environment={"GUTHI_CLUSTER_KEY": KEY})
    assert KEY not in repr(config) + repr(ring)
