"""Decides whom to ask for a message that others have and this node lacks, and when.

The tree is given time to bring the message; then the first who offered it is asked, then the next, round and round,
with pauses that double each round. A large message is given time by its size. After `keep_s` nobody has it any more,
and it is given up. (The timers of Plumtree, section 3.7: a long one before the first graft, shorter ones after.)

When a link of the tree breaks, many nodes lack the message at once, and one graft would do for all of them: it brings
the message to one, which pushes it on to the others. So that they do not all graft, and make of the tree what must be
pruned again, each node has a patience of its own, drawn between `graft_s` and twice as much; and it asks for several
messages, where it can, the same peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from guthi.api import NodeId
from guthi.broadcast.messages import MessageId
from guthi.broadcast.settings import BroadcastSettings
from guthi.transport.alarms import Alarms

__all__ = ["Missing"]

MOST_MISSING = 65_536
MOST_SOURCES = 16
MOST_DOUBLINGS = 4


@dataclass(slots=True)
class _Lack:
    """A message that this node has only heard of."""

    size_bytes: int
    given_up_at: float
    sources: list[NodeId]
    ask_at: float
    asked: int = 0

    def pause_s(self, settings: BroadcastSettings) -> float:
        rounds: int = min(self.asked // len(self.sources), MOST_DOUBLINGS)
        return settings.graft_again_s * (1 << rounds) + self.size_bytes / settings.pace_bytes_s


class Missing:
    """All that this node lacks and others have offered."""

    def __init__(self, settings: BroadcastSettings, rng: Random) -> None:
        self._settings = settings
        self._patience_s = settings.graft_s * rng.uniform(1, 2)
        self._asked_last: NodeId | None = None
        self._lacks: dict[MessageId, _Lack] = {}
        self._alarms: Alarms[MessageId] = Alarms()

    def __len__(self) -> int:
        return len(self._lacks)

    def heard(self, id: MessageId, size_bytes: int, source: NodeId, now: float) -> None:
        """Somebody has a message that this node lacks."""
        lack = self._lacks.get(id)
        ask_at = now + self._patience_s + size_bytes / self._settings.pace_bytes_s
        if lack is None:
            if len(self._lacks) < MOST_MISSING:
                lack = self._lacks[id] = _Lack(size_bytes, now + self._settings.keep_s, [source], ask_at)
                self._ask(id, lack, ask_at)
        elif source in lack.sources:
            lack.asked = min(lack.asked, len(lack.sources))  # it has it, and is there: no long pauses any more
            self._ask(id, lack, min(ask_at, lack.ask_at))
        elif len(lack.sources) < MOST_SOURCES:
            lack.sources.append(source)

    def _ask(self, id: MessageId, lack: _Lack, moment: float) -> None:
        lack.ask_at = min(moment, lack.given_up_at)
        self._alarms.set(id, lack.ask_at)

    def came(self, id: MessageId) -> list[NodeId]:
        """The message has come; returns those who had offered it."""
        lack = self._lacks.pop(id, None)
        self._alarms.clear(id)
        return lack.sources if lack is not None else []

    @property
    def deadline(self) -> float | None:
        """When somebody is to be asked; it may be early."""
        return self._alarms.first

    def due(self, now: float) -> dict[NodeId, list[MessageId]]:
        """Whom to ask for what, now."""
        asked: dict[NodeId, list[MessageId]] = {}
        for id in self._alarms.due(now):
            lack = self._lacks[id]
            if now >= lack.given_up_at:
                del self._lacks[id]
                continue
            asked.setdefault(self._chosen(lack), []).append(id)
            lack.asked += 1
            self._ask(id, lack, now + lack.pause_s(self._settings))
        return asked

    def _chosen(self, lack: _Lack) -> NodeId:
        if lack.asked == 0 and self._asked_last in lack.sources:
            lack.sources.remove(self._asked_last)
            lack.sources.insert(0, self._asked_last)
        self._asked_last = lack.sources[lack.asked % len(lack.sources)]
        return self._asked_last
