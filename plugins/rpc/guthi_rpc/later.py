"""Something to be awaited that has not begun: one that never is leaves nothing behind, as a coroutine would."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Later"]

T = TypeVar("T")


class Later(Generic[T]):
    """Begins when it is awaited."""

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[Any, Any, T]:
        return self._begin().__await__()
