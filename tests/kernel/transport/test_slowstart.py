"""HyStart++ against RFC 9406: rounds, a rise of the round trip, noise, and the end."""

from __future__ import annotations

from guthi.transport.slowstart import SlowStart, SlowStartPhase

PACKETS_A_ROUND = 10


class Rounds:
    """Rounds of ten packets, each with its round trips."""

    def __init__(self) -> None:
        self.slow_start = SlowStart()
        self.number = 0

    def pass_by(self, *round_trips_s: float) -> SlowStartPhase:
        for round_trip_s in round_trips_s:
            for _ in range(PACKETS_A_ROUND):
                self.slow_start.sampled(round_trip_s, self.number, self.number + PACKETS_A_ROUND)
                self.number += 1
        return self.slow_start.phase


def test_steady_round_trips_double_on() -> None:
    assert Rounds().pass_by(*[0.02] * 20) is SlowStartPhase.DOUBLING


def test_a_rise_below_four_milliseconds_is_noise() -> None:
    assert Rounds().pass_by(0.0001, 0.0040, 0.0079) is SlowStartPhase.DOUBLING


def test_a_rise_makes_it_cautious() -> None:
    rounds = Rounds()
    assert rounds.pass_by(0.020, 0.0241) is SlowStartPhase.CAUTIOUS
    assert rounds.slow_start.growth_bytes(1000) == 250


def test_on_a_long_path_the_rise_is_an_eighth_of_the_round_trip_but_sixteen_milliseconds_at_most() -> None:
    assert Rounds().pass_by(0.080, 0.0895) is SlowStartPhase.DOUBLING
    assert Rounds().pass_by(0.080, 0.0901) is SlowStartPhase.CAUTIOUS
    assert Rounds().pass_by(1.0, 1.0161) is SlowStartPhase.CAUTIOUS


def test_when_the_round_trip_falls_again_it_doubles_on() -> None:
    assert Rounds().pass_by(0.020, 0.030, 0.021) is SlowStartPhase.DOUBLING


def test_five_cautious_rounds_are_the_end() -> None:
    rounds = Rounds()
    assert rounds.pass_by(0.020, *[0.030] * 5) is SlowStartPhase.CAUTIOUS
    assert rounds.pass_by(0.030) is SlowStartPhase.OVER


def test_fewer_than_eight_samples_say_nothing() -> None:
    slow_start = SlowStart()
    for number in range(100):
        slow_start.sampled(0.02 * (1 + number), number, number + 1)  # rounds of one packet
    assert slow_start.phase is SlowStartPhase.DOUBLING


def test_a_loss_is_the_end() -> None:
    slow_start = SlowStart()
    slow_start.end()
    assert slow_start.phase is SlowStartPhase.OVER
