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
    """The table [node]: who the node is, where it listens, whom it joins.

    `name` empty: the node chooses one. `listen` with port 0: the system chooses. `advertise`: the addresses
    that others are told, by default those of the bound port. `data_dir` None: the identity lasts as long as
    the process. `main`: "module:function", an `async def` that is given the node.
    """

    name: str = ""
    listen: Address = Address("127.0.0.1", 0)
    join: tuple[Address, ...] = ()
    advertise: tuple[Address, ...] = ()
    discovery: Literal["gossip", "static", "lan"] = "gossip"
    zone: str = ""
    role: Literal["peer", "client"] = "peer"
    plugins: tuple[str, ...] = ()
    data_dir: Path | None = None
    join_timeout: Duration = 10.0
    main: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

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
    """The table [security]: where the cluster keys come from, at most one of three.

    `cluster_key_file` has a key a line and `#` comments. Of several keys the first seals; all of them open.
    """

    cluster_key_file: Path | None = None
    cluster_key: str | None = field(default=None, repr=False)
    cluster_keys: tuple[str, ...] = field(default=(), repr=False)

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
    """The table [transport]. A peer is lost when it is silent for `timeout` while an answer is due.

    A session on which somebody waits asks for a sign of life each `keepalive`; an unused one ends after `idle`.
    `max_datagram`: the most bytes of UDP payload that are tried on a path; what it takes is found out.
    `receive_buffer`: what the system is asked to hold for the port. `busy_poll_us`: for how long to poll for an awaited
    answer before sleeping, where that pays; 0 is never. `stream_window`: how much of a stream may wait to be consumed.
    """

    keepalive: Duration = 5.0
    timeout: Duration = 10.0
    handshake_timeout: Duration = 5.0
    idle: Duration = 60.0
    max_message: Size = 1 << 30
    max_datagram: int = 61_440
    receive_buffer: Size = 4 << 20
    busy_poll_us: int = 0
    stream_window: Size = 1 << 20

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
    """The table [gossip]: how often news is told, to how many, and how often nodes compare all they know.

    Members that failed are said hello to about each `reconnect` by somebody, until they are forgotten after `forget`.
    """

    interval: Duration = 0.2
    fanout: int = 3
    sync_interval: Duration = 30.0
    reconnect: Duration = 10.0
    forget: Duration = 24 * 3600.0

    def __post_init__(self) -> None:
        require(self.reconnect > 0 and self.forget > 0, "reconnect and forget must be more than 0")
        require(self.interval > 0 and self.sync_interval > 0, "interval and sync_interval must be more than 0")
        require(self.fanout >= 1, "fanout must be at least 1")


@dataclass(frozen=True, slots=True)
class BroadcastConfig:
    """The table [broadcast]. Up to `direct_limit` members it is sent from its origin to each, beyond along a tree.

    What has come is kept for `keep`, at most `buffer` of it, for those who lack it.
    """

    direct_limit: int = 32
    keep: Duration = 30.0
    buffer: Size = 64 << 20

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
