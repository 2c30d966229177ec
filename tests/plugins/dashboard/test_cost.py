"""What open pages cost a node of a real network, in small; docs/dashboard.md has the figures of fifty nodes."""

from __future__ import annotations

import sys

import pytest
from tests.figures.dashboard import measure

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform == "win32", reason="a node is ended by SIGTERM")]


async def test_ten_pages_cost_less_than_a_tenth_of_a_core() -> None:
    cost = await measure(10, 10, 3.0, settle_s=1.0)
    assert cost.bytes_s_a_page > 0  # they are really told, also after the first of each
    assert cost.extra_percent < 10
