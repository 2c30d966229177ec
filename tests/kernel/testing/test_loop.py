"""Virtual time: its order, its end, its errors, and whose clock and processor a callback has."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from guthi.errors import UsageError
from guthi.testing import Stalled, VirtualLoop, World


def run(work: Coroutine[Any, Any, Any]) -> Any:
    loop = VirtualLoop()
    try:
        return loop.run(work)
    finally:
        loop.cancel_scenario()
        loop.bury()
        loop.close()


async def finishing(work: Coroutine[Any, Any, Any]) -> None:
    await work


def test_what_an_unbegun_task_was_given_to_await_is_buried_with_it():
    """Else Python, when it collects that, says it was never awaited, in the middle of whatever test is running then."""
    loop, given = VirtualLoop(), asyncio.sleep(1)
    loop.create_task(finishing(given))
    loop.bury()
    loop.close()
    assert inspect.getcoroutinestate(given) == inspect.CORO_CLOSED


def test_a_year_passes_in_no_time():
    async def scenario() -> float:
        await asyncio.sleep(365 * 24 * 3600)
        return asyncio.get_running_loop().time()

    started_at = time.perf_counter()
    assert run(scenario()) == 365 * 24 * 3600
    assert time.perf_counter() - started_at < 5


def test_timers_of_one_moment_fire_in_the_order_in_which_they_were_set():
    async def scenario() -> list[int]:
        order: list[int] = []
        for number in range(100):
            asyncio.get_running_loop().call_at(1.0, order.append, number)
        await asyncio.sleep(2)
        return order

    assert run(scenario()) == list(range(100))


def test_the_clock_shows_exactly_the_moment_of_the_timer():
    async def scenario() -> list[tuple[float, float]]:
        loop, seen = asyncio.get_running_loop(), []
        for number in range(1, 500):
            when = number / 7 + 1e4
            loop.call_at(when, lambda when=when: seen.append((when, loop.time())))
        await asyncio.sleep(2e4)
        return seen

    assert all(when == shown for when, shown in run(scenario()))


def test_a_world_that_can_do_nothing_raises_and_names_who_waits():
    async def scenario() -> None:
        await asyncio.gather(asyncio.create_task(asyncio.Event().wait(), name="forgotten"))

    with pytest.raises(Stalled, match="forgotten"):
        run(scenario())


def test_a_loop_that_spins_raises():
    async def scenario() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stalled, match="no time passes"):
        run(scenario())


def test_a_set_of_tasks_has_the_same_order_in_every_run():
    async def scenario() -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(0), name=str(number)) for number in range(50)}
        names = [task.get_name() for task in tasks]
        await asyncio.wait(tasks)
        return names

    ballast = [object() for _ in range(1000)]
    first = run(scenario())
    del ballast[::2]
    assert first == run(scenario()) == sorted(first, key=int)


def test_timeouts_and_wait_for_are_virtual():
    async def scenario() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        return asyncio.get_running_loop().time()

    assert run(scenario()) == 10


# ---- clocks of machines


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.0123, 3.0])
def test_a_machine_measures_time_by_its_own_clock(rate):
    async def scenario(world: World) -> None:
        alice = await world.start("alice")
        await world.sleep(1.7)
        alice.machine.set_clock_rate(rate)

        async def errand() -> float:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.sleep(10)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    await asyncio.Event().wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 10)
            timer = loop.call_later(10, lambda: None)
            assert timer.when() == pytest.approx(loop.time() + 10)
            return loop.time() - began

        began = world.now
        assert await alice.run(lambda _: errand()) == pytest.approx(30)
        assert world.now - began == pytest.approx(30 / rate)

    World().run(scenario)


def test_a_timer_never_finds_that_its_moment_has_not_come():
    async def scenario(world: World) -> None:
        alice = await world.start("alice")
        alice.machine.set_clock_rate(1.0123)
        loop = world.loop

        async def errand() -> None:
            for number in range(2000):
                when = loop.time() + 0.001 + number / 7919
                due = asyncio.Event()
                loop.call_at(when, due.set)
                await due.wait()
                assert loop.time() >= when

        await alice.run(lambda _: errand())

    World().run(scenario)


def test_a_timer_that_was_set_before_the_clock_slowed_down_is_not_early():
    async def scenario(world: World) -> None:
        alice = await world.start("alice")

        async def errand() -> float:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.sleep(10)
            return loop.time() - began

        nap = asyncio.create_task(alice.run(lambda _: errand()))
        await world.sleep(1)
        alice.machine.set_clock_rate(0.5)
        assert await nap == pytest.approx(10)
        assert world.now == pytest.approx(1 + 9 / 0.5, rel=0.01)

    World().run(scenario)


def test_a_timer_that_is_cancelled_after_it_was_put_off_does_not_fire():
    async def scenario(world: World) -> None:
        alice = await world.start("alice")
        fired: list[float] = []

        async def errand() -> asyncio.TimerHandle:
            return asyncio.get_running_loop().call_later(2, lambda: fired.append(world.now))

        timer = await alice.run(lambda _: errand())
        alice.machine.set_clock_rate(0.5)
        await world.sleep(3)
        timer.cancel()
        await world.sleep(10)
        assert not fired

    World().run(scenario)


# ---- what is not simulated


async def _to_thread(world: World) -> None:
    assert await asyncio.to_thread(lambda: threading.current_thread()) is threading.main_thread()


def test_threads_of_asyncio_are_simulated():
    async def scenario(world: World) -> None:
        await _to_thread(world)
        alice = await world.start("alice")
        alice.machine.call_s = 0.25
        began = world.now
        await alice.run(lambda _: _to_thread(world))
        await alice.run(lambda _: world.loop.run_in_executor(None, int))
        assert world.now - began == pytest.approx(0.5)

    World().run(scenario)


async def _real_executor(world: World) -> None:
    with ThreadPoolExecutor(1) as pool:
        await world.loop.run_in_executor(pool, int)


async def _executor_that_is_warm(world: World) -> None:
    await asyncio.wrap_future(ThreadPoolExecutor(1).submit(int))


async def _real_socket(world: World) -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def _real_name(world: World) -> None:
    await world.loop.getaddrinfo("localhost", 9)


async def _real_process(world: World) -> None:
    await asyncio.create_subprocess_exec("true")


async def _real_thread(world: World) -> None:
    threading.Thread(target=int).start()


async def _wait_for_a_thread(world: World) -> None:
    asyncio.run_coroutine_threadsafe(asyncio.sleep(1), world.loop).result()


async def _real_node(world: World) -> None:
    from guthi import Node
    from guthi.configuration.config import Config

    async with Node(Config.from_mapping({"node": {"name": "real"}}, environment={})):
        pass


async def _blocking_face(world: World) -> None:
    from guthi.blocking import connect

    with connect():
        pass


@pytest.mark.parametrize(
    "deed",
    [
        _real_executor,
        _executor_that_is_warm,
        _real_socket,
        _real_name,
        _real_process,
        _real_thread,
        _wait_for_a_thread,
        _real_node,
        _blocking_face,
    ],
)
def test_what_is_real_is_refused_instead_of_waited_for(deed):
    with pytest.raises(UsageError, match="world"):
        World().run(deed)


def test_threads_are_as_before_after_a_world():
    World().run(_to_thread)
    seen: list[int] = []
    thread = threading.Thread(target=seen.append, args=(1,))
    thread.start()
    thread.join()
    assert seen == [1]


def test_a_world_inside_a_loop_says_so():
    async def main() -> None:
        with pytest.raises(UsageError, match="@simulated"):
            World().run(_to_thread)

    asyncio.run(main())
