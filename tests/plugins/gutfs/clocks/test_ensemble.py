"""What time the network has: medians, servers, bounds."""

from __future__ import annotations

from guthi import NodeId
from guthi_gutfs.clocks.ensemble import FORGOTTEN_AFTER_S, MOST_PEERS, ClockEnsemble
from guthi_health import ClockSample


def peer(number: int) -> NodeId:
    return NodeId(number.to_bytes(16, "big"))


def echo(offset_s: float, delay_s: float = 0.002) -> ClockSample:
    """An echo of a clock that is so far ahead, whose two ways took as long as one another."""
    return ClockSample(100.0, 100.0 + delay_s / 2 + offset_s, 100.0 + delay_s / 2 + offset_s, 100.0 + delay_s)


def test_alone_a_node_believes_its_clock() -> None:
    assert ClockEnsemble().correction_s(0.0) == 0.0


def test_the_median_of_all_clocks_counts() -> None:
    ensemble = ClockEnsemble()
    for number, offset_s in enumerate([2.0, 3.0, 4.0, 1e6]):
        ensemble.heard(peer(number), echo(offset_s), None, 0.0)
    assert abs(ensemble.correction_s(1.0) - 3.0) < 1e-6


def test_two_nodes_meet_in_the_middle() -> None:
    ours, theirs = ClockEnsemble(), ClockEnsemble()
    ours.heard(peer(1), echo(10.0), None, 0.0)
    theirs.heard(peer(2), echo(-10.0), None, 0.0)
    assert abs((100.0 + ours.correction_s(0.0)) - (110.0 + theirs.correction_s(0.0))) < 1e-6


def test_peers_that_a_server_told_count_before_all_others() -> None:
    ensemble = ClockEnsemble()
    for number in range(3):
        ensemble.heard(peer(number), echo(50.0), None, 0.0)
    ensemble.heard(peer(9), echo(7.0), -4.0, 0.0)
    assert abs(ensemble.correction_s(0.0) - 3.0) < 1e-6
    ensemble.served_s = 0.25
    assert ensemble.correction_s(0.0) == 0.25


def test_an_uncertain_or_old_clock_does_not_count() -> None:
    ensemble = ClockEnsemble()
    ensemble.heard(peer(1), echo(50.0, delay_s=3.0), None, 0.0)
    assert ensemble.correction_s(0.0) == 0.0
    ensemble.heard(peer(2), echo(50.0), None, 0.0)
    assert ensemble.correction_s(FORGOTTEN_AFTER_S / 2) > 0
    assert ensemble.correction_s(FORGOTTEN_AFTER_S + 1) == 0.0


def test_who_is_lost_is_forgotten_and_there_is_a_bound() -> None:
    ensemble = ClockEnsemble()
    for number in range(MOST_PEERS + 1):
        ensemble.heard(peer(number), echo(1.0), None, 0.0)
    assert ensemble.offset(peer(0), 0.0) is None
    assert ensemble.offset(peer(1), 0.0) is not None
    ensemble.lost(peer(1))
    assert ensemble.offset(peer(1), 0.0) is None
