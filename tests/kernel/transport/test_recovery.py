"""Loss detection and round-trip times against RFC 9002, with numbers worked out by hand."""

from __future__ import annotations

import pytest

from guthi.errors import MalformedMessage
from guthi.transport.recovery import Recovery, RoundTrip, SentPacket

PEER_ACK_DELAY_S = 0.005


def recovery_with(*sent_at: float) -> Recovery[str]:
    """Packets 0, 1, ... of 100 bytes, sent at these moments."""
    recovery: Recovery[str] = Recovery(PEER_ACK_DELAY_S)
    for number, moment in enumerate(sent_at):
        recovery.sent(SentPacket(number, moment, 100, [f"body {number}"]))
        recovery.next_number = number + 1
    return recovery


def numbers(packets: list[SentPacket[str]]) -> list[int]:
    return [packet.number for packet in packets]


# ---- section 5: the round trip


def test_before_the_first_sample_a_tenth_of_a_second_is_assumed() -> None:
    assert RoundTrip().probe_interval_s(0.005) == pytest.approx(0.1 + 4 * 0.05 + 0.005)


def test_the_first_sample_is_taken_as_it_is() -> None:
    trip = RoundTrip()
    trip.sample(0.060, 0.010)
    assert (trip.smoothed_s, trip.variation_s, trip.minimum_s) == (0.060, 0.030, 0.060)


def test_later_samples_are_smoothed_without_the_peers_delay() -> None:
    trip = RoundTrip(0.060)
    trip.sample(0.080, 0.004)
    assert trip.latest_s == 0.080
    assert trip.variation_s == pytest.approx(0.75 * 0.030 + 0.25 * abs(0.060 - 0.076))  # 0.0265
    assert trip.smoothed_s == pytest.approx(0.875 * 0.060 + 0.125 * 0.076)  # 0.062


def test_a_delay_that_would_lead_below_the_minimum_is_not_taken_off() -> None:
    trip = RoundTrip(0.060)
    trip.sample(0.062, 0.004)
    assert trip.smoothed_s == pytest.approx(0.875 * 0.060 + 0.125 * 0.062)


def test_the_minimum_ignores_the_peers_delay() -> None:
    trip = RoundTrip(0.060)
    trip.sample(0.050, 0.040)
    assert trip.minimum_s == 0.050


def test_on_a_fast_link_a_probe_waits_for_the_granularity_of_clocks() -> None:
    trip = RoundTrip(0.00005)
    for _ in range(100):
        trip.sample(0.00005, 0.0)
    assert trip.probe_interval_s(0.0) == pytest.approx(0.00005 + 0.001)
    assert trip.loss_delay_s() == 0.001


def test_only_the_largest_number_of_an_ack_gives_a_sample() -> None:
    recovery = recovery_with(1.0, 1.1)
    recovery.acknowledge([(1, 1)], 0.0, 1.2)
    assert recovery.round_trip.latest_s == pytest.approx(0.1)
    recovery.acknowledge([(0, 1)], 0.0, 9.0)
    assert recovery.round_trip.latest_s == pytest.approx(0.1)


def test_a_late_ack_that_also_names_a_younger_packet_without_data_gives_no_sample() -> None:
    recovery = recovery_with(1.0)
    recovery.next_number = 2  # packet 1 held an acknowledgement only
    outcome = recovery.acknowledge([(0, 1)], 0.0, 1.5)
    assert numbers(outcome.acknowledged) == [0]
    assert not recovery.round_trip.sampled


def test_the_peer_cannot_claim_more_delay_than_it_may_take() -> None:
    recovery = recovery_with(1.0, 2.0)
    recovery.acknowledge([(0, 0)], 0.0, 1.010)
    recovery.acknowledge([(1, 1)], 1.0, 2.050)
    assert recovery.round_trip.smoothed_s == pytest.approx(0.875 * 0.010 + 0.125 * 0.045)


# ---- section 6.1: losses


def test_a_packet_three_older_than_an_acknowledged_one_is_lost() -> None:
    recovery = recovery_with(1.0, 1.0, 1.0, 1.0)
    assert numbers(recovery.acknowledge([(2, 2)], 0.0, 1.1).lost) == []
    assert numbers(recovery.acknowledge([(3, 3)], 0.0, 1.1).lost) == [0]
    assert len(recovery) == 1


def test_a_packet_nine_eighths_of_a_round_trip_older_is_lost() -> None:
    recovery = recovery_with(1.0, 1.2)
    outcome = recovery.acknowledge([(1, 1)], 0.0, 1.3)  # round trip 0.1; packet 0 was due at 1.1125
    assert numbers(outcome.lost) == [0]


def test_a_packet_that_may_still_come_is_lost_when_its_time_is_up() -> None:
    recovery = recovery_with(1.0, 1.01)
    assert numbers(recovery.acknowledge([(1, 1)], 0.0, 1.11).lost) == []
    assert recovery.loss_pending
    assert recovery.deadline == pytest.approx(1.0 + 0.1 * 9 / 8)
    assert recovery.detect_losses(1.1124) == []
    assert numbers(recovery.detect_losses(1.1126)) == [0]
    assert recovery.deadline is None


def test_an_acknowledged_packet_without_data_shows_losses_too() -> None:
    recovery = recovery_with(1.0)
    recovery.next_number = 4  # packets 1 to 3 held acknowledgements only, and are not tracked
    assert numbers(recovery.acknowledge([(3, 3)], 0.0, 1.1).lost) == [0]


