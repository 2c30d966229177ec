"""What a peer may send in bad faith: it is refused as malformed, and the table stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.plugins.dvar.network import a_network, table

import guthi
from guthi.testing import World, simulated

ME = bytes(16)
STAMP = [1, ME, bytes(8)]
INT = [["int", "", []], None, False, "eventual", 2]
RECORD = ["x", STAMP, INT, [[0, STAMP]], 0.0]
GRID = [["array", "", []], [[4], "|u1", [2]], False, "eventual", 2]

BAD: list[tuple[str, Any]] = [
    *((topic, odd) for topic in ("dvar.fetch", "dvar.store", "dvar.records") for odd in (None, 1, ["x"], {"a": 1})),
    *((topic, odd) for topic in ("dvar.create", "dvar.write", "dvar.compare") for odd in (None, 1, ["x"], {"a": 1})),
    ("dvar.delete", None),
    ("dvar.fetch", ["x", STAMP, "0", STAMP, None]),
    ("dvar.store", [[RECORD, 0, ["value", "text"], None]]),
    ("dvar.store", [[RECORD, 1, ["value", 1], None]]),
    ("dvar.store", [[["x", STAMP, None, [], 0.0], 0, ["value", 1], None]]),
    ("dvar.store", [[["g", STAMP, GRID, [[0, STAMP]], 0.0], 0, ["value", np.zeros(3, "u1")], None]]),
    ("dvar.store", [[["g", STAMP, GRID, [[2, STAMP]], 0.0], 2, ["value", np.zeros(2, "u1")], None]]),
    ("dvar.records", [[["", STAMP, INT, [], 0.0]], []]),
    ("dvar.records", [[], [3]]),
    ("dvar.create", ["y", INT, [[0, "text"]]]),
    ("dvar.create", ["y", [["array", "", []], [[4], "O", [2]], False, "eventual", 2], []]),
    ("dvar.write", [["known", 0, ["value", "text"]]]),
    ("dvar.write", [["known", 1, ["value", 1]]]),
    ("dvar.write", [["known", 0, ["patch", [0], np.zeros(1)]]]),
    ("dvar.write", [["pi", 0, ["value", 3.0]]]),
    ("dvar.write", [["grid", 0, ["patch", [9], np.zeros(1, "u1")]]]),
    ("dvar.compare", ["known", STAMP, "value", 1]),
    ("dvar.compare", ["known", STAMP, ["value", 1], "text"]),
]


@simulated
async def test_what_is_malformed_is_refused(world: World) -> None:
    alice, bob, _ = await a_network(world)
    await alice.create("known", 1)
    await alice.constant("pi", 3.14)
    await alice.create_array("grid", 4, "u1", chunk=2)
    before = {name: table(world, "alice").get(name).record(0.0) for name in ("known", "pi", "grid")}  # type: ignore[union-attr]
    for topic, value in BAD:
        with pytest.raises(guthi.MalformedMessage):
            await world.nodes["bob"].node.request("alice", topic, value, timeout_s=5)
            pytest.fail(f"{topic} took {value!r}")
    after = {name: table(world, "alice").get(name).record(0.0) for name in before}  # type: ignore[union-attr]
    assert after == before
    assert await bob.get("known") == 1
