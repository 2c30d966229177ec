"""Pending events where things go wrong: disks that are full or broken, handlers and peers that misbehave."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.health.test_pending import QUICK, outcome, pending

import guthi
from guthi.testing import World, simulated
from guthi_health import EventAbandoned, EventNotSaved, EventState, Taken
from guthi_health.offers import OFFERED_TO, OFFERED_TOPICS, in_turn
from guthi_health.store import Store


@dataclass(frozen=True)
class Parcel:
    """A type that only some nodes know."""

    weight: int


async def two(world: World, **table: Any) -> None:
    """Alice keeps, bob takes."""
    for name in ("alice", "bob"):
        join = ["alice"] if name == "bob" else []
        await world.start(name, plugins=["health"], join=join, health={**QUICK, **table})
    await world.until(world.is_whole)


def file_of(world: World) -> Path:
    folder = world.nodes["alice"].node.config.node.data_dir
    assert folder is not None
    return folder / "health" / "pending.sqlite"


# ---- the disk


class FullDisk:
    """Makes each write fail while it is `full`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        for name in ("put", "drop"):
            monkeypatch.setattr(Store, name, self._failing(getattr(Store, name)))

    def _failing(self, call: Any) -> Any:
        def fail(*arguments: Any) -> None:
            if self.is_full:
                raise sqlite3.OperationalError("database or disk is full")
            call(*arguments)

        return fail


@simulated
async def test_what_cannot_be_written_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await two(world)
    disk = FullDisk(monkeypatch)
    world.expect("drop of an event that nobody has")
    with pytest.raises(EventNotSaved, match="disk is full"):
        await pending(world, "alice").keep("x", 1, durable=True)
    assert pending(world, "alice").kept() == []
    disk.is_full = False
    event = await pending(world, "alice").keep("x", 1, durable=True)
    disk.is_full = True
    with pytest.raises(EventNotSaved):
        await event.drop()
    disk.is_full = False
    await asyncio.sleep(10)  # what could not be written is written later
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    assert pending(world, "alice").kept() == []


