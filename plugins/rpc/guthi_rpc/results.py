"""What a map has found: each item once, as it comes or in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from guthi_rpc.items import Item

__all__ = ["MapResult", "Outcome", "Results"]


class Outcome(NamedTuple):
    """What a node made of one item; `error` is what the function raised, None where it did not."""

    value: Any
    seconds: float
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class MapResult:
    """One result of a map; unpacks into `item, value`.

    `index` is the item's place in the input, `node` the name of the node that computed it, `seconds` how long it took
    there, and `lost_on` the nodes that were lost with it before. Where errors are asked for as results, `error` is what
    the function raised, and the value is None.
    """

    index: int
    item: Any
    value: Any
    node: str
    seconds: float
    error: Exception | None = None
    lost_on: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        yield self.item
        yield self.value


class Results:
    """The results of one map; `ready` are those that may be given to the consumer now."""

    def __init__(self, ordered: bool) -> None:
        self.ready: deque[MapResult] = deque()
        self._early: dict[int, MapResult] | None = {} if ordered else None
        self._next = 0
        self._copied: dict[int, bool] = {}  # items that more than one node has, and whether there is a result

    @property
    def ahead(self) -> int:
        """Results that wait for an earlier one."""
        return len(self._early) if self._early is not None else 0

    def copied(self, items: Sequence[Item]) -> None:
        """There may be more than one result for these from now on."""
        self._copied.update((item.index, False) for item in items)

    def has(self, item: Item) -> bool:
        """Whether there is a result for an item of which there are copies."""
        return self._copied.get(item.index, False)

    def add(self, item: Item, outcome: Outcome, node: str) -> bool:
        """Take a result; False if the item had one already."""
        if item.index in self._copied:
            if self._copied[item.index]:
                return False
            self._copied[item.index] = True
        result = MapResult(item.index, item.value, outcome.value, node, outcome.seconds, outcome.error, item.lost_on)
        if self._early is None:
            self.ready.append(result)
            return True
        self._early[item.index] = result
        while (following := self._early.pop(self._next, None)) is not None:
            self.ready.append(following)
            self._next += 1
        return True