def test_nothing_younger_than_the_largest_acknowledged_is_lost() -> None:
    recovery = recovery_with(1.0, 1.0, 9.0)
    assert numbers(recovery.acknowledge([(0, 1)], 0.0, 9.0).lost) == []
    assert not recovery.loss_pending


def test_bytes_in_flight_are_those_neither_acknowledged_nor_lost() -> None:
    recovery = recovery_with(*[1.0] * 6)
    assert recovery.in_flight_bytes == 600
    outcome = recovery.acknowledge([(5, 5), (1, 1)], 0.0, 1.1)
    assert numbers(outcome.acknowledged) == [1, 5]
    assert numbers(outcome.lost) == [0, 2]
    assert recovery.in_flight_bytes == 200
    assert numbers(list(recovery.in_flight)) == [3, 4]


def test_an_ack_that_comes_again_changes_nothing() -> None:
    recovery = recovery_with(1.0, 1.0)
    recovery.acknowledge([(0, 1)], 0.0, 1.1)
    outcome = recovery.acknowledge([(0, 1)], 0.0, 5.0)
    assert (outcome.acknowledged, outcome.lost) == ([], [])
    assert recovery.round_trip.latest_s == pytest.approx(0.1)


def test_a_late_ack_of_a_lost_packet_changes_nothing() -> None:
    recovery = recovery_with(*[1.0] * 4)
    recovery.acknowledge([(3, 3)], 0.0, 1.1)
    assert recovery.acknowledge([(3, 3), (0, 0)], 0.0, 1.2).acknowledged == []
    assert recovery.in_flight_bytes == 200


@pytest.mark.parametrize("ranges", [[(2, 2)], [(0, 2)], [(2**64 - 1, 2**64 - 1)], [(1, 2**63), (0, 0)]])
def test_an_ack_of_a_packet_never_sent_is_malformed(ranges: list[tuple[int, int]]) -> None:
    with pytest.raises(MalformedMessage, match="never sent"):
        recovery_with(1.0, 1.0).acknowledge(ranges, 0.0, 1.1)


# ---- section 6.2: probes


def test_a_probe_is_due_a_probe_interval_after_the_last_packet() -> None:
    recovery = recovery_with(1.0, 1.5)
    assert recovery.deadline == pytest.approx(1.5 + 0.305)


def test_probes_back_off_up_to_a_limit_and_an_ack_ends_it() -> None:
    recovery = recovery_with(1.0, 1.0)
    waits = []
    for probes in range(40):
        recovery.probes_in_a_row = probes
        assert recovery.deadline is not None
        waits.append(recovery.deadline - 1.0)
    assert waits[:4] == pytest.approx([0.305, 0.61, 1.22, 2.0])
    assert waits[-1] == pytest.approx(2.0)
    recovery.acknowledge([(0, 0)], 0.0, 1.1)
    assert recovery.probes_in_a_row == 0


def test_on_a_path_slower_than_the_limit_a_probe_waits_for_the_path() -> None:
    recovery: Recovery[str] = Recovery(PEER_ACK_DELAY_S, RoundTrip(3.0))
    recovery.sent(SentPacket(0, 1.0, 100, []))
    assert recovery.deadline == pytest.approx(1.0 + 3.0 + 6.0 + 0.005)


def test_with_nothing_in_flight_nothing_is_due() -> None:
    recovery = recovery_with(1.0)
    recovery.acknowledge([(0, 0)], 0.0, 1.1)
    assert recovery.deadline is None


# ---- section 7.6: persistent congestion


def after_a_sample(*sent_at: float) -> Recovery[str]:
    """Packet 0 gave a round trip of 0.1 s; packets 1, 2, ... were sent at these moments."""
    recovery = recovery_with(0.0)
    recovery.acknowledge([(0, 0)], 0.0, 0.1)
    for number, moment in enumerate(sent_at, 1):
        recovery.sent(SentPacket(number, moment, 100, [f"body {number}"]))
        recovery.next_number = number + 1
    return recovery


PERSISTENT_S = 3 * (0.1 + 4 * 0.05 + PEER_ACK_DELAY_S)  # with the interval before the new sample


def test_losses_over_three_probe_intervals_are_persistent_congestion() -> None:
    recovery = after_a_sample(1.0, 1.5, 1.01 + PERSISTENT_S, 2.1)
    outcome = recovery.acknowledge([(4, 4)], 0.0, 2.2)
    assert numbers(outcome.lost) == [1, 2, 3]
    assert outcome.persistent


def test_losses_closer_together_are_not() -> None:
    recovery = after_a_sample(1.0, 1.2, 1.5, 2.1)
    assert not recovery.acknowledge([(4, 4)], 0.0, 2.2).persistent


def test_an_acknowledgement_between_them_speaks_against_it() -> None:
    recovery = after_a_sample(1.0, 1.5, 1.01 + PERSISTENT_S, 2.1)
    outcome = recovery.acknowledge([(4, 4), (2, 2)], 0.0, 2.2)
    assert numbers(outcome.lost) == [1, 3]
    assert not outcome.persistent


def test_without_a_round_trip_measured_before_nothing_is_persistent() -> None:
    recovery = recovery_with(1.0, 1.5, 3.5, 3.6)
    assert not recovery.acknowledge([(3, 3)], 0.0, 3.7).persistent
