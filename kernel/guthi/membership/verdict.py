"""Why a member counts as SUSPECT or FAILED: who says so, how that one looked, what it saw, and how well it was itself.

A verdict is for people and for detectors. It travels in the record of the accused and has no part in the order of
records: where two accuse a member of the same thing, each node keeps whichever verdict it heard first.
"""

from __future__ import annotations

from dataclasses import dataclass

from guthi.api import NodeId

__all__ = ["EVIDENCE_LIMIT_CHARACTERS", "HEALTH_LIMIT", "PATH_LIMIT_CHARACTERS", "Verdict"]

PATH_LIMIT_CHARACTERS = 120
EVIDENCE_LIMIT_CHARACTERS = 200
HEALTH_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure detector found.

    `path` is how it looked ("direct", "via bob, carol"), `evidence` what it saw ("no echo within 10 s"), `health` the
    accuser's own state at that time: 0 is healthy, and the higher, the likelier the fault is its own (Lifeguard).
    """

    accuser: NodeId
    path: str
    evidence: str
    health: int = 0

    @classmethod
    def given(cls, accuser: NodeId, path: str, evidence: str, health: int) -> Verdict:
        """One that others will read: texts cut to their limits, and made printable."""
        return cls(
            accuser,
            _brief(path, PATH_LIMIT_CHARACTERS),
            _brief(evidence, EVIDENCE_LIMIT_CHARACTERS),
            min(max(health, 0), HEALTH_LIMIT - 1),
        )


def _brief(text: str, limit: int) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
