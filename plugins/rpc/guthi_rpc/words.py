"""How values are written on the command line: JSON on the way in, where it is JSON, and always on the way out."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from math import isfinite
from typing import Any

import numpy as np

from guthi import UsageError

__all__ = ["read_arguments", "read_word", "written"]


def read_word(word: str) -> Any:
    """The value of a word: what it says as JSON, or else the word itself."""
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def read_arguments(words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by place and by name (`width=3`). Raises UsageError for what looks like an option."""
    places: list[Any] = []
    named: dict[str, Any] = {}
    for word in words:
        value = read_word(word)
        name, separator, rest = word.partition("=")
        if not isinstance(value, str) or word.startswith('"'):
            places.append(value)
        elif word.startswith("-"):
            raise UsageError(f"there is no option {word}; a text that begins with - is written as JSON: '\"{word}\"'")
        elif separator and name.isidentifier():
            if name in named:
                raise UsageError(f"the argument {name} is given twice")
            named[name] = read_word(rest)
        else:
            places.append(value)
    return places, named


def written(value: Any) -> str:
    """The value as one line of JSON.

    Arrays are nested lists, sets are lists, bytes are Base64, times are in ISO 8601; a number that is not finite is
    null, as in JavaScript.
    """
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """The value made of what JSON has."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if isfinite(value) else None
        case bytes() | bytearray() | memoryview():
            return b64encode(value).decode()
        case np.ndarray():
            return _plain(value.tolist())
        case Mapping():
            return {_key(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case set() | frozenset():
            return [_plain(each) for each in sorted(value, key=repr)]
        case date():
            return value.isoformat()
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else written(key)
