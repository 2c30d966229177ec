"""Throughput, latency and recovery of histories that were written by hand, and the page that shows them."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import pytest
from tests.chaos.figures import recoveries, series, works
from tests.chaos.journal import calls
from tests.chaos.page import page_of
from tests.chaos.planting import Planted
from tests.chaos.report import lines_of
from tests.chaos.run import Outcome
from tests.chaos.spells import Spell

CUT = Spell("cut", ("bob",), 20.0, 30.0)


def steady(planted: Planted, begin: float, end: float, *, each_s: float = 0.1, error: str = "") -> None:
    for number in range(int((end - begin) / each_s)):
        at = begin + number * each_s
        planted.call("alice", "rpc", number, at - 0.004, at, error=error)


def test_throughput_and_latency_by_time() -> None:
    planted = Planted()
    steady(planted, 0.0, 2.0)
    steady(planted, 2.05, 3.0, error="PeerLost")
    told = series(calls(planted.entries), 0.0, 3.0)
    assert told.ok == [10, 10, 0] and told.failed == [0, 0, 9]
    assert told.slow_s[:2] == pytest.approx([0.004, 0.004]) and told.slow_s[2] == 0.0


def test_a_line_for_each_work() -> None:
    planted = Planted()
    steady(planted, 0.0, 10.0)
    planted.call("bob", "rpc", "x", 1.0, 3.0, error="PeerLost")
    planted.call("bob", "rpc", "x", 1.0, None)
    (work,) = works(calls(planted.entries))
    assert (work.name, work.ok, work.errors, work.unknown) == ("rpc", 100, {"PeerLost": 1}, 1)
    assert work.median_s == pytest.approx(0.004)


@pytest.mark.parametrize(("back_at", "seconds"), [(30.0, 0.0), (33.0, 3.0), (60.0, math.inf)])
def test_recovery_is_when_there_is_as_much_as_before(back_at: float, seconds: float) -> None:
    planted = Planted()
    steady(planted, 0.0, 20.0)
    steady(planted, 20.0, back_at, each_s=0.2)
    steady(planted, back_at, 61.0)
    (recovery,) = recoveries(calls(planted.entries), [CUT], 60.0)
    assert recovery.spell == CUT and recovery.seconds == pytest.approx(seconds, abs=0.3)


def test_of_faults_that_were_there_together_the_last_to_end_counts() -> None:
    planted = Planted()
    steady(planted, 0.0, 60.0)
    loss, kill = Spell("loss", ("alice", "bob"), 20.0, 31.0), Spell("kill", ("bob",), 40.0, 45.0)
    found = recoveries(calls(planted.entries), [loss, CUT, kill], 60.0)
    assert [(each.spell, each.kinds) for each in found] == [(loss, "cut+loss"), (kill, "kill")]


def an_outcome() -> Outcome:
    planted = Planted()
    steady(planted, 0.0, 60.0)
    violations = {"rpc": ["the call 'a<b' had its effect 2 times"], "dvar": []}
    return Outcome(7, 0.0, 60.0, [CUT], planted.entries, violations, ["3-1"])


def test_the_table_tells_of_violations_and_of_what_was_not_checked() -> None:
    text = "\n".join(lines_of(an_outcome()))
    assert "rpc        1 VIOLATIONS\n  the call 'a<b' had its effect 2 times" in text
    assert "dvar       no violation" in text and "variables 3-1" in text and "seed 7, 60 s, 1 faults" in text


def test_the_page_is_whole_and_loads_nothing() -> None:
    page = page_of(an_outcome())
    reader = _Reader()
    reader.feed(page)
    assert reader.open == [] and reader.charts == 3
    assert "http" not in page and "src=" not in page and "cut: bob, 10.0 s" in page and "a&lt;b" in page


def test_the_page_tells_the_kinds_of_work_apart_and_leaves_gaps() -> None:
    planted = Planted()
    steady(planted, 0.0, 20.0)
    steady(planted, 40.0, 60.0)
    for number in range(60):
        planted.call("bob", "dvar", number, number, number + 0.5)
    page = page_of(Outcome(7, 0.0, 60.0, [CUT], planted.entries, {}))
    latency = page.split("<h2>")[3]
    pieces = {group.split("</title>")[0]: group.count("<polyline") for group in latency.split("<title>")[1:]}
    assert pieces == {"rpc": 2, "dvar": 1}
    assert ">bob</text>" in page and ">40 s</text>" in page and ">failed</tspan>" in page


class _Reader(HTMLParser):
    """Counts charts, and keeps the elements that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.charts += tag == "svg"
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
