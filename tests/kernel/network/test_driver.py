"""When the driver sends: once a turn, at once for an answer at once, and together with what woken tasks have to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

import pytest

from guthi.api import Address, Buffer, Departing, Ecn
from guthi.host.spin import Spin
from guthi.network.driver import SHORTEST_WAIT_S, Driver
from guthi.transport.endpoint import Endpoint, EndpointEvent, GossipArrived

SOMEWHERE = Address("192.0.2.1", 1)


class Station:
    """An endpoint that tells of each datagram as gossip, and sends what it is given; and the port below it."""

    deadline: float | None = None
    local_address = SOMEWHERE
    dropped: Mapping[str, int] = {}

    def __init__(self) -> None:
        self.events: list[EndpointEvent] = []
        self.outgoing: list[bytes] = []
        self.sent: list[list[bytes]] = []  # by pump
        self.polls: list[float] = []
        self.rang = 0

    def receive(self, datagram: Buffer, source: Address, now: float, mark: int) -> None:
        self.events.append(GossipArrived(source, bytes(datagram)))

    def take_events(self) -> list[EndpointEvent]:
        events, self.events = self.events, []
        return events

    def take_datagrams(self, now: float) -> Iterator[Departing]:
        outgoing, self.outgoing = self.outgoing, []
        return ((each, SOMEWHERE, Ecn.NOT_ECT) for each in outgoing)

    def on_deadline(self, now: float) -> None:
        self.rang += 1
        self.deadline = None

    def send_many(self, datagrams: Iterable[Departing]) -> None:
        batch = [bytes(datagram) for datagram, _, _ in datagrams]
        if batch:
            self.sent.append(batch)

    def poll(self, limit_s: float, ended: Callable[[bool], None]) -> None:
        self.polls.append(limit_s)

    def max_datagram_bytes(self, destination: Address) -> int:
        return 1200

    def send(self, datagram: Buffer, destination: Address, mark: Ecn = Ecn.NOT_ECT) -> None:
        raise AssertionError("the driver sends all of a turn together")

    def close(self) -> None:
        pass


def driven(
    station: Station, on_event: Callable[[EndpointEvent], None], *, limit_s: float = 0.0, expects: bool = False
) -> Driver:
    endpoint = cast("Endpoint", station)
    loop = asyncio.get_running_loop()
    driver = Driver(loop, endpoint, [], on_event, spin=Spin(limit_s), expects=lambda: expects)
    driver.attach(station)
    return driver


async def test_all_that_a_turn_has_to_send_leaves_together() -> None:
    station = Station()
    driver = driven(station, lambda _: None)
    for body in (b"one", b"two"):
        station.outgoing.append(body)
        driver.touch()
    assert station.sent == []
    await asyncio.sleep(0)
    assert station.sent == [[b"one", b"two"]]


async def test_what_is_gathered_at_the_end_of_a_turn_leaves_in_it() -> None:
    station, gathered = Station(), [b"several words"]

    def gather() -> None:
        station.outgoing.extend(gathered)
        if gathered:
            driver.touch()  # as sending does
        gathered.clear()

    loop = asyncio.get_running_loop()
    driver = Driver(loop, cast("Endpoint", station), [], lambda _: None, gather=gather)
    driver.attach(station)
    await asyncio.sleep(0)
    assert station.sent == [[b"several words"]]
    assert not driver._scheduled, "there is no further pump for it"
    gathered.append(b"the last")
    driver.detach()
    assert station.sent == [[b"several words"], [b"the last"]]


async def test_a_failure_to_gather_does_not_stop_the_node(caplog: pytest.LogCaptureFixture) -> None:
    station, failures = Station(), [LookupError("lost")]

    def gather() -> None:
        if failures:
            raise failures.pop()

    driver = Driver(asyncio.get_running_loop(), cast("Endpoint", station), [], lambda _: None, gather=gather)
    station.outgoing.append(b"beside it")
    driver.attach(station)
    await asyncio.sleep(0)
    assert station.sent == [[b"beside it"]] and "LookupError" in caplog.text
    station.outgoing.append(b"later")
    driver.touch()
    await asyncio.sleep(0)
    assert station.sent == [[b"beside it"], [b"later"]]
    driver.detach()


async def test_an_answer_that_is_ready_leaves_at_once() -> None:
    station = Station()

    def answer(_: EndpointEvent) -> None:
        station.outgoing.append(b"answer")
        driver.touch()

    driver = driven(station, answer)
    await asyncio.sleep(0)
    driver.datagram_received(b"question", SOMEWHERE)
    driver.turn_ended()
    assert station.sent == [[b"answer"]]


async def test_what_a_woken_task_sends_leaves_with_the_acknowledgement() -> None:
    station, woken = Station(), asyncio.Event()
    driver = driven(station, lambda _: woken.set())

    async def ask_again() -> None:
        await woken.wait()
        station.outgoing.append(b"next question")
        driver.touch()

    task = asyncio.create_task(ask_again())
    await asyncio.sleep(0)
    driver.datagram_received(b"answer", SOMEWHERE)
    station.outgoing.append(b"acknowledgement")
    driver.turn_ended()
    assert station.sent == []
    await task
    await asyncio.sleep(0)
    assert station.sent == [[b"acknowledgement", b"next question"]]


async def test_a_deadline_rings_once_and_an_earlier_one_is_not_missed() -> None:
    station = Station()
    loop = asyncio.get_running_loop()
    station.deadline = loop.time() + 60.0
    driver = driven(station, lambda _: None)
    await asyncio.sleep(0)
    station.deadline = loop.time() + 0.001
    driver.touch()
    async with asyncio.timeout(10.0):
        while not station.rang:
            await asyncio.sleep(0.001)
    assert station.rang == 1


@pytest.mark.parametrize(("expects", "polls"), [(True, [50e-6]), (False, [])])
async def test_it_polls_only_while_something_is_expected(expects: bool, polls: list[float]) -> None:
    station = Station()
    driven(station, lambda _: None, limit_s=50e-6, expects=expects)
    await asyncio.sleep(0)
    assert station.polls == polls


@pytest.mark.parametrize(("expects", "polls"), [(True, [50e-6]), (False, [])])
async def test_it_polls_after_an_answer_that_leaves_at_once(expects: bool, polls: list[float]) -> None:
    station = Station()

    def answer(_: EndpointEvent) -> None:
        station.outgoing.append(b"answer")
        driver.touch()

    driver = driven(station, answer, limit_s=50e-6, expects=expects)
    await asyncio.sleep(0)
    station.polls.clear()
    driver.datagram_received(b"question", SOMEWHERE)
    driver.turn_ended()
    assert station.sent == [[b"answer"]]
    assert station.polls == polls


async def test_it_does_not_ask_what_is_expected_where_polling_is_off() -> None:
    station, loop = Station(), asyncio.get_running_loop()

    def expects() -> bool:
        raise AssertionError("it is of no use")

    driver = Driver(loop, cast("Endpoint", station), [], lambda _: None, expects=expects)
    driver.attach(station)
    station.outgoing.append(b"question")
    driver.touch()
    await asyncio.sleep(0)
    assert (station.polls, station.sent) == ([], [[b"question"]])


async def test_a_condition_is_looked_at_after_each_pump_and_not_for_ever() -> None:
    station = Station()
    driver = driven(station, lambda _: None)
    waiting = asyncio.create_task(driver.until(lambda: station.sent == [[b"last"]], 60.0))
    await asyncio.sleep(0)
    station.outgoing.append(b"last")
    driver.touch()
    assert await waiting
    assert not await driver.until(lambda: False, 0.01)
    assert driver._after_pump == []


async def test_an_answer_at_once_asks_for_no_further_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    station, loop = Station(), asyncio.get_running_loop()

    def answer(_: EndpointEvent) -> None:
        station.outgoing.append(b"answer")
        driver.touch()

    driver = driven(station, answer)
    await asyncio.sleep(0)
    asked: list[object] = []
    with monkeypatch.context() as patched:  # this test itself goes on by `call_soon`
        patched.setattr(loop, "call_soon", lambda *arguments, **_: asked.append(arguments))
        driver.datagram_received(b"question", SOMEWHERE)
        driver.turn_ended()
        assert station.sent == [[b"answer"]]
        assert asked == []
        driver.touch()
    assert len(asked) == 1, "what comes later is not forgotten"


async def test_no_timer_is_set_for_less_than_loops_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    station, loop = Station(), asyncio.get_running_loop()
    driver = driven(station, lambda _: None)
    moments: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_at", lambda moment, *_: moments.append(moment))
        station.deadline = (now := loop.time()) + 60e-6
        driver.touch()
        await asyncio.sleep(0)
    assert moments[-1] >= now + SHORTEST_WAIT_S
