"""The figures of docs/health.md in small: `make figures` has the large ones."""

from __future__ import annotations

import pytest
from tests.figures.crowd import Illness, curve
from tests.figures.swim import datagrams_a_second, detection, false_positives

from guthi_health import SwimSettings


def test_a_death_is_detected_and_known_in_time() -> None:
    found = detection(150, 6, SwimSettings(), seed=3)
    suspected_s, failed_s, known_s = found.medians_s
    assert suspected_s <= 2.0 and failed_s < known_s
    assert max(found.known_s) <= 10.0


def test_the_traffic_of_a_node_does_not_depend_on_their_number() -> None:
    small, large = (datagrams_a_second(nodes, SwimSettings(), 20.0) for nodes in (20, 200))
    assert large == pytest.approx(small, rel=0.2)
    assert small == pytest.approx(2 / 0.7, rel=0.05)  # a ping and an answer each interval


def test_lifeguard_spares_the_healthy() -> None:
    mistakes = {
        lifeguard: false_positives(60, 1, SwimSettings(lifeguard=lifeguard), Illness.HOLDING).total
        for lifeguard in (True, False)
    }
    assert mistakes[False] >= 20 * max(mistakes[True], 1)


def test_a_node_that_is_stopped_accuses_nobody_afterwards() -> None:
    assert false_positives(60, 1, SwimSettings(), Illness.STOPPED).total == 0


def test_an_epidemic_reaches_all_in_logarithmic_time() -> None:
    shares = curve(1000)
    assert shares[-1] == 1.0 and len(shares) <= 10
    assert shares == sorted(shares)