@simulated
async def test_a_full_disk_costs_no_attempt_and_no_result(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await two(world)
    event = await pending(world, "alice").keep("job", 0, durable=True, attempts=1)
    disk = FullDisk(monkeypatch)
    told: list[bool] = []

    @pending(world, "bob").take("job")
    async def job(taken: Taken) -> str:
        disk.is_full = True
        told.append(await taken.update(1))
        return "done"

    await asyncio.sleep(30)
    assert (event.state, event.attempt, told) == (EventState.FREE, 0, [])  # no claim could be written
    disk.is_full = False
    assert await outcome(event) == "done"  # known at once, though not written
    assert told == [False]
    disk.is_full = False
    await asyncio.sleep(15)  # bob says it again
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    (again,) = pending(world, "alice").kept()
    assert (again.state, again.value) == (EventState.DONE, "done")


@simulated
async def test_what_could_not_be_written_is_written_when_there_is_room_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.expect("pending events are not on the disk yet")
    await two(world)
    event, other = [await pending(world, "alice").keep("x", 0, for_node="bob", durable=True) for _ in range(2)]
    disk = FullDisk(monkeypatch)
    with pytest.raises(EventNotSaved):
        await event.update(1)
    with pytest.raises(EventNotSaved):
        await other.finish("done")
    await asyncio.sleep(60)
    disk.is_full = False
    await asyncio.sleep(10)
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    assert [(each.state, each.value) for each in pending(world, "alice").kept()] == [
        (EventState.HELD, 1),
        (EventState.DONE, "done"),
    ]


@simulated
async def test_a_result_that_could_not_be_written_may_be_said_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two(world)
    event = await pending(world, "alice").keep("x", 0, for_node="bob", durable=True)
    disk = FullDisk(monkeypatch)
    with pytest.raises(EventNotSaved):
        await event.finish("done")
    disk.is_full = False
    await event.finish("done")
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    assert [each.value for each in pending(world, "alice").kept()] == ["done"]


TROUBLE = {
    "locked": "database is locked",
    "read-only": "attempt to write a readonly database",
    "full": "database or disk is full",
}


def afflict(file: Path, trouble: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Bring about what SQLite itself then complains of; returns what ends it."""
    if trouble == "locked":
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        return other.close
    limits = {"read-only": ("PRAGMA query_only = {}", "ON", "OFF"), "full": ("PRAGMA max_page_count = {}", 1, 100_000)}
    pragma, on, off = limits[trouble]
    wanted = [on]
    put = Store.put

    def limited(store: Store, event: Any) -> None:
        store._database.execute(pragma.format(*wanted))
        put(store, event)

    monkeypatch.setattr(Store, "put", limited)
    return lambda: wanted.__setitem__(0, off)


@pytest.mark.parametrize("trouble", TROUBLE)
@simulated
async def test_sqlite_says_what_ails_it_and_nothing_is_lost(
    world: World, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two(world)
    event = await pending(world, "alice").keep("x", 0, for_node="bob", durable=True)
    monkeypatch.setattr("guthi_health.store.PATIENCE_S", 0.01)
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    (event,) = pending(world, "alice").kept()
    end = afflict(file_of(world), trouble, monkeypatch)
    with pytest.raises(EventNotSaved, match=f"{TROUBLE[trouble]}; see to the disk of alice"):
        await event.update(bytes(100_000))
    end()
    await asyncio.sleep(10)
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    assert [each.value for each in pending(world, "alice").kept()] == [bytes(100_000)]


@simulated
async def test_a_file_that_is_locked_at_the_start_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await two(world)
    await pending(world, "alice").keep("x", 1, durable=True)
    file = file_of(world)
    await world.nodes["alice"].stop()
    monkeypatch.setattr("guthi_health.store.PATIENCE_S", 0.01)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")  # keeps out readers too
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(
        guthi.ConfigError, match=r"cannot be read \(database is locked\); another process has locked it"
    ):
        await world.nodes["alice"].restart()
    other.close()
    await world.nodes["alice"].restart()
    assert len(pending(world, "alice").kept()) == 1


@simulated
async def test_a_keeper_that_is_cancelled_leaves_nothing_on_the_disk(world: World) -> None:
    await two(world)
    keeping = asyncio.create_task(pending(world, "alice").keep("x", 1, durable=True))
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.sleep(1)
    world.nodes["alice"].crash()
    await world.nodes["alice"].restart()
    assert pending(world, "alice").kept() == []


@pytest.mark.parametrize("damage", ["noise", "no node id", "a folder"])
@simulated
async def test_a_file_that_cannot_be_read_is_told_at_the_start(world: World, damage: str) -> None:
    await two(world)
    await pending(world, "alice").keep("x", 1, durable=True)
    file = file_of(world)
    await world.nodes["alice"].stop()
    match damage:
        case "noise":
            file.write_bytes(b"no database at all" * 100)
        case "no node id":
            with sqlite3.connect(file) as database:
                database.execute("UPDATE events SET holder = x'00'")
        case _:
            file.unlink()
            file.mkdir()
    with pytest.raises(guthi.ConfigError, match=r"pending\.sqlite cannot be read .* or move it away"):
        await world.nodes["alice"].restart()


# ---- handlers


@simulated
async def test_who_cannot_read_an_event_gives_it_back(world: World) -> None:
    world.expect("the handler of pending events of 'parcels' failed")
    await two(world)
    world.nodes["alice"].node.codec.register(Parcel, "test.Parcel")
    event = await pending(world, "alice").keep("parcels", Parcel(3), attempts=2)

    @pending(world, "bob").take("parcels")
    async def weigh(taken: Taken) -> int:
        return int(taken.value.weight)

    with pytest.raises(EventAbandoned, match=r"tried 2 times; lastly .*Parcel"):
        await outcome(event)


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
@simulated
async def test_a_handler_that_ends_strangely_gives_it_back(world: World, error: BaseException) -> None:
    world.expect("the handler of pending events of 'job' failed")
    await two(world)
    event = await pending(world, "alice").keep("job", None)

    @pending(world, "bob").take("job")
    async def job(taken: Taken) -> int:
        if taken.attempt == 1:
            raise error
        return taken.attempt

    assert await outcome(event) == 2


@simulated
async def test_a_result_that_the_keeper_refuses_is_told_as_the_reason(world: World) -> None:
    await two(world, most_bytes=1000)
    event = await pending(world, "alice").keep("job", None, attempts=2)

    @pending(world, "bob").take("job")
    async def job(taken: Taken) -> bytes:
        return bytes(2000)

    with pytest.raises(EventAbandoned, match=r"what came of it was refused: .*most_bytes"):
        await outcome(event)


# ---- peers


@simulated
async def test_a_holder_that_answers_nonsense_does_not_end_the_checks(world: World) -> None:
    await two(world)
    await world.start("mallory", join=["alice"])
    mallory = world.nodes["mallory"].node
    event = await pending(world, "alice").keep("job", None)
    answers: list[Any] = [7, [[[], 1], {}, 7, [event.id], [event.id, []]], [[event.id, 1]]]
    mallory.handle("health.holding", lambda _: answers.pop(0))
    assert await mallory.request("alice", "health.claim", "job") is not None
    await world.until(lambda: answers == [] and event.state is EventState.FREE, within=40)


def test_each_node_hears_of_each_topic() -> None:
    peers, topics = range(2 * OFFERED_TO), [str(number) for number in range(2 * OFFERED_TOPICS)]
    heard: set[tuple[int, str]] = set()
    for number in range(4):
        chosen = in_turn(topics, OFFERED_TOPICS, number // 2)
        heard |= {(peer, topic) for peer in in_turn(peers, OFFERED_TO, number) for topic in chosen}
    assert len(heard) == len(peers) * len(topics)


@simulated
async def test_hundreds_of_events_are_worked_off(world: World) -> None:
    await two(world)
    events = [await pending(world, "alice").keep("job", number) for number in range(300)]

    @pending(world, "bob").take("job", slots=100)
    async def job(taken: Taken) -> int:
        return int(taken.value) + 1

    assert [await outcome(event) for event in events] == [number + 1 for number in range(300)]
