"""What the plugin is to its user: detectors and their settings, third parties' too, callbacks, the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

import guthi
from guthi import MemberState
from guthi.cli.program import execute
from guthi.testing import World, simulated
from guthi_health import HEALTH, Accuse, Detector, Effect, HealthPlugin, Note, Ping
from guthi_health.choosing import choose
from guthi_health.command import _cells
from guthi_health.report import from_wire


class Grumpy(Detector):
    """A third party's: it suspects whoever says hello, as it does itself, and fails at each answer."""

    name = "grumpy"

    @dataclass(frozen=True)
    class Settings:
        interval: guthi.Duration = 1.0
        word: str = "hello"

    def member(self, member: guthi.Member, now: float) -> Sequence[Effect]:
        return (Ping(member.id, 1), Note(member.id, self.settings.word))

    def noted(self, peer: guthi.NodeId, value: Any, now: float) -> Sequence[Effect]:
        if value != "hello":
            raise guthi.MalformedMessage("it is no hello")
        return (Accuse(peer, MemberState.SUSPECT, "by ear", "it said hello", 3),)

    def answered(self, peer: guthi.NodeId, number: int, now: float) -> Sequence[Effect]:
        raise RuntimeError("grumpy")


class GrumpyPlugin(guthi.Plugin):
    name = "grumpy"

    @guthi.hookimpl
    def failure_detectors(self) -> Sequence[type[Detector]]:
        return [Grumpy]


async def two(world: World, *plugins: Any, **table: Any) -> None:
    for name in ("alice", "bob"):
        join = ["alice"] if name == "bob" else []
        await world.start(name, plugins=[*plugins, HealthPlugin], join=join, health=table)


@simulated
async def test_a_detector_of_a_third_party_is_found_by_hook(world: World) -> None:
    world.expect("the failure detector 'grumpy' failed")
    await two(world, GrumpyPlugin, detector="grumpy")
    suspected: list[Any] = []

    class Listener:
        @guthi.hookimpl
        def member_suspected(self, member: guthi.Member) -> None:
            suspected.append(member.verdict)

    world.nodes["alice"].node.hooks.register(Listener(), "listener")
    await world.nodes["bob"].stop()
    await world.nodes["bob"].restart()
    await asyncio.sleep(5)
    assert [(verdict.path, verdict.evidence, verdict.health) for verdict in suspected][:1] == [
        ("by ear", "it said hello", 3)
    ]
    await world.until(world.is_whole)  # it refutes


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"detector": "swin"}, "there is no 'swin'; did you mean 'swim'"),
        ({"detector": "x"}, "there is no 'x'; there are: echo, phi-accrual, swim"),
        ({"timeout": "30s"}, "timeout must be more than 0 and at most interval"),
        ({"settings": {"tires": 3}}, 'unknown key "tires"'),
        ({"detector": "swim", "settings": {"relays": 99}}, "relays and confirmations must be"),
        ({"detector": "phi-accrual", "settings": {"threshold": 0}}, "threshold must be"),
        ({"most_events": -1}, "most_events must be"),
        ({"interval": "0s"}, "timeout must be more than 0"),
        ({"timeout": "5ms"}, "each have 1 ms"),
        ({"detector": "swim", "interval": "2us", "timeout": "1us"}, "timeout must be 1 ms or more"),
        ({"detector": "swim", "settings": {"patience": float("inf")}}, "at most 1000"),
        ({"detector": "swim", "settings": {"suspicion": float("nan")}}, "suspicion must be"),
        ({"detector": "phi-accrual", "interval": 0}, "must be 1 ms or more"),
        ({"detector": "phi-accrual", "settings": {"least_deviation": float("nan")}}, "duration"),
    ],
)
@simulated
async def test_a_bad_table_is_told_at_the_start(world: World, table: dict[str, Any], message: str) -> None:
    with pytest.raises(guthi.ConfigError, match=message):
        await world.start("alice", plugins=["health"], health=table)


@simulated
async def test_interval_timeout_and_settings_reach_the_detector(world: World) -> None:
    table = {"detector": "swim", "interval": "2s", "settings": {"relays": 5}}
    await world.start("alice", plugins=["health"], health=table)
    settings = world.nodes["alice"].node.require(HEALTH).watch.detector.settings
    assert (settings.interval, settings.timeout, settings.relays) == (2.0, 0.35, 5)


@simulated
async def test_bad_datagrams_are_counted_and_dropped(world: World) -> None:
    await two(world, detector="swim")
    alice, bob = world.nodes["alice"].node, world.nodes["bob"].node
    for value in (None, [9], [4, "swim", [[]]], [4, "unknown", 1], [2, 1, bytes(16), 0.1]):
        bob.send_datagram("alice", "health", value)
    await asyncio.sleep(1)
    assert alice.network.endpoint.dropped["malformed health message"] == 3


class Broken(Detector):
    """Raises wherever it is asked, and wants to be called at once for ever."""

    name = "broken"

    @dataclass(frozen=True)
    class Settings:
        deadline: str = "past"

    calls = 0

    @property
    def deadline(self) -> float | None:
        match self.settings.deadline:
            case "past":
                return -1.0
            case "nan":
                return float("nan")
        raise RuntimeError("no deadline")

    @property
    def health(self) -> int:
        raise RuntimeError("no health")

    def opinion(self, peer: guthi.NodeId, now: float) -> str:
        raise RuntimeError("no opinion")

    def member(self, member: guthi.Member, now: float) -> Sequence[Effect]:
        return [
            Note(member.id, object()), Note(member.id, bytes(5000)), Ping(member.id, "x"), 7,  # type: ignore
            Accuse(member.id, MemberState.LEFT, "", ""), Note(member.id, "hello"), Ping(member.id, 1),
        ]  # fmt: skip

    def noted(self, peer: guthi.NodeId, value: Any, now: float) -> Sequence[Effect]:
        raise KeyError(value)

    def answered(self, peer: guthi.NodeId, number: int, now: float) -> Sequence[Effect]:
        raise RuntimeError("no answer")

    def on_deadline(self, now: float) -> Sequence[Effect]:
        self.calls += 1
        raise guthi.MalformedMessage("from nobody")


