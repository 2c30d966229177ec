"""What a node wrote down is read back as it was, however it ended."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from tests.chaos.journal import Journal, calls, read_journals
from tests.chaos.load import Load

import guthi


def test_calls_are_put_together_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, "alice")
    first = journal.called("rpc", "pay", 5.0)
    second = journal.called("rpc", "look", 5.0)
    lost = journal.called("dvar", ["read", "x"], 5.0)
    journal.failed("rpc", second, LookupError("nobody"), typed=False)
    journal.returned("rpc", first, [1, 2])
    with path.open("ab") as file:
        file.write(b'{"at": 1.0, "node": "al')
    pay, look = calls(read_journals([path]), "rpc")
    assert (pay.input, pay.output, pay.is_ok, pay.limit_s) == ("pay", [1, 2], True, 5.0)
    assert (look.error, look.typed, look.text, look.is_ok) == ("LookupError", False, "nobody", False)
    (read,) = calls(read_journals([path]), "dvar")
    assert lost == 3 and read.returned_at == math.inf and not read.is_ok and not read.error


def test_from_a_mark_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, "alice")
    journal.write("ready")
    mark = {path: path.stat().st_size}
    journal.write("idle")
    assert [each.kind for each in read_journals([path])] == ["ready", "idle"]
    assert [each.kind for each in read_journals([path], mark)] == ["idle"]


async def test_a_call_that_hangs_and_one_that_fails_as_it_should_not(tmp_path: Path) -> None:
    load = Load(cast(guthi.Node, SimpleNamespace(name="alice")), Journal(tmp_path / "journal.jsonl", "alice"), tmp_path)
    assert await load.measured("rpc", "hangs", 0.001, asyncio.sleep(600)) == (False, None)
    assert await load.measured("rpc", "typed", 5.0, raising(guthi.DeadlineExceeded("late"))) == (False, None)
    assert await load.measured("rpc", "not", 5.0, raising(TimeoutError())) == (False, None)
    assert await load.measured("rpc", "well", 5.0, asyncio.sleep(0, 7)) == (True, 7)
    done = calls(read_journals([tmp_path / "journal.jsonl"]))
    assert [(each.error, each.typed, each.output) for each in done] == [
        ("Hung", True, None), ("DeadlineExceeded", True, None), ("TimeoutError", False, None), ("", True, 7),
    ]  # fmt: skip


async def raising(error: Exception) -> None:
    raise error
