"""Decides which chunk of a file is asked of which holder, so that it comes in order, soon, and in bounded memory.

Each chunk goes through

| state   | meaning                                | leaves by                                                     |
|---------|----------------------------------------|---------------------------------------------------------------|
| wanted  | nobody is asked for it                 | `asks`                                                        |
| asked   | one holder is, or two if it is late    | `arrived`; back to wanted by `missed`, `failed`, `lost`       |
| there   | it has come and was verified           | `taken`: the reader has it                                    |

- Only the first `ahead` chunks that the reader has not taken are asked for or kept: that bounds the memory.
- The next chunk goes to the holder with most room in its `Window`; of equals to the one with the lower id.
- A holder is asked for several together, a *run*: for half of its window, so that two are under way, but for MOST_ASKED
  at most. The next one waits until all of it fits into the window: else runs would become shorter and shorter.
- A holder that says it has not got a chunk is not asked for that one again; after `MOST_MISSES` in a row for none.
- One that fails rests, each time for twice as long, and is given up when it has done nothing but fail for `patience_s`.
- The chunk that the reader waits for, when it is late, is asked of a second holder as well; the first answer counts.
- When no holder is left that may have a wanted chunk, the swarm `is_exhausted`.

After BitTorrent (Cohen, "Incentives build robustness in BitTorrent", 2003), of which it has the pipelining and the
endgame; chunks go in order rather than rarest first, for somebody is reading them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from guthi import NodeId
from guthi_gutfs.chunks import MOST_ASKED
from guthi_gutfs.transfer.window import Window

__all__ = ["Ask", "Run", "Swarm"]

FIRST_REST_S, LONGEST_REST_S = 0.1, 5.0
LATE_AFTER = 4.0  # times as long as chunks of that holder take, and
LATE_AFTER_S = 0.25
MOST_MISSES = 8


class Ask(NamedTuple):
    """Ask this holder for that chunk."""

    holder: NodeId
    chunk: int


class Run(NamedTuple):
    """Ask this holder for those chunks, together."""

    holder: NodeId
    chunks: tuple[int, ...]


@dataclass(slots=True)
class _Holder:
    """One that has the file, or parts of it."""

    window: Window = field(default_factory=Window)
    asked: dict[int, float] = field(default_factory=dict)  # since when
    lacking: set[int] = field(default_factory=set)
    misses: int = 0  # in a row
    failing_since: float | None = None
    rest_s: float = FIRST_REST_S
    resting_until: float = -inf

    @property
    def room(self) -> float:
        """Which part of its window is free."""
        return 1 - len(self.asked) / self.window.chunks

    @property
    def run_chunks(self) -> int:
        """How many it is asked for together."""
        return max(min(self.window.chunks // 2, MOST_ASKED), 1)

    def free_chunks(self, now: float) -> int:
        """How many it may be asked for now: whole runs."""
        if self.resting_until > now:
            return 0
        return max(self.window.chunks - len(self.asked), 0) // self.run_chunks * self.run_chunks


class Swarm:
    """The chunks `wanted` of one file, in the order in which they are to be read, and who has them."""

    def __init__(self, wanted: Sequence[int], ahead: int, patience_s: float) -> None:
        self._ahead, self._patience_s = ahead, patience_s
        self._order = list(dict.fromkeys(wanted))
        self._next = 0  # in the order: what the reader takes next
        self._there: set[int] = set()
        self._asked: Counter[int] = Counter()  # how many holders are asked for a chunk, of those that any is
        self._holders: dict[NodeId, _Holder] = {}

    # ---- who has it

    @property
    def holders(self) -> list[NodeId]:
        """Those that have not been given up."""
        return sorted(self._holders)

    def join(self, holder: NodeId) -> None:
        """Somebody may have chunks."""
        self._holders.setdefault(holder, _Holder())

    def lost(self, holder: NodeId) -> None:
        """It is gone; what it was asked for is wanted again."""
        known = self._holders.pop(holder, None)
        for index in known.asked if known is not None else ():
            self._asks_no_more(index)

    # ---- what to do

    @property
    def horizon(self) -> list[int]:
        """The chunks that may be asked for or kept now."""
        return self._order[self._next : self._next + self._ahead]

    @property
    def is_done(self) -> bool:
        """Whether the reader has taken all."""
        return self._next >= len(self._order)

    @property
    def is_exhausted(self) -> bool:
        """Whether the chunk that the reader waits for is not to be had."""
        if self.is_done or self._order[self._next] in self._there:
            return False
        index = self._order[self._next]
        return all(index in holder.lacking for holder in self._holders.values())

    def runs(self, now: float) -> list[Run]:
        """What to ask for now, of each holder together; it counts as asked."""
        of_each: dict[NodeId, list[int]] = defaultdict(list)
        for holder, chunk in self.asks(now):
            of_each[holder].append(chunk)
        runs = []
        for holder, chunks in of_each.items():
            length = self._holders[holder].run_chunks
            runs += [Run(holder, tuple(chunks[start : start + length])) for start in range(0, len(chunks), length)]
        return runs

    def asks(self, now: float) -> list[Ask]:
        """As `runs`, chunk by chunk."""
        asks: list[Ask] = []
        free = {name: chunks for name, each in self._holders.items() if (chunks := each.free_chunks(now))}
        for index in self.horizon:
            if index in self._there or index in self._asked:
                continue
            if not free:
                break
            if (ask := self._ask(index, now, free)) is not None:
                asks.append(ask)
                free[ask.holder] -= 1
                if not free[ask.holder]:
                    del free[ask.holder]
        late = self._late(now)
        return [*asks, late] if late is not None else asks

    def _late(self, now: float) -> Ask | None:
        """Ask a second holder for what the reader waits for, if the first takes too long."""
        if self.is_done or now < self._late_at():
            return None
        free = [name for name, each in self._holders.items() if each.room > 0 and each.resting_until <= now]
        return self._ask(self._order[self._next], now, free)

    def _ask(self, index: int, now: float, free: Iterable[NodeId]) -> Ask | None:
        able = [
            (-holder.room, name)
            for name, holder in ((name, self._holders[name]) for name in free)
            if index not in holder.lacking and index not in holder.asked
        ]
        if not able:
            return None
        _, name = min(able)
        self._holders[name].asked[index] = now
        self._asked[index] += 1
        return Ask(name, index)

    def _answered(self, holder: _Holder, index: int) -> float | None:
        """A holder is asked for a chunk no more; since when it was."""
        since = holder.asked.pop(index, None)
        if since is not None:
            self._asks_no_more(index)
        return since

    def _asks_no_more(self, index: int) -> None:
        self._asked[index] -= 1
        if not self._asked[index]:
            del self._asked[index]

    def _late_at(self) -> float:
        """When the chunk that the reader waits for is late; never if two are asked already, or nobody is."""
        index = self._order[self._next]
        if self._asked.get(index) != 1 or index in self._there:
            return inf
        asked = next(each for each in self._holders.values() if index in each.asked)
        usual_s = asked.window.smoothed_s
        return inf if usual_s is None else asked.asked[index] + LATE_AFTER * usual_s + LATE_AFTER_S

    def deadline(self, now: float) -> float | None:
        """When `asks` may have more to say although nothing has happened."""
        moments = [each.resting_until for each in self._holders.values() if each.resting_until > now]
        if not self.is_done and (late_at := self._late_at()) > now:
            moments.append(late_at)
        return min((each for each in moments if each < inf), default=None)

    # ---- what has happened

    def found(self, indices: Iterable[int]) -> None:
        """These are here already, and were verified."""
        self._there.update(indices)

    def arrived(self, holder: NodeId, index: int, now: float) -> bool:
        """A holder has sent a chunk, which was verified; whether it was still wanted."""
        known = self._holders.get(holder)
        if known is not None and (since := self._answered(known, index)) is not None:
            known.window.arrived(now - since)
            known.failing_since, known.rest_s, known.misses = None, FIRST_REST_S, 0
        if index in self._there or index not in self.horizon:
            return False
        self._there.add(index)
        return True

    def missed(self, holder: NodeId, index: int) -> None:
        """It has not got that chunk."""
        if (known := self._holders.get(holder)) is not None:
            self._answered(known, index)
            known.lacking.add(index)
            known.misses += 1
            if known.misses == MOST_MISSES:
                self.lost(holder)

    def failed(self, holder: NodeId, index: int, now: float) -> None:
        """It did not answer, or what it sent was not the chunk."""
        known = self._holders.get(holder)
        if known is None:
            return
        self._answered(known, index)
        if known.resting_until > now:
            return  # several were asked for together, and fail together
        known.window.failed()
        known.failing_since = now if known.failing_since is None else known.failing_since
        if now - known.failing_since >= self._patience_s:
            self.lost(holder)
            return
        known.resting_until = now + known.rest_s
        known.rest_s = min(known.rest_s * 2, LONGEST_REST_S)

    def taken(self) -> int:
        """The reader takes the next chunk, which has to be there; returns which one it was."""
        index = self._order[self._next]
        self._there.remove(index)
        self._next += 1
        return index

    @property
    def next_is_there(self) -> bool:
        """Whether the reader need not wait."""
        return not self.is_done and self._order[self._next] in self._there
