"""The pytest plugin: a `world` for each test, a sweep over seeds, and the command that replays a failure.

    from guthi.testing import simulated

    @simulated
    async def test_bob_sees_alice(world):
        alice = await world.start("alice")
        bob = await world.start("bob", join=["alice"])
        assert bob.node.member("alice").id == alice.node.id

`pytest --guthi-seeds 1000` runs each such test with a thousand seeds, `--guthi-seed 17` with one. A test that should
always see many says so: `@pytest.mark.guthi_seeds(200)`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from guthi.testing.world import World

__all__: list[str] = []

WORLD = pytest.StashKey[World]()
LINES_SHOWN = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the sweep."""
    group = parser.getgroup("guthi")
    group.addoption("--guthi-seeds", type=_count, metavar="N", help="run each test with a `world` for seeds 0 to N-1")
    group.addoption("--guthi-seed", type=int, metavar="SEED", help="run each test with a `world` for this seed only")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    if config.getoption("--guthi-seed") is not None and config.getoption("--guthi-seeds") is not None:
        raise pytest.UsageError("--guthi-seeds is for many seeds and --guthi-seed for one; give one of the two")
    config.addinivalue_line(
        "markers", "guthi_seeds(n): run the test with n seeds unless the command line says otherwise"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of the test for each seed."""
    if "guthi_seed" not in metafunc.fixturenames:
        return
    one = metafunc.config.getoption("--guthi-seed")
    many = metafunc.config.getoption("--guthi-seeds")
    marker = metafunc.definition.get_closest_marker("guthi_seeds")
    count = many if many is not None else (marker.args[0] if marker is not None else 1)
    metafunc.parametrize("guthi_seed", [one] if one is not None else range(count), ids=lambda seed: f"seed{seed}")


@pytest.fixture
def world(guthi_seed: int, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world decided by the seed of this run of the test."""
    made = World(guthi_seed)
    request.node.stash[WORLD] = made
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Say of a failure how to see it again."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    made = item.stash.get(WORLD, None)
    if made is not None and report.when == "call" and report.failed:
        report.sections.append(("guthi world", _explanation(item, made)))
    return report  # type: ignore[return-value]


def _explanation(item: pytest.Item, made: World) -> str:
    events = [f"  {when:10.4f} s  {what}" for when, what in list(made.trace.events)[-LINES_SHOWN:]]
    lines = [
        f"seed {made.seed}; replay: pytest {shlex.quote(item.nodeid)} --guthi-seed {made.seed}",
        f"faults: {made.schedule}" if made.schedule else "no fault schedule",
        f"the last events before {made.now:.4f} s (trace {made.trace.digest}):",
        *events,
    ]
    if made.journal.lines:
        lines += ["the last log lines:", *(f"  {line}" for line in list(made.journal.lines)[-LINES_SHOWN:])]
    return "\n".join(lines)
