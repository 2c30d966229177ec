"""The report: the arithmetic, plain text into a pipe, JSON for scripts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from guthi_mandelbrot import Share
from guthi_mandelbrot.report import Report

SHARES = (Share("alice", bands=40, rows=75, busy_s=1.5), Share("bob", bands=24, rows=25, busy_s=1.25))
REPORT = Report(Path("out/mandelbrot.png"), SHARES, wall_s=2.0, baseline_s=3.5)


def printed(report: Report, *, terminal: bool) -> str:
    stream = io.StringIO()
    report.print_to(Console(file=stream, force_terminal=terminal, width=80))
    return stream.getvalue()


def test_into_a_pipe_it_is_plain_aligned_text() -> None:
    lines = [line.rstrip() for line in printed(REPORT, terminal=False).splitlines()]
    assert lines == [
        " node   bands  share  seconds busy",
        " alice     40  75.0%          1.50",
        " bob       24  25.0%          1.25",
        "2 nodes: 2.00 s",
        "one node alone: 3.50 s, so 1.75 times faster",
        "picture: out/mandelbrot.png",
    ]


def test_a_terminal_gets_a_frame() -> None:
    text = printed(REPORT, terminal=True)
    assert "╭" in text
    assert "1.75 times faster" in text


def test_without_a_baseline_no_speed_up_is_claimed() -> None:
    report = Report(Path("a.png"), SHARES[:1], wall_s=2.0, baseline_s=None)
    assert report.speed_up is None
    text = printed(report, terminal=False)
    assert "1 node: 2.00 s" in text
    assert "faster" not in text


def test_a_node_that_died_is_named_with_what_it_did_before() -> None:
    shares = (*SHARES, Share("carol"))
    report = Report(Path("a.png"), shares, 2.0, 3.5, {"bob": "was killed by SIGKILL"})
    lines = [line.rstrip() for line in printed(report, terminal=False).splitlines()]
    assert lines[:5] == [
        " node   bands  share  seconds busy  lost",
        " alice     40  75.0%          1.50",
        " bob       24  25.0%          1.25  was killed by SIGKILL",
        " carol      0   0.0%          0.00",
        "2 of 3 nodes: 2.00 s",
    ]
    assert [node["lost"] for node in report.as_json()["nodes"]] == [None, "was killed by SIGKILL", None]


def test_what_was_taken_over_is_told() -> None:
    carol = Share("carol").with_band(10, 0.5, ["alice"], 4).with_band(10, 0.5, ["bob"], 0).with_band(10, 0.5, [], 0)
    report = Report(Path("a.png"), (*SHARES, carol), 2.0, None, {"bob": "was killed by SIGKILL"})
    lines = [line.rstrip() for line in printed(report, terminal=False).splitlines()]
    assert lines[0].split() == ["node", "bands", "share", "seconds", "busy", "took", "over", "lost"]
    text = " ".join(" ".join(lines[3:6]).split())
    assert text.startswith("carol 3 23.1% 1.50 1 from alice, 1 from bob, 4")
    assert report.as_json()["nodes"][2]["taken_over"] == {"alice": 1, "bob": 1}


def test_who_went_on_is_told() -> None:
    report = Report(Path("a.png"), SHARES, 2.0, None, {}, ["alice", "bob", "carol"])
    assert "begun by alice; led to its end by carol after bob" in printed(report, terminal=False)
    assert report.as_json()["leaders"] == ["alice", "bob", "carol"]
    assert "begun" not in printed(Report(Path("a.png"), SHARES, 2.0, None, {}, ["alice"]), terminal=False)


def test_a_long_path_stays_on_one_line() -> None:
    path = Path("/" + "very-long-folder-name/" * 20 + "a.png")
    assert str(path) in printed(Report(path, SHARES, 1.0, 1.0), terminal=False).splitlines()[-1]


def test_json_has_the_same_facts() -> None:
    facts = json.loads(json.dumps(REPORT.as_json()))
    assert facts["output"] == "out/mandelbrot.png"
    assert facts["nodes"][0] == {
        "node": "alice",
        "bands": 40,
        "rows": 75,
        "busy_s": 1.5,
        "share": 0.75,
        "lost": None,
        "taken_over": {},
        "resumed_rows": 0,
    }
    assert facts["speed_up"] == pytest.approx(1.75)
    assert (facts["wall_s"], facts["baseline_s"]) == (2.0, 3.5)
