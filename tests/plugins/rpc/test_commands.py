"""`guthi functions`, `guthi call` and `guthi map`: what they print where, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.rpc.peers import peer, peers

import guthi
from guthi.cli.program import execute
from guthi_rpc import RPC
from guthi_rpc.lines import lines_of
from guthi_rpc.words import read_arguments, read_word, written


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs `guthi` in an empty folder with a text as standard input."""
    for name in [name for name in os.environ if name.startswith(("GUTHI_", "_GUTHI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, text: str | bytes = "") -> Outcome:
        file = tmp_path / "input"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with file.open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            code = execute([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def address() -> Iterator[str]:
    """A network of two nodes."""
    ended = threading.Event()
    with peers("alice", "bob") as (nodes, client):
        for name, node in nodes.items():
            rpc = node.require(RPC)
            rpc.register(lambda *places, **named: [list(places), named], name="told")
            rpc.register(lambda value: 10 // value, name="divide")
            rpc.register(lambda name=name: name, name="who")
            rpc.register(lambda: b"\x00\xff", name="bytes")
        nodes["bob"].require(RPC).register(ended.wait, name="wait")
        client.available("who", nodes=2, timeout=60)
        client.available("wait", timeout=60)
        yield str(nodes["alice"].address)
    ended.set()


@pytest.fixture
def streams() -> Iterator[str]:
    """A node with generators."""
    with peer("alice") as alice:
        rpc = alice.require(RPC)
        rpc.register(spell)
        rpc.register(fall)
        rpc.register(tick)
        yield str(alice.address)


def spell(text: str) -> Iterator[str]:
    yield from text


async def fall(start: int) -> AsyncIterator[float]:
    for number in range(start, -1, -1):
        yield 12 / number


async def tick() -> AsyncIterator[int]:
    for number in count():
        yield number
        await asyncio.sleep(0.01)


# ---- words


def test_words_are_json_or_themselves() -> None:
    places, named = read_arguments(["7", "-1.5e3", "x", '"7"', "[1, {}]", "null", "a=3", "b=c=d", '"a=3"', "x y=1", ""])
    assert places == [7, -1500.0, "x", "7", [1, {}], None, "a=3", "x y=1", ""]
    assert named == {"a": 3, "b": "c=d"}
    with pytest.raises(guthi.UsageError, match="a text that begins with - is written as JSON: '\"--on\"'"):
        read_arguments(["--on"])
    with pytest.raises(guthi.UsageError, match="a is given twice"):
        read_arguments(["a=1", "a=2"])


@dataclass
class Point:
    x: int
    y: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, True, None, "ü"], '[1, true, null, "ü"]'),
        ([float("nan"), -float("inf"), 0.5], "[null, null, 0.5]"),
        ({1: (2,), (3, 4): {5}}, '{"1": [2], "[3, 4]": [5]}'),
        (b"\x00\xff", '"AP8="'),
        (np.array([[1, 2], [3, 4]], dtype=np.int8), "[[1, 2], [3, 4]]"),
        (np.array([1j, np.inf]), '["1j", "(inf+0j)"]'),
        ([date(2026, 11, 22), datetime(2026, 11, 22, 1, 2)], '["2026-11-22", "2026-11-22T01:02:00"]'),
        (Decimal("1.10"), '"1.10"'),
        (Point(1, 2.5), '{"x": 1, "y": 2.5}'),
    ],
)
def test_values_are_written_as_json(value: Any, text: str) -> None:
    assert written(value) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_what_is_written_can_be_read(value: Any) -> None:
    text = written(value)
    assert "\n" not in text
    assert read_word(text) == value


# ---- lines


async def test_lines_come_while_the_other_end_is_open() -> None:
    reading, writing = os.pipe()
    try:
        lines = lines_of(reading)
        os.write(writing, b"a\nb")
        assert await anext(lines) == "a"
        os.write(writing, "ü\r\n\n".encode())
        assert [await anext(lines), await anext(lines)] == ["bü", ""]
        os.write(writing, b"x" * 1000 + b"\xff")
        os.close(writing)
        with pytest.raises(guthi.UsageError, match="line 4 of the input is not UTF-8"):
            await anext(lines)
    finally:
        os.close(reading)


async def test_a_line_of_many_blocks(tmp_path: Path) -> None:
    file = tmp_path / "long"
    file.write_bytes(b"y" * 300_000 + b"\nend")
    with file.open("rb") as stream:
        assert [len(line) async for line in lines_of(stream.fileno())] == [300_000, 3]


# ---- functions


def test_functions_are_listed(run: Run, address: str) -> None:
    code, out, err = run("functions", "--join", address)
    header, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["NAME", "SIGNATURE", "RUN", "NODES", "DIFFERS", "FROM"]
    assert [row.split()[0] for row in rows] == ["bytes", "divide", "told", "wait", "who", "who"]
    assert rows[-1].split()[-2:] == ["bob", "alice"]
    assert rows[1].split() == ["divide", "(value)", "thread", "alice,", "bob", "-"]
    (found,) = [
        each for each in json.loads(run("functions", "--join", address, "--json").out) if each["name"] == "wait"
    ]
    assert found["providers"] == ["bob"] and found["run"] == "thread" and found["doc"]


# ---- call


def test_a_call(run: Run, address: str) -> None:
    done = run("call", "told", "1", "two", "x=3", "-4", "--join", address)
    assert (done.code, json.loads(done.out), done.err) == (0, [[1, "two", -4], {"x": 3}], "")
    assert {run("call", "who", "--on", name, "--join", address).out for name in ("alice", "bob")} == {
        '"alice"\n',
        '"bob"\n',
    }
    assert run("call", "who", "--on", "bob", "--raw", "--join", address).out == "bob"
    assert run("call", "bytes", "--join", address).out == '"AP8="\n'


def test_calls_that_fail(run: Run, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("call", "divide", "0", "--join", address)
    assert (code, out) == (1, "")
    assert err == "guthi: ZeroDivisionError: integer division or modulo by zero\n"
    assert run("call", "divide", "--join", address).err.startswith("guthi: TypeError: ")
    monkeypatch.setenv("GUTHI_DEBUG", "1")
    assert "Traceback" in run("call", "divide", "0", "--join", address).err
    monkeypatch.delenv("GUTHI_DEBUG")
    code, out, err = run("call", "wait", "--timeout", "50ms", "--join", address)
    assert (code, out) == (75, "")
    for arguments, mend in (
        (("call", "dvide", "1", "--join", address), "did you mean 'divide'?"),
        (("call", "divide", "1", "--on", "carol", "--join", address), "carol"),
        (("call", "divide", "1", "--no", "--join", address), "there is no option --no"),
        (("call", "divide", "1"), "--join HOST:PORT"),
    ):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert mend in err


def test_a_generator_is_called(run: Run, streams: str) -> None:
    """A line of JSON for each value; what came before a failure has been printed."""
    assert run("call", "spell", "abc", "--join", streams) == (0, '"a"\n"b"\n"c"\n', "")
    assert run("call", "spell", "abc", "--raw", "--on", "alice", "--join", streams).out == "abc"
    assert run("call", "spell", "", "--join", streams) == (0, "", "")
    code, out, err = run("call", "fall", "3", "--join", streams)
    assert (code, out.split()) == (1, ["4.0", "6.0", "12.0"])
    assert err == "guthi: ZeroDivisionError: division by zero\n"
    code, out, err = run("call", "spel", "abc", "--join", streams)
    assert (code, out) == (2, "") and "did you mean 'spell'?" in err


def test_a_generator_without_end_ends_with_its_time(run: Run, streams: str) -> None:
    code, out, err = run("call", "tick", "--timeout", "500ms", "--join", streams)
    assert code == 75 and err.startswith("guthi: ")
    assert out.split() == [str(number) for number in range(len(out.split()))]  # none at all on a busy machine


# ---- map


def test_a_map(run: Run, address: str) -> None:
    code, out, err = run("map", "divide", "--join", address, text="1\n\n2\n5")
    assert (code, err) == (0, "")
    results = sorted(map(json.loads, out.splitlines()), key=lambda result: result["index"])
    assert [list(result.values()) for result in results] == [[0, 1, 10], [1, 2, 5], [2, 5, 2]]


def test_a_map_in_order_with_values_alone(run: Run, address: str) -> None:
    text = "\n".join(str(number) for number in range(1, 200))
    code, out, _ = run("map", "divide", "--join", address, "--ordered", "--values", "--on", "bob", text=text)
    assert (code, out.split()) == (0, [str(10 // number) for number in range(1, 200)])


def test_lines_that_fail(run: Run, address: str) -> None:
    code, out, err = run("map", "divide", "--join", address, "--ordered", text="5\n0\n2")
    assert (code, err) == (1, "guthi: ZeroDivisionError: integer division or modulo by zero\n")
    assert len(out.splitlines()) <= 1
    code, out, err = run("map", "divide", "--join", address, "--ordered", "--keep-going", text="5\n0\nx\n2")
    first, second, third, fourth = map(json.loads, out.splitlines())
    assert (code, err) == (1, "")
    assert (first["value"], fourth["value"]) == (2, 5)
    assert second == {"index": 1, "item": 0, "error": "ZeroDivisionError: integer division or modulo by zero"}
    assert third["item"] == "x" and third["error"].startswith("TypeError: unsupported operand")


def test_an_input_that_is_no_text(run: Run, address: str) -> None:
    code, _, err = run("map", "divide", "--join", address, text=b"1\n\xff\n")
    assert (code, err) == (2, "guthi: error: line 2 of the input is not UTF-8\n")


def test_a_map_of_nothing_and_with_nothing(run: Run, address: str) -> None:
    assert run("map", "divide", "--join", address) == (0, "", "")
    code, out, err = run("map", "divde", "--join", address, text="1\n")
    assert (code, out) == (2, "") and "did you mean 'divide'?" in err


def test_a_functions_list_is_whole_also_when_a_node_has_none(run: Run) -> None:
    with peer("alice") as alice:
        code, out, _ = run("functions", "--join", alice.address, "--json")
        assert (code, json.loads(out)) == (0, [])


@pytest.mark.parametrize("name", ["functions", "call", "map"])
def test_every_command_has_an_example(run: Run, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"Example:\n    guthi {name}" in out
