"""What `guthi sim` measures: when all knew all, what it cost, and which verdicts were right."""

from __future__ import annotations

import pytest

from guthi import Config
from guthi.errors import UsageError
from guthi.testing import Link, Schedule
from guthi.testing.trial import Trial


def configs(count: int) -> list[Config]:
    return [
        Config.from_mapping(
            {"node": {"name": f"n{number}"}, "transport": {"timeout": "2s", "keepalive": "1s"}}, environment={}
        )
        for number in range(count)
    ]


def test_a_quiet_cluster_is_complete_and_nobody_is_accused():
    outcome = Trial(configs(5), 10, seed=1).run()
    assert outcome.complete_s is not None and 0 < outcome.complete_s < 1
    assert (outcome.verdicts_true, outcome.verdicts_false) == (0, 0)
    assert outcome.messages_a_node_s > 0 and outcome.bytes_a_node_s > outcome.messages_a_node_s


def test_a_slower_line_takes_longer():
    slow = Trial(configs(5), 10, link=Link(latency_s=0.3)).run()
    fast = Trial(configs(5), 10).run()
    assert slow.complete_s is not None and fast.complete_s is not None
    assert slow.complete_s > fast.complete_s + 0.5


def test_who_is_cut_off_keeps_it_from_being_complete():
    assert Trial(configs(3), 5, faults=Schedule.parse("0s cut n2 *")).run().complete_s is None


def test_who_is_down_at_first_is_waited_for():
    outcome = Trial(configs(3), 20, faults=Schedule.parse("0s crash n2; 6s restart n2")).run()
    assert outcome.complete_s is not None and outcome.complete_s > 6


def test_one_node_knows_everybody():
    assert Trial(configs(1), 1).run().complete_s == 0


def test_progress_and_the_same_trace_again():
    seen: list[float] = []
    first = Trial(configs(4), 3, seed=7, link=Link(loss=0.1), faults="swarm").run(seen.append)
    assert seen == sorted(seen) and seen[-1] == 3
    assert first == Trial(configs(4), 3, seed=7, link=Link(loss=0.1), faults="swarm").run()
    assert first.trace != Trial(configs(4), 3, seed=8, link=Link(loss=0.1), faults="swarm").run().trace
    assert Schedule.parse(first.faults).faults


def test_a_printed_schedule_gives_the_same_world():
    drawn = Trial(configs(4), 3, seed=7, faults="swarm").run()
    assert Trial(configs(4), 3, seed=7, faults=Schedule.parse(drawn.faults)).run() == drawn


def test_no_nodes_are_refused():
    with pytest.raises(UsageError, match="at least one"):
        Trial([], 1).run()
