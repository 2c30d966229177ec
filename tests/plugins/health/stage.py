"""What the tests of detectors share: members, and a clock that runs a machine up to a moment."""

from __future__ import annotations

from collections.abc import Callable

from tests.figures.crowd import Record, id_of, member_of

from guthi import Member, MemberState, NodeId
from guthi_health.detector import Detector, Effect

__all__ = ["ME", "ids", "member", "run"]

ME = id_of(0)


def member(number: int, state: MemberState = MemberState.ALIVE, incarnation: int = 0, accuser: int = 0) -> Member:
    """The record of a member that runs the plugin; one that is not ALIVE was accused by `accuser`."""
    return member_of(number, Record(incarnation, state.value, accuser))


def ids(*numbers: int) -> list[NodeId]:
    """Of these members."""
    return [id_of(number) for number in numbers]


def run(
    detector: Detector, since: float, until: float, react: Callable[[Effect, float], object] = lambda *_: None
) -> list[tuple[float, Effect]]:
    """All that a detector wants between two moments; `react` may answer it at once."""
    done: list[tuple[float, Effect]] = []
    while detector.deadline is not None and max(detector.deadline, since) <= until:
        now = max(detector.deadline, since)
        for effect in detector.on_deadline(now):
            done.append((now, effect))
            react(effect, now)
    return done
