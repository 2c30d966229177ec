"""What the docs say of Guthi beside others is what `make bench` has measured last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from tests.docs.fences import ROOT
from tests.reference.comparison import COLUMNS, rendered, rows, section

RESULTS: Mapping[str, Any] = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
CALL, IN_FLIGHT = "time of one small call", "calls a second, 64 in flight"


def over(work: str, peer: str) -> float:
    (row,) = (row for row in rows(RESULTS) if row.work == work)
    ratio = row.ratios[list(COLUMNS).index(peer)]
    assert ratio is not None
    return ratio


def test_the_tables_of_the_page_are_those_of_its_results() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert f"Measured {RESULTS['machine']['date']} on" in page
    measured = re.findall(r"^\|.*\| +[≤≥] .*\| +(\S.*?) +\|$", page, re.MULTILINE)
    assert measured == [goal["reached"] or "–" for goal in RESULTS["goals"]]


def test_what_the_readme_says_of_small_calls_is_so() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "quicker than with Ray, Dask and gRPC, and up to four times slower than over a bare socket or" in text
    assert all(over(CALL, peer) < 1 < over(IN_FLIGHT, peer) for peer in ("Ray", "Dask", "gRPC"))
    bare = ("asyncio TCP", "pyzmq")
    slower = [*(over(CALL, peer) for peer in bare), *(1 / over(IN_FLIGHT, peer) for peer in bare)]
    assert all(1 < times < 4.5 for times in slower)


def made_up(**measures: Mapping[str, float]) -> dict[str, Any]:
    """Results of one round."""
    titles = {"ours": "Guthi", "workers": "Guthi, two workers", "req": "pyzmq REQ/REP", "dealer": "pyzmq DEALER/ROUTER"}
    return {
        "machine": {"date": "today", "cores": 2, "processor": "a thing"},
        "goals": [{"reached": "short by 2.00×"}, {"reached": "must"}, {"reached": None}],
        "starts": [{"round": 0, "peer": titles.get(key, key), "measures": each} for key, each in measures.items()],
    }


def test_the_best_way_of_a_peer_counts_and_bold_is_who_is_ahead() -> None:
    results = made_up(
        ours={"call_us": 200.0, "bulk_mb_s": 50.0},
        req={"call_us": 100.0, "bulk_mb_s": 25.0},
        dealer={"call_us": 400.0, "bulk_mb_s": 100.0},
        Ray={"call_us": 1000.0, "bulk_mb_s": 1.0},
    )
    text = section(results)
    assert "on 2 cores of a thing, in one round: 1 of our 2 goals are missed" in text
    assert "| time of one small call | 0.20 |  |  | **2.00** |" in text
    assert "| 64 MiB result, speed | 50 |  |  | **0.50** |" in text
    assert "Mandelbrot" not in text  # Guthi's own was not measured


def test_medians_are_compared() -> None:
    results = made_up(workers={"picture_ms": 10.0}, Dask={"picture_ms": 20.0})
    results["starts"] += [{"round": 1, "peer": "Dask", "measures": {"picture_ms": value}} for value in (90.0, 40.0)]
    assert "| **" not in section(results) and "| 0.25 |" in section(results) and "in 2 rounds" in section(results)


def test_a_page_without_marks_is_noticed() -> None:
    with pytest.raises(ValueError, match="no marks"):
        rendered("# Beside others\n", ROOT / "docs" / "benchmarks.json")
