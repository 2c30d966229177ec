"""Decides whether a TOML table fits a frozen dataclass, and says in one line what does not and how to mend it.

It knows nothing of Guthi's own tables: a plugin's `Config` class goes through it as well.
"""

from __future__ import annotations

import collections.abc
import difflib
import json
import math
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from guthi.api import Address
from guthi.errors import ConfigError, UsageError

__all__ = [
    "Duration",
    "Size",
    "Written",
    "annotations_of",
    "as_any",
    "checked",
    "overlay",
    "read_table",
    "read_toml",
    "read_value",
    "require",
    "shown",
    "suggestion",
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
    try:
        number = _number(value)
    except OverflowError:  # TOML's whole numbers have no end
        raise ValueError from None
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
"""For a field of a `Config`: seconds, which TOML may write as `"200ms"`, `"20s"`, `"5m"`, `"1h"` or `"1d"`."""
Size: TypeAlias = Annotated[int, Written('a size ("64 MiB", "1 GB", or bytes)', '"64 MiB"', _size)]
"""For a field of a `Config`: bytes, which TOML may write as `"64 KiB"`, `"64 MiB"` or `"1 GB"`."""

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
    for each in fields(as_any(cls)):
        if each.init and each.default is MISSING and each.default_factory is MISSING and each.name not in values:
            raise ConfigError(f'{where} misses the key "{each.name}"')
    return checked(lambda: cls(**values), where)


def overlay(instance: T, table: Mapping[str, Any], where: str, folder: Path | None = None) -> T:
    """A copy of a dataclass instance in which the keys of `table` have new values; else as `read_table`."""
    values = _read_keys(type(instance), table, where, folder)
    changed: T = checked(lambda: replace(as_any(instance), **values), where)
    return changed


def as_any(value: object) -> Any:
    # `type[T]` cannot say "a dataclass": typeshed keeps that protocol to itself.
    return value


def checked(make: Callable[[], T], where: str) -> T:
    try:
        return make()
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


@lru_cache(maxsize=256)
def annotations_of(cls: type) -> Mapping[str, Any]:
    """The resolved annotations of a class; resolving compiles each of them, so it is done once a class."""
    return types.MappingProxyType(get_type_hints(cls, include_extras=True))


def _read_keys(cls: type, table: Mapping[str, Any], where: str, folder: Path | None) -> dict[str, Any]:
    annotations = annotations_of(cls)
    known = [each.name for each in fields(as_any(cls)) if each.init]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f'unknown key "{key}" in {where}{suggestion(key, known)}')
        try:
            values[key] = read_value(annotations[key], value, f'"{key}" of {where}', folder)
        except ValueError as error:
            raise ConfigError(f'"{key}" in {where}: {error}') from None
    return values


def suggestion(word: str, known: Iterable[str], quoted: str = '"{}"') -> str:
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {quoted.format(close[0])}?"
    return "; known are " + ", ".join(known) if known else "; it takes no keys"


def read_value(annotation: Any, value: Any, where: str, folder: Path | None) -> Any:
    """Raises ValueError with the bare reason; ConfigError where a nested table has already said the place."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if origin is Annotated:
        written = next((note for note in arguments[1:] if isinstance(note, Written)), None)
        return _fit(written, value) if written else read_value(arguments[0], value, where, folder)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, value, where, folder)
    if origin is tuple and arguments[1:] == (...,):
        items = _fit(Written("a list", f"[{_example(arguments[0])}]", _instance(list, tuple)), value)
        return tuple(read_value(arguments[0], item, where, folder) for item in items)
    if origin is collections.abc.Mapping:
        return {key: read_value(arguments[1], item, where, folder) for key, item in _fit(_TABLE, value).items()}
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
    raise UsageError(f"{where}: {annotation} has no form in TOML; read_table lists the annotations")


_TABLE = Written("a table", '{ key = "value" }', _instance(Mapping))


def _read_union(members: tuple[Any, ...], value: Any, where: str, folder: Path | None) -> Any:
    if value is None and types.NoneType in members:
        return None
    reasons = []
    for member in members:
        if member is not types.NoneType:
            try:
                return read_value(member, value, where, folder)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError("; or else ".join(reasons))


def _choice(choices: Mapping[Any, Any], value: Any) -> Any:
    for choice, meaning in choices.items():
        if type(choice) is type(value) and choice == value:
            return meaning
    listed = [shown(choice) for choice in choices]
    raise ValueError(f"{shown(value)} is not one of {', '.join(listed)}; write for example {listed[0]}")


def _fit(written: Written, value: Any) -> Any:
    try:
        return written.parse(value)
    except ConfigError as error:  # it says the mend itself
        raise ValueError(str(error)) from None
    except (ValueError, TypeError) as error:
        reason = f" ({error})" if str(error) else ""
        message = f"{shown(value)} is not {written.kind}{reason}; write for example {written.example}"
        raise ValueError(message) from None


def _example(annotation: Any) -> str:
    notes = [*get_args(annotation)[1:], _PLAIN.get(annotation)]
    return next((note.example for note in notes if isinstance(note, Written)), "…")


def shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise ConfigError(reason)


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
