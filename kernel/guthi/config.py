"""What a configuration may say: TOML tables become frozen, typed dataclasses, or one line with the mend.

Three layers, the later one wins: the file, the environment, explicit keywords. The environment has
`GUTHI_<TABLE>_<KEY>` for [node], [transport] and [gossip] (lists with commas), `GUTHI_CLUSTER_KEY` in place
of [security], and `GUTHI_PLUGINS`, which limits the enabled plugins to those it names.

`read_table` is the checker. It knows nothing of Guthi's own tables: a plugin's `Config` class goes through
it as well.
"""

from __future__ import annotations

import collections.abc
import difflib
import json
import math
import os
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from guthi.api import Address
from guthi.errors import ConfigError, UsageError
from guthi.keyring import OPEN_KEY, ClusterKey, Keyring

__all__ = [
    "Config",
    "Duration",
    "GossipConfig",
    "NodeConfig",
    "SecurityConfig",
    "Size",
    "TransportConfig",
    "Written",
    "overlay",
    "read_table",
    "read_toml",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Written:
    """How a value is written in TOML; put into `Annotated`, it teaches `read_table` a new kind of value.

    `kind` and `example` complete the message "… is not KIND; write for example EXAMPLE". `parse` takes what
    the TOML holds, or a value that is already parsed; its ValueError, TypeError or ConfigError means a misfit.
    """

    kind: str
    example: str
    parse: Callable[[Any], Any]


def _instance(*accepted: type) -> Callable[[object], Any]:
    def parse(value: object) -> object:
        # bool is an int to Python, but `fanout = true` is a mistake.
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
            raise TypeError
        return value

    return parse


def _number(value: object) -> float:
    return float(_instance(int, float)(value))


_SECONDS = types.MappingProxyType({"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0})
_BYTES = types.MappingProxyType(
    {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
)


def _quantity(value: object, units: Mapping[str, float], default_unit: str) -> float:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value.strip(), re.ASCII)
        if match is None or (match[2] or default_unit) not in units:
            raise ValueError
        value = float(match[1]) * units[match[2] or default_unit]
    number = _number(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError
    return number


def _duration(value: object) -> float:
    return _quantity(value, _SECONDS, "s")


def _size(value: object) -> int:
    size_bytes = _quantity(value, _BYTES, "B")
    if not size_bytes.is_integer():
        raise ValueError
    return int(size_bytes)


def _address(value: object) -> Address:
    return value if isinstance(value, Address) else Address.parse(_instance(str)(value))


Duration: TypeAlias = Annotated[float, Written('a duration ("200ms", "20s", "5m", or seconds)', '"20s"', _duration)]
Size: TypeAlias = Annotated[int, Written('a size ("64 MiB", "1 GB", or bytes)', '"64 MiB"', _size)]

_PLAIN: Mapping[Any, Written] = types.MappingProxyType(
    {
        str: Written("text", '"alice"', _instance(str)),
        int: Written("a whole number", "3", _instance(int)),
        float: Written("a number", "0.5", _number),
        bool: Written("true or false", "true", _instance(bool)),
        Path: Written("a path", '"data/alice"', lambda value: Path(_instance(str, Path)(value)).expanduser()),
        Address: Written("an address", '"127.0.0.1:6969"', _address),
    }
)


def read_table(cls: type[T], table: Mapping[str, Any], where: str, folder: Path | None = None) -> T:
    """Read a TOML table into the dataclass `cls`, key by key, as its annotations say.

    Annotations may be str, int, float, bool, Path, Address, Duration, Size, Any, Enum, Literal,
    `tuple[X, ...]`, `Mapping[str, X]`, `X | Y`, `X | None`, nested dataclasses, and whatever is `Annotated`
    with a `Written`.
    `where` names the table in messages, as in "[plugins.mutex]"; relative paths are taken from `folder`.
    A ValueError of the class's own `__post_init__` is reported like a wrong value.

    Raises ConfigError: an unknown or missing key, or a value that does not fit. UsageError: another annotation.
    """
    values = _read_keys(cls, table, where, folder)
    for each in fields(_loose(cls)):
        if each.init and each.default is MISSING and each.default_factory is MISSING and each.name not in values:
            raise ConfigError(f'{where} misses the key "{each.name}"')
    return _made(lambda: cls(**values), where)


def overlay(instance: T, table: Mapping[str, Any], where: str, folder: Path | None = None) -> T:
    """A copy of a dataclass instance in which the keys of `table` have new values; else as `read_table`."""
    values = _read_keys(type(instance), table, where, folder)
    changed: T = _made(lambda: replace(_loose(instance), **values), where)
    return changed


def _loose(value: object) -> Any:
    # `type[T]` cannot say "a dataclass": typeshed keeps that protocol to itself.
    return value


def _made(make: Callable[[], T], where: str) -> T:
    try:
        return make()
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _read_keys(cls: type, table: Mapping[str, Any], where: str, folder: Path | None) -> dict[str, Any]:
    annotations = get_type_hints(cls, include_extras=True)
    known = [each.name for each in fields(_loose(cls)) if each.init]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f'unknown key "{key}" in {where}{_suggestion(key, known)}')
        try:
            values[key] = _read(annotations[key], value, f'"{key}" of {where}', folder)
        except ValueError as error:
            raise ConfigError(f'"{key}" in {where}: {error}') from None
    return values


def _suggestion(word: str, known: Iterable[str], quoted: str = '"{}"') -> str:
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {quoted.format(close[0])}?"
    return "; known are " + ", ".join(known) if known else "; it takes no keys"


def _read(annotation: Any, value: Any, where: str, folder: Path | None) -> Any:
    """Raises ValueError with the bare reason; ConfigError where a nested table has already said the place."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if origin is Annotated:
        written = next((note for note in arguments[1:] if isinstance(note, Written)), None)
        return _fit(written, value) if written else _read(arguments[0], value, where, folder)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, value, where, folder)
    if origin is tuple and arguments[1:] == (...,):
        items = _fit(Written("a list", f"[{_example(arguments[0])}]", _instance(list, tuple)), value)
        return tuple(_read(arguments[0], item, where, folder) for item in items)
    if origin is collections.abc.Mapping:
        return {key: _read(arguments[1], item, where, folder) for key, item in _fit(_TABLE, value).items()}
    if origin is Literal:
        return _choice({choice: choice for choice in arguments}, value)
    if is_dataclass(annotation) and isinstance(annotation, type):
        return value if isinstance(value, annotation) else read_table(annotation, _fit(_TABLE, value), where, folder)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return value if isinstance(value, annotation) else _choice({each.value: each for each in annotation}, value)
    if annotation is Path:
        return (folder or Path()) / _fit(_PLAIN[Path], value)
    if annotation in _PLAIN:
        return _fit(_PLAIN[annotation], value)
    raise UsageError(f"{where}: {annotation} has no form in TOML; guthi.config.read_table lists the annotations")


_TABLE = Written("a table", '{ key = "value" }', _instance(Mapping))


def _read_union(members: tuple[Any, ...], value: Any, where: str, folder: Path | None) -> Any:
    if value is None and types.NoneType in members:
        return None
    reasons = []
    for member in members:
        if member is not types.NoneType:
            try:
                return _read(member, value, where, folder)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError("; or else ".join(reasons))


def _choice(choices: Mapping[Any, Any], value: Any) -> Any:
    for choice, meaning in choices.items():
        if type(choice) is type(value) and choice == value:
            return meaning
    shown = [_shown(choice) for choice in choices]
    raise ValueError(f"{_shown(value)} is not one of {', '.join(shown)}; write for example {shown[0]}")


def _fit(written: Written, value: Any) -> Any:
    try:
        return written.parse(value)
    except ConfigError as error:  # it says the mend itself
        raise ValueError(str(error)) from None
    except (ValueError, TypeError) as error:
        reason = f" ({error})" if str(error) else ""
        message = f"{_shown(value)} is not {written.kind}{reason}; write for example {written.example}"
        raise ValueError(message) from None


def _example(annotation: Any) -> str:
    notes = [*get_args(annotation)[1:], _PLAIN.get(annotation)]
    return next((note.example for note in notes if isinstance(note, Written)), "…")


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ConfigError(reason)


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
    discovery: Literal["gossip", "static"] = "gossip"
    zone: str = ""
    role: Literal["peer", "client"] = "peer"
    plugins: tuple[str, ...] = ()
    data_dir: Path | None = None
    join_timeout: Duration = 10.0
    main: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        named = not self.name or re.fullmatch(r"\w[\w.-]{0,63}", self.name)
        _require(bool(named), f'name = {_shown(self.name)}: use letters, digits, "-", "_" and ".", at most 64')
        for address in (*self.join, *self.advertise):
            reachable = address.port != 0 and not address.is_wildcard
            _require(reachable, f"nobody can be reached at {address}; name a host and its port")
        _require(len(set(self.plugins)) == len(self.plugins), "plugins names one twice; name each once")
        main = not self.main or re.fullmatch(r"[\w.]+:\w+", self.main)
        _require(bool(main), f'main = {_shown(self.main)}: write "module:function"')


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
        _require(
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
                return [ClusterKey.parse(text) for text in _key_lines(self.cluster_key_file)]
        inline = self.cluster_keys if self.cluster_key is None else (self.cluster_key,)
        return [ClusterKey.parse(text) for text in inline]


@dataclass(frozen=True, slots=True)
class TransportConfig:
    """The table [transport]. A peer is lost when it is silent for `timeout` while an answer is due.

    A session on which somebody waits asks for a sign of life each `keepalive`; an unused one ends after `idle`.
    `max_datagram`: the most bytes of UDP payload that are tried on a path; what it takes is found out.
    `receive_buffer`: how far a peer may send ahead of the reader. `busy_poll_us`: for how long to poll for an awaited
    answer before sleeping, where that pays; 0 is never.
    """

    keepalive: Duration = 5.0
    timeout: Duration = 10.0
    handshake_timeout: Duration = 5.0
    idle: Duration = 60.0
    max_message: Size = 1 << 30
    max_datagram: int = 61_440
    receive_buffer: Size = 4 << 20
    busy_poll_us: int = 0

    def __post_init__(self) -> None:
        _require(0 <= self.busy_poll_us <= 1000, "busy_poll_us must be from 0 (off) to 1000 microseconds")
        _require(0 < self.keepalive < self.timeout, "keepalive must be more than 0 and less than timeout")
        _require(self.handshake_timeout > 0, "handshake_timeout must be more than 0")
        _require(self.idle > self.timeout, "idle must be more than timeout")
        # 1200: what every IPv6 path carries, headers included (RFC 9000, 14). 65507: the most on IPv4.
        _require(1200 <= self.max_datagram <= 65507, "max_datagram must be from 1200 to 65507 bytes")
        _require(
            self.max_message > 0 and self.receive_buffer > 0,
            "max_message and receive_buffer must be more than 0",
        )


@dataclass(frozen=True, slots=True)
class GossipConfig:
    """The table [gossip]: how often news is told, to how many, and how often nodes compare all they know."""

    interval: Duration = 0.2
    fanout: int = 3
    sync_interval: Duration = 30.0

    def __post_init__(self) -> None:
        _require(self.interval > 0 and self.sync_interval > 0, "interval and sync_interval must be more than 0")
        _require(self.fanout >= 1, "fanout must be at least 1")


_TABLES: Mapping[str, type] = types.MappingProxyType(
    {"node": NodeConfig, "security": SecurityConfig, "transport": TransportConfig, "gossip": GossipConfig}
)


@dataclass(frozen=True, slots=True)
class Config:
    """All that a node is told before it starts. `plugins` has the raw tables; `plugin_config` checks one."""

    node: NodeConfig = NodeConfig()
    security: SecurityConfig = SecurityConfig()
    transport: TransportConfig = TransportConfig()
    gossip: GossipConfig = GossipConfig()
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
                raise ConfigError(f"unknown table [{name}]{_suggestion(name, _TABLES, '[{}]')}")
            else:
                # A new source of keys does not add to the old one, it takes its place.
                old = SecurityConfig() if name == "security" and table else getattr(self, name)
                changes[name] = overlay(old, table, f"[{name}]")
        return replace(self, **changes)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError: missing, unreadable, or malformed (says line, column)."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; `guthi init` writes a first node.toml") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


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
            raise ConfigError(f"unknown table [{name}]{_suggestion(name, [*_TABLES, 'plugins'], '[{}]')}")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{name} is not a table; write [{name}] and its keys below it")
    tables: dict[str, Any] = {
        name: read_table(kind, mapping.get(name, {}), f"[{name}]", _folder(source)) for name, kind in _TABLES.items()
    }
    plugins = dict(mapping.get("plugins", {}))
    for name, table in plugins.items():
        _require(isinstance(table, Mapping), f'"{name}" in [plugins] is not a table; write [plugins.{name}]')
    return Config(**tables, plugins=plugins, source=source)


def _with_environment(config: Config, environment: Mapping[str, str]) -> Config:
    changes: dict[str, Any] = {
        name: _from_environment(getattr(config, name), name, environment) for name in ("node", "transport", "gossip")
    }
    keys = environment.get("GUTHI_CLUSTER_KEY")
    if keys is not None:
        # Empty is refused: a forgotten secret must not open the network.
        _require(
            bool(keys.strip()),
            "GUTHI_CLUSTER_KEY is empty; unset it, or set it to what `guthi keygen` prints",
        )
        changes["security"] = SecurityConfig(cluster_keys=tuple(keys.replace(",", " ").split()))
    return replace(config, **changes)


def _from_environment(instance: T, table: str, environment: Mapping[str, str]) -> T:
    annotations = get_type_hints(type(instance), include_extras=True)
    known = {f"GUTHI_{table}_{key}".upper(): key for key in annotations}
    values = {}
    for variable in sorted(environment):
        if variable in known:
            annotation = annotations[known[variable]]
            try:
                value = _from_text(annotation, environment[variable])
                values[known[variable]] = _read(annotation, value, variable, None)
            except ValueError as error:
                raise ConfigError(f"{variable}: {error}") from None
        elif variable.startswith(f"GUTHI_{table}_".upper()):
            # A slip is refused. A name unlike ours is a stranger's: Kubernetes sets GUTHI_NODE_PORT itself.
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.9)
            _require(not close, f"unknown variable {variable}{_suggestion(variable, known)}")
    changed: T = _made(lambda: replace(_loose(instance), **values), f"the environment (GUTHI_{table.upper()}_…)")
    return changed


def _from_text(annotation: Any, text: str) -> object:
    """What a TOML file would hold in place of the text; a misfit stays text, for `_read` to complain of."""
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
    names = {name.strip() for name in wanted.split(",")}
    kept = tuple(name for name in config.node.plugins if name in names)
    return replace(config, node=replace(config.node, plugins=kept))


def _key_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"no such key file; make one with `guthi keygen > {path}`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the key file cannot be read: {error}") from None
    keys = [key for line in lines if (key := line.partition("#")[0].strip())]
    _require(bool(keys), f"the key file has no key; make one with `guthi keygen > {path}`")
    return keys