class BrokenPlugin(guthi.Plugin):
    name = "broken"

    @guthi.hookimpl
    def failure_detectors(self) -> Sequence[type[Detector]]:
        return [Broken]


@pytest.mark.parametrize("deadline", ["past", "nan", "none"])
@simulated
async def test_a_detector_that_is_broken_everywhere_disturbs_nobody(world: World, deadline: str) -> None:
    world.expect("the failure detector 'broken' failed")
    world.expect("what the failure detector wants cannot be done")
    await two(world, BrokenPlugin, detector="broken", settings={"deadline": deadline})
    await asyncio.sleep(10)
    health = world.nodes["bob"].node.require(HEALTH)
    (sight,) = health.table()
    assert sight.rtt_s is not None and (sight.suspicion, health.score) == ("", 0)
    detector = health.watch.detector
    assert isinstance(detector, Broken)
    assert 0 < detector.calls <= 1100 if deadline == "past" else detector.calls == 0
    assert world.is_whole()


# ---- callbacks


@simulated
async def test_callbacks_are_called_for_their_node_and_disturb_nobody(world: World) -> None:
    world.expect("callback .* failed on the failure of bob")
    await two(world, detector="swim")
    await world.start("carol", plugins=["health"], join=["alice"], health={"detector": "swim"})
    health = world.nodes["alice"].node.require(HEALTH)
    called: list[str] = []

    @health.on_failure("bob")
    async def broken(member: guthi.Member) -> None:
        raise SystemExit(3)

    @health.on_failure("bob")
    async def slow(member: guthi.Member) -> None:
        await asyncio.sleep(1000)

    @health.on_failure(world.nodes["bob"].node.me)
    async def by_member(member: guthi.Member) -> None:
        assert member.verdict is not None and member.state is MemberState.FAILED
        called.append("member")

    @health.on_failure(world.nodes["bob"].node.id)
    def by_id(member: guthi.Member) -> None:
        called.append("id")

    @health.on_failure()
    def for_all(member: guthi.Member) -> None:
        called.append("all")

    @health.on_failure("carol")
    def for_carol(member: guthi.Member) -> None:
        called.append("carol")

    removed = health.on_failure("bob", lambda _: called.append("removed"))
    health.off_failure(removed)
    world.nodes["bob"].crash()
    await world.until(lambda: len(called) == 3, within=20)
    await asyncio.sleep(5)
    assert sorted(called) == ["all", "id", "member"]


@simulated
async def test_callbacks_that_hang_keep_no_other_waiting(world: World) -> None:
    await two(world, detector="swim")
    health = world.nodes["alice"].node.require(HEALTH)
    called: list[str] = []
    for _ in range(20):

        @health.on_failure("bob")
        def hang(member: guthi.Member) -> asyncio.Future[None]:
            return asyncio.get_running_loop().create_future()

    health.on_failure("bob", lambda member: called.append(member.name))
    world.nodes["bob"].crash()
    await world.until(lambda: called == ["bob"], within=20)


# ---- what is shown


@simulated
async def test_a_node_says_how_it_sees_the_others(world: World) -> None:
    await two(world, detector="swim")
    await world.start("guest", join=["alice"])
    world.nodes["bob"].crash()
    await asyncio.sleep(20)
    report = from_wire(await world.nodes["guest"].node.request("alice", "health.table", None))
    assert (report.detector, report.score) == ("swim", 0) or report.score > 0
    bob, guest = report.rows
    assert (bob.name, bob.state, guest.name, guest.state, guest.is_watched) == (
        "bob",
        "failed",
        "guest",
        "alive",
        False,
    )
    assert bob.verdict.startswith("alice") and "suspected for" in bob.verdict
    assert _cells(guest)[4] == "not watched"


def test_the_command_shows_every_pair(capsys: pytest.CaptureFixture[str]) -> None:
    tables = {"node": {"name": "alice", "plugins": ["health"]}, "plugins": {"health": {"detector": "swim"}}}
    with guthi.BlockingNode(guthi.Config.from_mapping(tables, environment={})) as alice:
        own = {"name": "bob", "plugins": ["health"], "join": [str(alice.address)]}
        with guthi.BlockingNode(guthi.Config.from_mapping({**tables, "node": own}, environment={})):
            assert execute(["health", "--join", str(alice.address), "--json"]) == 0
            rows = json.loads(capsys.readouterr().out)
            assert {(row["node"], row["name"]) for row in rows if row["is_watched"]} == {
                ("alice", "bob"),
                ("bob", "alice"),
            }
            assert execute(["health", "--join", str(alice.address), "--node", "alice"]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[0].split() == ["NODE", "SEES", "STATE", "RTT", "LAST", "ECHO", "SUSPICION", "VERDICT"]
            assert any(line.split()[:3] == ["alice", "bob", "alive"] for line in lines)


def test_the_hook_has_a_place_in_the_docs() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "hooks.md").read_text()
    assert HealthPlugin.hookspecs is not None
    assert "### failure_detectors\n\nBrought by [health](health.md)." in page


def test_two_detectors_of_one_name_are_refused() -> None:
    class Impostor(Grumpy):
        name = "echo"

    with pytest.raises(guthi.PluginError, match="two plugins bring a failure detector 'echo'"):
        choose("echo", [Impostor])
