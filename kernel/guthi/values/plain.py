"""Writes the CBOR of small plain values: numbers, texts, bytes, and lists and maps of these.

Most of what nodes say is that, and cbor2 takes a microsecond or two for each list and map, however short. The bytes are
the same as those of cbor2. What is not of exactly these types, long, or nested too deep is left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from types import NoneType
from typing import Any, Final

__all__ = ["MAX_LEVELS", "plain_cbor"]

MAX_LEVELS: Final = 8  # of lists and maps within one another
MAX_ITEMS: Final = 23  # of a list, of a map, and characters of a text: what the first byte of an item can say
_LONGEST: Final = 255

_BYTE, _SHORT, _LONG, _LONGER = Struct(">BB").pack, Struct(">BH").pack, Struct(">BI").pack, Struct(">BQ").pack
_FLOAT = Struct(">Bd").pack


def _heads(major: int) -> tuple[bytes, ...]:
    return tuple(bytes([major << 5 | count]) for count in range(MAX_ITEMS + 1))


_POSITIVE, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP = map(_heads, range(6))


class _NotPlain(Exception):
    """The value is for cbor2."""


def plain_cbor(value: Any) -> bytes | None:
    """The CBOR of a value; None where it is not that small and plain."""
    try:
        return _FORMS[type(value)](value, MAX_LEVELS)
    except (KeyError, _NotPlain, UnicodeEncodeError):
        return None


def _integer(value: int, _: int) -> bytes:
    if value >= 0:
        if value <= MAX_ITEMS:
            return _POSITIVE[value]
        if value <= 0xFF:
            return _BYTE(0x18, value)
        if value <= 0xFFFF:
            return _SHORT(0x19, value)
        if value <= 0xFFFF_FFFF:
            return _LONG(0x1A, value)
        if value <= 0xFFFF_FFFF_FFFF_FFFF:
            return _LONGER(0x1B, value)
    elif value >= -1 - MAX_ITEMS:
        return _NEGATIVE[-1 - value]
    raise _NotPlain


def _real(value: float, _: int) -> bytes:
    if value - value == 0.0:
        return _FLOAT(0xFB, value)
    raise _NotPlain  # infinite, or no number: shorter forms


def _text(value: str, _: int) -> bytes:
    encoded = value.encode()
    size_bytes = len(encoded)
    if size_bytes <= MAX_ITEMS:
        return _TEXT[size_bytes] + encoded
    if size_bytes <= _LONGEST:
        return _BYTE(0x78, size_bytes) + encoded
    raise _NotPlain


def _string(value: bytes, _: int) -> bytes:
    size_bytes = len(value)
    if size_bytes <= MAX_ITEMS:
        return _BYTES[size_bytes] + value
    if size_bytes <= _LONGEST:
        return _BYTE(0x58, size_bytes) + value
    raise _NotPlain


def _list(value: list[Any] | tuple[Any, ...], levels: int) -> bytes:
    count = len(value)
    if count > MAX_ITEMS or not levels:
        raise _NotPlain
    forms, levels = _FORMS, levels - 1
    return _LIST[count] + b"".join([forms[type(each)](each, levels) for each in value])


def _map(value: dict[Any, Any], levels: int) -> bytes:
    count = len(value)
    if not count:
        return _MAP[0]
    if count > MAX_ITEMS or not levels:
        raise _NotPlain
    forms, levels = _FORMS, levels - 1
    items = [_KEYS[type(key)](key, 0) + forms[type(each)](each, levels) for key, each in value.items()]
    return _MAP[count] + b"".join(items)


_KEYS: Final[dict[type, Callable[[Any, int], bytes]]] = {
    int: _integer,
    str: _text,
    float: _real,
    bool: lambda value, _: b"\xf5" if value else b"\xf4",
    NoneType: lambda value, _: b"\xf6",
}
_FORMS: Final[dict[type, Callable[[Any, int], bytes]]] = {
    **_KEYS,
    bytes: _string,
    list: _list,
    tuple: _list,
    dict: _map,
}
