"""What a node's configuration may say: the tables of its TOML file, with the environment and keywords over them.

Three layers, the later one wins: the file, the environment, explicit keywords. The environment has
`GUTHI_<TABLE>_<KEY>` for [node], [transport], [gossip] and [broadcast] (lists with commas), `GUTHI_CLUSTER_KEY` in
place of [security], and `GUTHI_PLUGINS`, which limits the enabled plugins to those it lists.
"""

from __future__ import annotations

import difflib
import os
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from guthi.api import Address
from guthi.configuration.tables import (
    Duration,
    Size,
    annotations_of,
    as_any,
    checked,
    overlay,
    read_table,
    read_toml,
    read_value,
    require,
    shown,
    suggestion,
)
from guthi.errors import ConfigError
from guthi.messages.flow import INITIAL_WINDOW_BYTES
from guthi.plugins import limited
from guthi.security.keyfile import read_keys
from guthi.security.keyring import OPEN_KEY, ClusterKey, Keyring

__all__ = ["BroadcastConfig", "Config", "GossipConfig", "NodeConfig", "SecurityConfig", "TransportConfig"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The table [node]: who the node is, where it listens, whom it joins."""

    name: str = ""
    """What people call the node: letters, digits, `-`, `_`, `.`, at most 64. Empty: the machine's name and a piece of
    the id.
    """
    listen: Address = Address("127.0.0.1", 0)
    """The one UDP port. Port 0: the system chooses. Off loopback only with a cluster key."""
    join: tuple[Address, ...] = ()
    """Nodes to join; one has to answer. The node's own address may be among them, so that all nodes can share one
    list: where none of the others answers within `join_timeout`, it goes on as the first of its network.
    """
    advertise: tuple[Address, ...] = ()
    """Where others are told to reach the node, the best first; for nodes behind NAT. Empty: the addresses of the
    bound port.
    """
    discovery: Literal["gossip", "static", "lan"] = "gossip"
    """`gossip`: know everybody whom any member knows. `static`: know those of `join`, and those who join this node.
    `lan`: as `gossip`, and besides `join` find nodes of the same cluster on the local network, by multicast DNS;
    needs `pip install "guthi[lan]"`.
    """
    zone: str = ""
    """Nodes of one zone prefer one another for work."""
    role: Literal["peer", "client"] = "peer"
    """A client sees everything and is given no work."""
    plugins: tuple[str, ...] = ()
    """The plugins to run; `guthi plugins` lists what is installed."""
    data_dir: Path | None = None
    """Keeps the node's identity over restarts, and where it finds its network. None: each start is a new node."""
    join_timeout: Duration = 10.0
    """How long one of `join` has to answer; then the start fails with `JoinFailed`."""
    main: str = ""
    """`"module:function"`, an `async def function(node)` that `guthi run` calls when the node has joined. The folder
    of the file is on the import path.
    """
    drain: Duration = 10.0
    """How long what runs for other nodes may go on after SIGTERM, before the node leaves. `0s`: it leaves at once."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What `guthi run` logs to standard error."""

    def __post_init__(self) -> None:
        named = not self.name or re.fullmatch(r"\w[\w.-]{0,63}", self.name)
        require(bool(named), f'name = {shown(self.name)}: use letters, digits, "-", "_" and ".", at most 64')
        for address in (*self.join, *self.advertise):
            reachable = address.port != 0 and not address.is_wildcard
            require(reachable, f"nobody can be reached at {address}; name a host and its port")
        require(len(set(self.plugins)) == len(self.plugins), "plugins names one twice; name each once")
        main = not self.main or re.fullmatch(r"\w+(\.\w+)*:\w+", self.main)
        require(bool(main), f'main = {shown(self.main)}: write "module:function"')


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """The table [security]: where the cluster keys come from, at most one of three."""

    cluster_key_file: Path | None = None
    """A file with a key a line and `#` comments. The first key seals, every one opens. [`guthi keys`](cli.md#keys)
    rewrites it while the node runs; keys from elsewhere are rotated in memory only.
    """
    cluster_key: str | None = field(default=None, repr=False)
    """One key, as `guthi keygen` prints it."""
    cluster_keys: tuple[str, ...] = field(default=(), repr=False)
    """Several, the first one seals."""

    def __post_init__(self) -> None:
        sources = (self.cluster_key_file is not None, self.cluster_key is not None, bool(self.cluster_keys))
        one = sum(sources) <= 1
        require(
            one,
            "the cluster key has several sources; keep one of cluster_key_file, cluster_key, cluster_keys",
        )

    @property
    def has_key(self) -> bool:
        """Whether a source is named; it may still turn out to be unreadable."""
        return self != SecurityConfig()

    def keys(self) -> list[ClusterKey]:
        """The keys, first the one that seals; empty when no source is named. Raises ConfigError."""
        if self.cluster_key_file is not None:
            with _blamed_on(str(self.cluster_key_file)):
                return read_keys(self.cluster_key_file)
        inline = self.cluster_keys if self.cluster_key is None else (self.cluster_key,)
        return [ClusterKey.parse(text) for text in inline]


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """The table [transport]: the sessions between nodes."""

    keepalive: Duration = 5.0
    """While somebody waits for a peer's answer, it is asked for a sign of life after so much silence."""
    timeout: Duration = 10.0
    """A peer that owes an acknowledgement and is silent for so long is lost. More than `keepalive`."""
    handshake_timeout: Duration = 5.0
    """How long a session may take to open."""
    idle: Duration = 60.0
    """An unused session is not used again after so long, and ends a little later. More than `timeout`."""
    max_message: Size = 1 << 30
    """The longest message that this node accepts; peers are told. At least 64 KiB, and 32 bytes for each member of
    the network.
    """
    max_datagram: int = 61_440
    """The most bytes of UDP payload that are tried on a path, 1200 to 65507. What a path takes is found out, from
    1200 upwards.
    """
    receive_buffer: Size = 4 << 20
    """What the system is asked to hold for the port in each direction."""
    busy_poll_us: int = 0
    """For how many microseconds to poll, before sleeping, for an awaited answer or for what follows an answer that was
    given, 0 to 1000; 0 is never. 300 is enough for short calls. Polling that does not pay switches itself off.
    """
    stream_window: Size = 1 << 20
    """How much of what comes on one stream may wait to be consumed; then the sender waits. At least 64 KiB."""

    def __post_init__(self) -> None:
        # Peers send as much before they hear of the window.
        require(self.stream_window >= INITIAL_WINDOW_BYTES, "stream_window must be at least 64 KiB")
        require(0 <= self.busy_poll_us <= 1000, "busy_poll_us must be from 0 (off) to 1000 microseconds")
        require(0 < self.keepalive < self.timeout, "keepalive must be more than 0 and less than timeout")
        require(self.handshake_timeout > 0, "handshake_timeout must be more than 0")
        require(self.idle > self.timeout, "idle must be more than timeout")
        # 1200: what every IPv6 path carries, headers included (RFC 9000, 14). 65507: the most on IPv4.
        require(1200 <= self.max_datagram <= 65507, "max_datagram must be from 1200 to 65507 bytes")
        require(self.max_message >= 64 * 1024, "max_message must be at least 64 KiB")  # members talk by it too
        require(self.receive_buffer > 0, "receive_buffer must be more than 0")
        # The system takes it as a C int.
        require(self.receive_buffer < 1 << 31, "receive_buffer must be less than 2 GiB")


@dataclass(frozen=True, slots=True)
class GossipConfig:
    """The table [gossip]: how news about members spreads."""

    interval: Duration = 0.2
    """How often news is told while there is some."""
    fanout: int = 3
    """To how many members at a time."""
    sync_interval: Duration = 30.0
    """How often, at rest, the node compares all it knows with one other."""
    reconnect: Duration = 10.0
    """About how often a failed member is tried again, by all others together."""
    forget: Duration = 24 * 3600.0
    """How long a member that failed or left is remembered. A partition may last as long."""

    def __post_init__(self) -> None:
        require(self.reconnect > 0 and self.forget > 0, "reconnect and forget must be more than 0")
        require(self.interval > 0 and self.sync_interval > 0, "interval and sync_interval must be more than 0")
        require(self.fanout >= 1, "fanout must be at least 1")


@dataclass(frozen=True, slots=True)
class BroadcastConfig:
    """The table [broadcast]: how broadcasts reach everybody."""

    direct_limit: int = 32
    """Up to so many members, the broadcaster included, it sends to each itself; beyond, along a tree. 0: always a
    tree.
    """
    keep: Duration = 30.0
    """For how long a message is kept for members that lack it."""
    buffer: Size = 64 << 20
    """How much is kept at most; then the oldest messages go early."""

    def __post_init__(self) -> None:
        require(self.direct_limit >= 0, "direct_limit must be 0 (always a tree) or more")
        require(self.keep > 0 and self.buffer > 0, "keep and buffer must be more than 0")


_TABLES: Mapping[str, type] = types.MappingProxyType(
    {
        "node": NodeConfig,
        "security": SecurityConfig,
        "transport": TransportConfig,
        "gossip": GossipConfig,
        "broadcast": BroadcastConfig,
    }
)


@dataclass(frozen=True, slots=True)
class Config:
    """All that a node is told before it starts. `plugins` has the raw tables; `plugin_config` checks one."""

    node: NodeConfig = NodeConfig()
    security: SecurityConfig = SecurityConfig()
    transport: TransportConfig = TransportConfig()
    gossip: GossipConfig = GossipConfig()
    broadcast: BroadcastConfig = BroadcastConfig()
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: Path | None = None

    @classmethod
    def from_toml(
        cls, path: str | Path, *, environment: Mapping[str, str] | None = None, **overrides: Mapping[str, Any]
    ) -> Config:
        """Read a node file; relative paths in it are relative to its folder. Otherwise as `from_mapping`."""
        path = Path(path)
        mapping = read_toml(path)
        return cls.from_mapping(mapping, str(path), source=path, environment=environment, **overrides)

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        where: str = "",
        *,
        source: Path | None = None,
        enabled: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        **overrides: Mapping[str, Any],
    ) -> Config:
        """Read what a TOML file would hold; over it the environment, then `overrides` as in `with_overrides`.

        `where` precedes messages about the mapping; `source` is its file; `enabled` names plugins that are
        enabled elsewhere, so that their tables are no mistake; `environment` is that of the process unless
        given. Raises ConfigError.
        """
        environment = os.environ if environment is None else environment
        with _blamed_on(where):
            config = _from_file(mapping, source)
        layered = _with_environment(config, environment)._overlaid(overrides)
        with _blamed_on(where):
            _refuse_idle_tables(layered.plugins, {*config.node.plugins, *layered.node.plugins, *enabled})
        limited = _limited(layered, environment.get("GUTHI_PLUGINS"))
        limited.check_exposure()
        return limited

    def with_overrides(self, **overrides: Mapping[str, Any]) -> Config:
        """A copy with single keys replaced: `config.with_overrides(node={"listen": "127.0.0.1:6969"})`.

        Values are as in TOML, or already of the right type; relative paths are relative to the working
        folder. Any key source in `security` replaces the one that was there. Raises ConfigError.
        """
        config = self._overlaid(overrides)
        config.check_exposure()
        return config

    def plugin_config(self, name: str, cls: type[T]) -> T:
        """The table [plugins.NAME] as the plugin's own dataclass; without it, its defaults. ConfigError."""
        with _blamed_on(str(self.source or "")):
            return read_table(cls, self.plugins.get(name, {}), f"[plugins.{name}]", _folder(self.source))

    def check_exposure(self) -> None:
        """Raises ConfigError when other machines could reach a node that has no secret to tell them by."""
        self._refuse_exposure(is_open=not self.security.has_key)

    def _refuse_exposure(self, *, is_open: bool) -> None:
        if is_open and not self.node.listen.is_loopback:
            raise ConfigError(
                f"{self.node.listen} is open to other machines, and there is no cluster key: make one with "
                '`guthi keygen > cluster.key` and set cluster_key_file = "cluster.key" in [security]'
            )

    def keyring(self) -> Keyring:
        """The cluster keys, or the open key for a node on loopback without any. Reads the key file; ConfigError."""
        keyring = Keyring(self.security.keys() or [OPEN_KEY])
        # Asked again of the keys themselves: somebody may have written the open key into the file.
        self._refuse_exposure(is_open=keyring.is_open)
        return keyring

    def _overlaid(self, overrides: Mapping[str, Mapping[str, Any]]) -> Config:
        changes: dict[str, Any] = {}
        for name, table in overrides.items():
            if name == "plugins":
                changes[name] = {**self.plugins, **table}
            elif name not in _TABLES:
                raise ConfigError(f"unknown table [{name}]{suggestion(name, _TABLES, '[{}]')}")
            else:
                # A new source of keys does not add to the old one, it takes its place.
                old = SecurityConfig() if name == "security" and table else getattr(self, name)
                changes[name] = overlay(old, table, f"[{name}]")
        return replace(self, **changes)


