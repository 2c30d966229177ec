"""What servers of the peers without remote calls of their own do: answer a packed `[number, name, argument…]`.

The framing is MessagePack, the fastest at hand; numbers let answers come in any order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgpack
import numpy as np

from performance.shape import payload

__all__ = ["FUNCTIONS", "add", "array_sum", "nap", "respond"]


def add(a: int, b: int) -> int:
    """The small call."""
    return a + b


def array_sum(raw: bytes) -> float:
    """The sum of an array that came as bytes."""
    return float(np.frombuffer(raw, np.float64).sum())


def nap(seconds: float) -> None:
    """A task that takes that long, and no processor."""
    time.sleep(seconds)


FUNCTIONS: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {"add": add, "bulk": payload, "array_sum": array_sum}
)


def respond(request: bytes) -> bytes:
    """The packed `[number, result]`."""
    number, name, *arguments = msgpack.unpackb(request)
    packed: bytes = msgpack.packb((number, FUNCTIONS[name](*arguments)))
    return packed
