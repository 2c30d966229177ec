"""What is remembered of a log, and how much of it at most."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi import MalformedMessage, UsageError
from guthi.testing import World, simulated
from guthi.values.codec import Codec
from guthi_logs.book import QUEUE_LINES, Book, Follower
from guthi_logs.lines import LONGEST_TEXT, Line, Wish, line_from_wire, line_to_wire
from guthi_logs.recorder import Recorder


def filled(count: int, length: int = 10) -> Book:
    book = Book(length)
    for number in range(count):
        book.add(float(number), logging.ERROR if number % 2 else logging.INFO, "app", f"line {number}")
    return book


def test_only_the_last_lines_are_kept() -> None:
    lines = filled(25).last(Wish(), 100)
    assert [line.number for line in lines] == list(range(16, 26))
    assert [line.number for line in filled(25).last(Wish(), 3)] == [23, 24, 25]


def test_lines_are_chosen_by_level_and_text() -> None:
    book = filled(10)
    assert [line.text for line in book.last(Wish.of("error", ""), 2)] == ["line 7", "line 9"]
    assert [line.text for line in book.last(Wish.of("info", "LINE 4"), 9)] == ["line 4"]
    assert len(book.last(Wish.of("info", "APP"), 99)) == 10
    with pytest.raises(UsageError, match="debug, info"):
        Wish.of("loud", "")


def test_long_texts_are_cut() -> None:
    book = Book(10)
    book.add(0.0, logging.INFO, "s" * 1000, "t" * 100_000)
    (line,) = book.last(Wish(), 1)
    assert len(line.text) == LONGEST_TEXT and len(line.source) == 120


def test_odd_characters_are_written_out() -> None:
    """One line that cannot be sent would keep all others back."""
    book = Book(10)
    book.add(0.0, logging.INFO, "src\udcff", "opened caf\udce9 \u00fc")
    (line,) = book.last(Wish(), 1)
    assert (line.source, line.text) == ("src\\udcff", "opened caf\\udce9 \u00fc")
    assert line_from_wire(Codec().decode(b"".join(Codec().encode(line_to_wire(line))))) == line


async def test_a_slow_follower_misses_the_oldest_and_is_told_how_many() -> None:
    book, follower = Book(10), Follower(Wish())
    book.followers.append(follower)
    for number in range(QUEUE_LINES + 7):
        book.add(0.0, logging.INFO, "app", str(number))
    missed, lines = await follower.take()
    assert missed == 7 and len(lines) == QUEUE_LINES and lines[0].text == "7"
    book.add(0.0, logging.INFO, "app", "later")
    assert await follower.take() == (0, [Line(QUEUE_LINES + 8, 0.0, logging.INFO, "app", "later")])


def test_lines_travel() -> None:
    line = Line(7, 12.5, 30, "guthi", "text")
    assert line_from_wire(line_to_wire(line)) == line and line.level_name == "warning"
    assert [Line(1, 0.0, level, "", "").level_name for level in (5, 10, 25, 50)] == ["debug", "debug", "info", "error"]


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=12))
def test_what_is_no_line_is_refused(value: Any) -> None:
    try:
        line_from_wire(value)
    except MalformedMessage:
        pass


class Heard:
    """A recorder, and what it has passed on."""

    def __init__(self, rate_per_s: float = 100.0) -> None:
        self.lines: list[tuple[int, str, str, int]] = []
        self.recorder = Recorder(logging.INFO, rate_per_s, self._add)
        self.logger = logging.getLogger("test.logs")
        self.logger.setLevel(logging.DEBUG)

    def _add(self, level: int, source: str, text: str) -> None:
        self.lines.append((level, source, text, threading.get_ident()))

    def __enter__(self) -> Heard:
        self.recorder.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.recorder.remove()


async def test_what_the_process_logs_is_heard_on_the_loop_from_whatever_thread() -> None:
    with Heard() as heard:
        heard.logger.info("from %s", "here")
        heard.logger.debug("too low")
        await asyncio.to_thread(heard.logger.warning, "from there")
        await asyncio.sleep(0)
    heard.logger.info("after the end")
    assert [line[:3] for line in heard.lines] == [
        (logging.INFO, "test.logs", "from here"),
        (logging.WARNING, "test.logs", "from there"),
    ]
    assert {line[3] for line in heard.lines} == {threading.get_ident()}


async def test_exceptions_come_with_their_traceback() -> None:
    with Heard() as heard:
        try:
            raise ValueError("seven")
        except ValueError:
            heard.logger.exception("it failed")
    text = heard.lines[0][2]
    assert text.startswith("it failed\nTraceback") and text.endswith("ValueError: seven")


async def test_arguments_that_do_not_fit_hurt_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with Heard() as heard:
        heard.recorder.emit(logging.LogRecord("a", logging.INFO, "", 0, "%d and %d", ("x",), None))
    assert heard.lines[0][2] == "%d and %d"


def test_a_recorder_that_its_node_left_behind_is_silent_and_swept_away() -> None:
    left = asyncio.run(recorder_that_is_not_removed())
    left.logger.info("its loop is closed")
    assert left.lines == []
    asyncio.run(recorder_that_is_not_removed()).recorder.remove()
    assert left.recorder not in logging.getLogger().handlers


async def recorder_that_is_not_removed() -> Heard:
    return Heard().__enter__()


async def test_who_logs_does_not_pay_for_a_broken_book(capsys: pytest.CaptureFixture[str]) -> None:
    with Heard() as heard:
        heard.recorder._add = lambda *_: 1 / 0
        heard.logger.info("it comes back all the same")
    assert "ZeroDivisionError" in capsys.readouterr().err


@simulated
async def test_a_flood_is_kept_back_and_counted(world: World) -> None:
    """In a simulated world, where all of it is logged in the same moment."""
    with Heard(rate_per_s=2.0) as heard:
        for number in range(100):
            heard.logger.info("%d", number)
        assert len(heard.lines) == 20
        await asyncio.sleep(0.6)
        heard.logger.info("calm")
    assert heard.lines[-1][2].startswith("calm (80 lines before this one were not kept")
