"""What has grown is called so, and what is flat is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.soak.samples import Sample, compared


def samples(resident: Callable[[float], float], *, minutes: float = 60.0, descriptors: int = 0) -> list[Sample]:
    """Of one node; `resident` gives MiB at a moment, `descriptors` is how many more each minute."""
    moments = [5.0 * number for number in range(int(minutes * 12))]
    return [
        Sample(at_s, "alice", int(resident(at_s) * 2**20), 30 + int(descriptors * at_s / 60), 40, 0.003)
        for at_s in moments
    ]


def grown(found: list[Sample]) -> list[str]:
    return [row.measure for row in compared(found) if not row.is_flat]


def test_flat() -> None:
    assert grown(samples(lambda at_s: 100.0 + at_s % 10)) == []


def test_what_is_filled_in_the_first_minute_is_no_growth() -> None:
    assert grown(samples(lambda at_s: 60.0 if at_s < 60 else 100.0)) == []


@pytest.mark.parametrize("minutes", [6.0, 60.0])
def test_a_leak(minutes: float) -> None:
    assert grown(samples(lambda at_s: 100.0 + 12.0 * at_s / (minutes * 60), minutes=minutes)) == ["resident MiB"]


def test_descriptors_that_are_not_given_back() -> None:
    assert grown(samples(lambda _: 100.0, descriptors=1)) == ["descriptors"]


def test_too_short() -> None:
    with pytest.raises(ValueError, match="too few samples"):
        compared(samples(lambda _: 100.0, minutes=0.2))
