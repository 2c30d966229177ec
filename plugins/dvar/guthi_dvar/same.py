"""Decides whether two values of a variable are equal, arrays within them too."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["is_same"]


def is_same(first: Any, second: Any) -> bool:
    """Whether two values are equal, arrays in them too."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, list | tuple) and type(first) is type(second):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(value, second[key]) for key, value in first.items())
    return bool(first == second)
