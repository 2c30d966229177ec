"""Views are read as often as they may be, and pages follow them without piling anything up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from guthi import UsageError
from guthi_web.live import Live
from guthi_web.views import View, Views, as_json


class Browser:
    """A websocket that takes what it is sent only when told to."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.got: list[tuple[str, Any]] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.closed: int | None = None

    async def accept(self) -> None: ...

    async def close(self, code: int, reason: str) -> None:
        self.closed = code
        self.said.put_nowait("")

    async def receive_text(self) -> str:
        text = await self.said.get()
        if not text:
            raise WebSocketDisconnect
        return text

    async def send_text(self, text: str) -> None:
        await self.takes.wait()
        message = json.loads(text)
        self.got.append((message["view"], message["data"]))

    def watch(self, *names: str) -> None:
        self.said.put_nowait(json.dumps({"watch": names}))

    def leave(self) -> None:
        self.said.put_nowait("")


class Stage:
    """Views that count their readings, and pages that follow them."""

    def __init__(self, most: int = 3) -> None:
        loop = asyncio.get_running_loop()
        self.views = Views(loop.time)
        self.value, self.readings = 0, 0
        self.views.add(View("value", "A number.", self._read, every_s=0.02))
        self.tasks: list[asyncio.Task[Any]] = []
        self.live = Live(self.views, self.start, most)

    def _read(self) -> list[int]:
        self.readings += 1
        return [self.value]

    def start(self, work: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        self.tasks.append(asyncio.create_task(work))
        return self.tasks[-1]

    def open(self) -> Browser:
        browser = Browser()
        self.start(self.live.serve(browser))  # type: ignore[arg-type]
        return browser


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_ten_who_ask_at_once_cost_one_reading() -> None:
    stage = Stage()
    found = await asyncio.gather(*(stage.views.read("value") for _ in range(10)))
    assert stage.readings == 1 and {each.text for each in found} == {"[0]"}


async def test_the_version_is_raised_by_changes_only() -> None:
    stage = Stage()
    first = await stage.views.read("value")
    await asyncio.sleep(0.11)
    assert (await stage.views.read("value")).version == first.version and stage.readings == 2
    stage.value = 7
    await asyncio.sleep(0.11)
    assert (await stage.views.read("value")).version == first.version + 1


class Clock:
    """Time that passes when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def readings_after(view: Callable[[int], Any], pauses: Sequence[float]) -> list[int]:
    """How often a view had been read after each pause; it is told the how manieth reading it is."""
    clock, count, found = CLOCK, 0, []

    def read() -> Any:
        nonlocal count
        count += 1
        return view(count)

    views = Views(clock)
    views.add(View("view", "One.", read, every_s=0.01))
    for pause in pauses:
        clock.now += pause
        await views.read("view")
        found.append(count)
    return found


CLOCK = Clock()


async def test_a_view_that_takes_long_is_read_seldom() -> None:
    def slow(number: int) -> list[int]:
        CLOCK.now += 0.05
        return [number]

    assert await readings_after(slow, [0.0, 0.1, 1.0, 1.3, 0.15, 0.1]) == [1, 1, 1, 1, 2, 2]  # each 50 times 50 ms


async def test_a_large_view_is_sent_seldom() -> None:
    def large(number: int) -> str:
        return "x" * (1 << 21) + str(number)

    assert await readings_after(large, [0.0, 0.1, 1.0, 0.8, 0.2]) == [1, 1, 1, 1, 2]  # a million characters a second


async def test_names_are_taken_once() -> None:
    stage = Stage()
    with pytest.raises(UsageError):
        stage.views.add(View("value", "Another.", lambda: None))
    stage.views.nudge("nothing")


async def test_pages_are_sent_changes_and_a_late_one_what_is_there() -> None:
    stage = Stage()
    first = stage.open()
    first.watch("value", "unknown")
    await until(lambda: first.got == [("value", [0])])
    stage.value = 1
    stage.views.nudge("value")
    await until(lambda: first.got[-1] == ("value", [1]))
    second = stage.open()
    second.watch("value")
    await until(lambda: second.got == [("value", [1])])
    assert first.got == [("value", [0]), ("value", [1])]


async def test_a_page_that_takes_nothing_is_sent_the_newest_later_and_others_do_not_wait() -> None:
    stage = Stage()
    slow, quick = stage.open(), stage.open()
    slow.takes.clear()
    for page in (slow, quick):
        page.watch("value")
    for value in range(1, 6):
        stage.value = value
        stage.views.nudge("value")
        await until(lambda value=value: quick.got and quick.got[-1] == ("value", [value]))
    slow.takes.set()
    await until(lambda: slow.got and slow.got[-1] == ("value", [5]))
    assert len(slow.got) == 2  # the one that was on its way, and the newest


async def test_nobody_looks_nothing_is_read() -> None:
    stage = Stage()
    page = stage.open()
    page.watch("value")
    await until(lambda: page.got)
    page.leave()
    await until(lambda: stage.live.pages == 0)
    readings = stage.readings
    await asyncio.sleep(0.25)
    assert stage.readings == readings
    page = stage.open()
    page.watch("value")
    await until(lambda: page.got)
    page.watch()
    await until(lambda: not stage.live._readers)
    readings = stage.readings
    await asyncio.sleep(0.25)
    assert stage.readings == readings


async def test_there_are_only_so_many_pages() -> None:
    stage = Stage(most=2)
    pages = [stage.open() for _ in range(3)]
    await until(lambda: pages[2].closed == 1013)
    pages[0].leave()
    await until(lambda: stage.live.pages == 1)
    assert pages[1].closed is None


@pytest.mark.parametrize(
    "text", ["x", "[]", '{"watch": 1}', '{"watch": [1]}', "[" * 5000, '{"watch": ' + str(["a"] * 65)]
)
async def test_what_is_no_wish_ends_the_page(text: str) -> None:
    stage = Stage()
    page = stage.open()
    page.said.put_nowait(text)
    await until(lambda: page.closed == 1007)


async def test_who_talks_too_much_is_sent_away() -> None:
    stage = Stage()
    page = stage.open()
    for _ in range(30):
        page.watch("value")
    await until(lambda: page.closed == 1008)


async def test_a_view_that_fails_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.views.add(View("bad", "A broken one.", lambda: 1 / 0))
    page = stage.open()
    page.watch("bad", "value")
    await until(lambda: page.got)
    assert "a view cannot be read" in caplog.text and page.closed is None


def test_odd_values_have_a_form_too() -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    odd = {"a": float("nan"), (1, 2): {3}, "b": b"x", "c": [float("inf"), 1.5], "d": np.arange(3), 7: None}
    assert json.loads(as_json(odd)) == {
        "a": None,
        "(1, 2)": [3],
        "b": "b'x'",
        "c": [None, 1.5],
        "d": [0, 1, 2],
        "7": None,
    }
    assert json.loads(as_json(circle))[0] == 1
    assert json.loads(as_json({"d": np.float64("nan"), "n": np.array([np.nan])})) == {"d": None, "n": [None]}
