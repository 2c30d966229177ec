"""The schedule is the seed's, has every kind of fault, leaves a majority alone, and time to recover."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from tests.chaos import __main__ as program
from tests.chaos.faults import FAULTS
from tests.chaos.schedule import CALM_S, KINDS, WARM_UP_S, WEATHER, schedule

HOSTS = ("alice", "bob", "carol", "dave", "erin")


def test_a_seed_is_a_schedule() -> None:
    assert schedule(7, HOSTS, 600.0) == schedule(7, HOSTS, 600.0) != schedule(8, HOSTS, 600.0)


@pytest.mark.parametrize("seed", range(5))
def test_ten_minutes_have_every_kind_twice(seed: int) -> None:
    kinds = [each.kind for each in schedule(seed, HOSTS, 600.0)]
    assert set(kinds) == set(KINDS) == set(FAULTS) - {"upgrade"}
    assert min(kinds.count(each) for each in KINDS) >= 2


@pytest.mark.parametrize("seed", range(5))
def test_a_majority_is_left_alone_and_has_time(seed: int) -> None:
    planned = schedule(seed, HOSTS, 600.0)
    moments = sorted({(each.at_s, each.at_s + each.length_s) for each in planned})
    assert moments[0][0] >= WARM_UP_S and moments[-1][1] + CALM_S[0] <= 600.0
    assert all(begin - end >= CALM_S[0] for (_, end), (begin, _) in pairwise(moments))
    assert all(len(each.hosts) <= 2 for each in planned if each.kind not in WEATHER)


@pytest.mark.parametrize(("words", "said"), [(["--minutes", "0.3"], "no fault has room"), (["--only", "kil"], "kill")])
def test_a_run_without_faults_is_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "why_there_are_no_hosts", lambda: "")
    monkeypatch.setattr(sys, "argv", ["chaos", *words])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_no_kinds_at_all() -> None:
    assert schedule(1, HOSTS, 300.0, only=["clock"], without=["clock"]) == []


def test_some_kinds_only() -> None:
    assert {each.kind for each in schedule(1, HOSTS, 300.0, only=["kill", "clock"], without=["clock"])} == {"kill"}
