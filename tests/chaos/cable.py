"""Decides what becomes of a frame between two hosts: whether it arrives, and how much later."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["Cable", "Condition"]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What befalls frames from some hosts to others; where several hold, a frame meets all of them."""

    sources: frozenset[str]
    targets: frozenset[str]
    loss: float = 0.0  # 1 is a cut
    delay_s: float = 0.0
    jitter_s: float = 0.0  # frames that leave closer together than this may overtake one another

    def holds(self, source: str, target: str) -> bool:
        """Whether this way is meant."""
        return source in self.sources and target in self.targets


class Cable:
    """All ways between the hosts. Without a condition every frame arrives at once."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._conditions: list[Condition] = []

    def impose(self, condition: Condition) -> None:
        """From now on it holds."""
        self._conditions.append(condition)

    def lift(self, condition: Condition) -> None:
        """It holds no more."""
        self._conditions.remove(condition)

    def delay_s(self, source: str, target: str) -> float | None:
        """How much later the frame arrives; None if it is lost."""
        total_s = 0.0
        for each in self._conditions:
            if each.holds(source, target):
                if self._random.random() < each.loss:
                    return None
                total_s += each.delay_s + self._random.uniform(0.0, each.jitter_s)
        return total_s
