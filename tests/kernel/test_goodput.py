"""What a session makes of a path of 100 Mbit/s and 20 ms: goodput under loss, fair shares, the queue it leaves."""

from __future__ import annotations

from math import sqrt

import pytest
from tests.kernel.bottleneck import Bottleneck, fairness

ROUND_TRIP_S, BANDWIDTH_BYTES_S = 0.02, 12_500_000.0
PATH_BYTES = ROUND_TRIP_S * BANDWIDTH_BYTES_S  # the bandwidth-delay product
FRAGMENT_BYTES = 1200 - 14 - 16 - 33  # of a datagram, less header, tag and the fragment's own header


def cubic_response_bytes_s(loss: float) -> float:
    """The throughput that RFC 9438 gives for random loss: by its Reno region or by its curve, whichever is more."""
    reno = sqrt(1.5 / loss)
    curve = sqrt(sqrt(0.4 * (3 + 0.7) / (4 * (1 - 0.7)) * (ROUND_TRIP_S / loss) ** 3))
    return max(reno, curve) * FRAGMENT_BYTES / ROUND_TRIP_S


@pytest.mark.parametrize("seed", range(2))
def test_under_one_per_cent_loss_goodput_is_what_cubic_can_have(seed: int) -> None:
    path = Bottleneck(loss=0.01, seed=seed)
    path.run(30.0)
    assert path.flows[0].delivered_bytes / 30.0 >= 0.9 * cubic_response_bytes_s(0.01)
    assert path.mean_queue_bytes < 2 * PATH_BYTES


def test_two_flows_under_loss_share_fairly() -> None:
    path = Bottleneck(loss=0.01, begin_at=(0.0, 1.0))
    path.run(1.0)
    before = [flow.delivered_bytes for flow in path.flows]
    path.run(16.0)
    shares = [flow.delivered_bytes - earlier for flow, earlier in zip(path.flows, before, strict=True)]
    assert fairness([float(share) for share in shares]) >= 0.95


def test_a_late_comer_on_a_full_path_gets_its_share() -> None:
    path = Bottleneck(begin_at=(0.0, 1.0), datagram_bytes=8900)
    path.run(11.0)
    before = [flow.delivered_bytes for flow in path.flows]
    path.run(21.0)
    shares = [float(flow.delivered_bytes - earlier) for flow, earlier in zip(path.flows, before, strict=True)]
    assert fairness(shares) >= 0.95
    assert sum(shares) / 10.0 >= 0.9 * BANDWIDTH_BYTES_S


@pytest.mark.parametrize("buffer_paths", [1, 4])
def test_two_flows_under_loss_leave_a_short_queue_whatever_the_buffer(buffer_paths: int) -> None:
    path = Bottleneck(loss=0.01, begin_at=(0.0, 1.0), queue_bytes=buffer_paths * PATH_BYTES)
    path.run(10.0)
    assert path.mean_queue_bytes < 2 * PATH_BYTES


def test_alone_it_fills_the_path_and_leaves_a_short_queue() -> None:
    path = Bottleneck()
    path.run(3.0)
    assert path.flows[0].delivered_bytes / 3.0 >= 0.85 * BANDWIDTH_BYTES_S
    assert path.mean_queue_bytes < 2 * PATH_BYTES
    assert path.dropped < 1000, "slow start ends before the queue runs over for long"
