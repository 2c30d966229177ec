"""What silence means: when a sign of life is asked for, when the peer is lost, and when nobody uses the session."""

from __future__ import annotations

import pytest

from guthi.transport.liveness import IDLE_MARGIN_S, Liveness

KEEPALIVE_S, TIMEOUT_S, IDLE_S = 5.0, 10.0, 60.0
BEGAN = 100.0
LONG_AFTER = BEGAN + 1000.0


def fresh(*, watched: bool = False) -> Liveness:
    liveness = Liveness(keepalive_s=KEEPALIVE_S, timeout_s=TIMEOUT_S, idle_s=IDLE_S, now=BEGAN)
    liveness.watched = watched
    return liveness


def verdicts(liveness: Liveness, now: float) -> set[str]:
    """The names of all that holds."""
    return {name for name in ("is_lost", "asks", "is_stale", "is_over") if getattr(liveness, name)(now)}


def test_one_that_nobody_watches_waits_for_nothing_until_it_is_stale_and_then_over() -> None:
    liveness = fresh()
    over_at = BEGAN + IDLE_S + IDLE_MARGIN_S
    assert (liveness.deadline, liveness.over_at) == (None, over_at)
    assert verdicts(liveness, BEGAN + IDLE_S - 0.1) == set()
    assert verdicts(liveness, BEGAN + IDLE_S) == {"is_stale"}
    assert verdicts(liveness, over_at - 0.1) == {"is_stale"}
    assert verdicts(liveness, over_at) == {"is_stale", "is_over"}


def test_use_puts_the_end_off_and_a_mere_sign_of_life_does_not() -> None:
    liveness = fresh()
    liveness.used(BEGAN + 50.0)
    liveness.heard(BEGAN + 55.0)
    assert liveness.over_at == BEGAN + 50.0 + IDLE_S + IDLE_MARGIN_S
    assert verdicts(liveness, BEGAN + 50.0 + IDLE_S) == {"is_stale"}


def test_a_watched_one_asks_when_it_has_heard_nothing_and_never_ends_by_itself() -> None:
    liveness = fresh(watched=True)
    liveness.heard(BEGAN + 2.0)
    assert liveness.deadline == BEGAN + 2.0 + KEEPALIVE_S
    assert verdicts(liveness, BEGAN + KEEPALIVE_S) == set()
    assert verdicts(liveness, BEGAN + 2.0 + KEEPALIVE_S) == {"asks"}
    assert verdicts(liveness, LONG_AFTER) == {"asks"}


@pytest.mark.parametrize("watched", [False, True])
def test_a_peer_that_owes_an_answer_for_too_long_is_lost(watched: bool) -> None:
    liveness = fresh(watched=watched)
    liveness.asked(BEGAN + 3.0)
    assert liveness.deadline == BEGAN + 3.0 + TIMEOUT_S
    assert verdicts(liveness, BEGAN + 3.0 + TIMEOUT_S - 0.1) == set()
    assert verdicts(liveness, BEGAN + 3.0 + TIMEOUT_S) == {"is_lost"}


def test_asking_again_gives_no_more_time() -> None:
    liveness = fresh()
    for seconds in range(9):
        liveness.asked(BEGAN + seconds)
    assert verdicts(liveness, BEGAN + TIMEOUT_S) == {"is_lost"}


def test_whatever_is_heard_pays_the_debt() -> None:
    liveness = fresh(watched=True)
    liveness.asked(BEGAN)
    liveness.heard(BEGAN + 9.0)
    assert liveness.deadline == BEGAN + 9.0 + KEEPALIVE_S
    assert verdicts(liveness, BEGAN + TIMEOUT_S) == set()
    liveness.asked(BEGAN + 20.0)
    assert liveness.deadline == BEGAN + 20.0 + TIMEOUT_S


def test_while_an_answer_is_owed_the_session_is_not_over_however_long_unused() -> None:
    liveness = fresh()
    liveness.asked(LONG_AFTER)
    assert verdicts(liveness, LONG_AFTER + 1.0) == {"is_stale"}
