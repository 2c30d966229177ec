"""The pytest plugin as its users have it: pytest in a process of its own, on a test file of theirs."""

from __future__ import annotations

import re
import shlex

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from guthi.testing import simulated

@simulated
async def test_two_meet(world):
    alice = await world.start("alice")
    bob = await world.start("bob", join=["alice"])
    assert bob.node.member("alice").id == alice.node.id

@pytest.mark.parametrize("limit", [3, 5])
@simulated
async def test_fails_for_large_seeds(world, limit):
    await world.start("alice")
    await world.start("bob", join=["alice"])
    await world.swarm(2.0)
    await world.sleep(1)
    assert world.seed < limit

@pytest.mark.guthi_seeds(4)
def test_of_many_seeds(world):
    assert world.seed < 50

def test_without_a_world():
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_suite=SUITE)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_one_seed_each_unless_a_mark_says_more(suite):
    run(suite).assert_outcomes(passed=1 + 2 + 4 + 1)


def test_a_sweep_prints_seed_schedule_events_and_a_command_that_replays_it(suite):
    result = run(suite, "--guthi-seeds", "6", "-k", "meet or large")
    result.assert_outcomes(passed=6 + 3 + 5, failed=3 + 1)
    text = result.stdout.str()
    assert re.search(r"faults: \d", text)
    assert re.search(r"s  alice started\n", text) and re.search(r"trace [0-9a-f]{32}", text)
    command = re.search(r"^seed 5; replay: pytest (.*)$", text, re.MULTILINE)
    assert command is not None
    again = run(suite, *shlex.split(command[1]))
    again.assert_outcomes(failed=1)
    trace = re.findall(r"seed 5;.*?trace ([0-9a-f]{32})", text, re.DOTALL)[0]
    assert f"trace {trace}" in again.stdout.str()


def test_one_seed_of_the_command_line_goes_before_marks(suite):
    result = run(suite, "--guthi-seed", "49", "-k", "many", "-v")
    result.assert_outcomes(passed=1)
    assert "seed49" in result.stdout.str()


def test_an_unhandled_error_fails_the_test_and_log_lines_are_shown(suite):
    suite.makepyfile(
        test_slip="""
import logging
from guthi.testing import simulated

async def slip():
    raise ValueError("a slip")

@simulated
async def test_slips(world):
    alice = await world.start("alice")
    alice.node.start(slip(), "slipping")
    await world.sleep(1.5)
"""
    )
    result = run(suite, "test_slip.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ERROR guthi.tasks: the task slipping failed*"])


@pytest.mark.parametrize(
    "option", [["--guthi-seeds", "0"], ["--guthi-seeds", "many"], ["--guthi-seeds=3", "--guthi-seed=4"]]
)
def test_bad_options_are_refused_in_words(suite, option):
    result = run(suite, *option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--guthi-seed" in result.stderr.str()
