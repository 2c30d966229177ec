"""What a node says of how it sees the others, to whoever asks on `health.table`: `guthi health`, a dashboard.

The answer is `[detector, own score, [[name, id, state, is watched, rtt s, answered s ago, suspicion, verdict], ...]]`,
with null for what is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from guthi import MalformedMessage, Member, NodeId
from guthi_health.watch import Sight

__all__ = ["TOPIC", "Report", "Row", "from_wire", "to_wire"]

TOPIC = "health.table"


@dataclass(frozen=True, slots=True)
class Row:
    """One node as another sees it; `rtt_s` and `answered_ago_s` are None while it has answered no ping."""

    name: str
    id: str
    state: str
    is_watched: bool
    rtt_s: float | None
    answered_ago_s: float | None
    suspicion: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that one node sees, by which detector, and how well it thinks it is itself (0: well)."""

    detector: str
    score: int
    rows: tuple[Row, ...]


def to_wire(detector: str, score: int, sights: Sequence[Sight], name_of: Callable[[NodeId], str]) -> list[Any]:
    return [detector, score, [_row(each, name_of) for each in sights]]


def _row(sight: Sight, name_of: Callable[[NodeId], str]) -> list[Any]:
    member = sight.member
    verdict = _in_words(member, name_of)
    state = member.state.name.lower()
    known = [sight.is_watched, sight.rtt_s, sight.answered_ago_s, sight.suspicion]
    return [member.name, str(member.id), state, *known, verdict]


def _in_words(member: Member, name_of: Callable[[NodeId], str]) -> str:
    verdict = member.verdict
    if verdict is None:
        return ""
    health = f", itself at {verdict.health}" if verdict.health else ""
    return f"{name_of(verdict.accuser)}{health} ({verdict.path}): {verdict.evidence}"


def from_wire(value: Any) -> Report:
    """Raises MalformedMessage."""
    match value:
        case [str(detector), int(score), list(rows)]:
            return Report(detector, score, tuple(_read(each) for each in rows))
    raise MalformedMessage("a health table is a detector, a score and rows")


def _read(value: Any) -> Row:
    match value:
        case [str(name), str(id), str(state), bool(watched), rtt, ago, str(suspicion), str(verdict)]:
            if all(each is None or isinstance(each, int | float) for each in (rtt, ago)):
                return Row(name, id, state, watched, rtt, ago, suspicion, verdict)
    raise MalformedMessage("a row of a health table does not fit")