@contextmanager
def _blamed_on(where: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from None


def _folder(source: Path | None) -> Path | None:
    return source.absolute().parent if source else None


def _from_file(mapping: Mapping[str, Any], source: Path | None) -> Config:
    if "cluster" in mapping:
        raise ConfigError("this is a cluster file; start it with `guthi up`, or one node with `guthi run --node NAME`")
    for name, table in mapping.items():
        if name in {each.name for each in fields(NodeConfig)} and not isinstance(table, Mapping):
            raise ConfigError(f'"{name}" stands outside a table; put it under [node]')
        if name not in _TABLES and name != "plugins":
            raise ConfigError(f"unknown table [{name}]{suggestion(name, [*_TABLES, 'plugins'], '[{}]')}")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{name} is not a table; write [{name}] and its keys below it")
    tables: dict[str, Any] = {
        name: read_table(kind, mapping.get(name, {}), f"[{name}]", _folder(source)) for name, kind in _TABLES.items()
    }
    plugins = dict(mapping.get("plugins", {}))
    for name, table in plugins.items():
        require(isinstance(table, Mapping), f'"{name}" in [plugins] is not a table; write [plugins.{name}]')
    return Config(**tables, plugins=plugins, source=source)


def _with_environment(config: Config, environment: Mapping[str, str]) -> Config:
    changes: dict[str, Any] = {
        name: _from_environment(getattr(config, name), name, environment) for name in _TABLES if name != "security"
    }
    keys = environment.get("GUTHI_CLUSTER_KEY")
    if keys is not None:
        # Empty is refused: a forgotten secret must not open the network.
        require(
            bool(keys.strip()),
            "GUTHI_CLUSTER_KEY is empty; unset it, or set it to what `guthi keygen` prints",
        )
        changes["security"] = SecurityConfig(cluster_keys=tuple(keys.replace(",", " ").split()))
    return replace(config, **changes)


def _from_environment(instance: T, table: str, environment: Mapping[str, str]) -> T:
    annotations = annotations_of(as_any(type(instance)))
    known = {f"GUTHI_{table}_{key}".upper(): key for key in annotations}
    values = {}
    for variable in sorted(environment):
        if variable in known:
            annotation = annotations[known[variable]]
            try:
                value = _from_text(annotation, environment[variable])
                values[known[variable]] = read_value(annotation, value, variable, None)
            except ValueError as error:
                raise ConfigError(f"{variable}: {error}") from None
        elif variable.startswith(f"GUTHI_{table}_".upper()):
            # A slip is refused. A name unlike ours is a stranger's: Kubernetes sets GUTHI_NODE_PORT itself.
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.9)
            require(not close, f"unknown variable {variable}{suggestion(variable, known)}")
    changed: T = checked(lambda: replace(as_any(instance), **values), f"the environment (GUTHI_{table.upper()}_…)")
    return changed


def _from_text(annotation: Any, text: str) -> object:
    """What a TOML file would hold in place of the text; a misfit stays text, for `read_value` to complain of."""
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return [_from_text(item, part.strip()) for part in text.split(",") if part.strip()]
    try:
        return int(text) if annotation is int else text
    except ValueError:
        return text


def _refuse_idle_tables(plugins: Mapping[str, Any], enabled: Iterable[str]) -> None:
    for name in sorted(set(plugins) - set(enabled)):
        raise ConfigError(f'[plugins.{name}] is never used: enable "{name}" in [node] plugins, or remove the table')


def _limited(config: Config, wanted: str | None) -> Config:
    if wanted is None:
        return config
    return replace(config, node=replace(config.node, plugins=limited(config.node.plugins, wanted)))
