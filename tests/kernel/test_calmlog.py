"""The log of what others cause: the first lines of a kind, then few, and none is lost from the count."""

from __future__ import annotations

import logging

import pytest

from guthi.calmlog import BURST, SECONDS_A_LINE, CalmLog


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_of_one_kind_is_cut_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = CalmLog(logging.getLogger("guthi.test"), clock)
    for number in range(1000):
        log.warning("peer %s sent nonsense", number)
    assert caplog.messages == [f"peer {number} sent nonsense" for number in range(BURST)]
    clock.now += SECONDS_A_LINE
    log.warning("peer %s sent nonsense", "last")
    assert caplog.messages[BURST:] == [f"peer last sent nonsense ({1000 - BURST} more like this were not logged)"]


def test_kinds_do_not_silence_one_another(caplog: pytest.LogCaptureFixture) -> None:
    log = CalmLog(logging.getLogger("guthi.test"), Clock())
    for _ in range(100):
        log.warning("one")
    log.error("another", exc_info=ValueError("why"))
    assert caplog.messages[-1] == "another"
    assert caplog.records[-1].levelno == logging.ERROR and caplog.records[-1].exc_info is not None
