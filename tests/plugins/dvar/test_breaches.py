"""What a peer may send in bad faith: it is refused as malformed, and the table stays as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.plugins.dvar.members import members, view_of
from tests.plugins.dvar.network import a_network, table

import guthi
from guthi.testing import World, simulated
from guthi_dvar import DVAR

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


TOKEN = [b"ticket", b"token of an odd length", None]
WITNESSES = ("called", "witnessed")
COHERENT = [["int", "", []], None, False, "coherent", 2]

IN_A_VIEW: list[tuple[str, list[Any]]] = [
    *(
        (topic, odd)
        for topic in ("claim", "give", "hand", "secure", "prepare", "drop", "operate", "obtain", "follow", *WITNESSES)
        for odd in ([], [None], [1, 2], ["x", {}])
    ),
    ("claim", [[b"short"]]),
    ("claim", [[]]),
    ("give", ["known", 0, STAMP]),
    ("hand", ["of known", [[0, STAMP]]]),
    ("hand", ["of known", [[0, STAMP, "text"]]]),
    ("hand", ["of known", [[1, STAMP, 1]]]),
    ("secure", [[["known", [True, False], [], [[], 0], {}]]]),
    ("secure", [[[["known", STAMP, COHERENT, [], 0.0], [True, False], [[5, STAMP]], [[], 0], {}]]]),
    ("prepare", [[["known", STAMP, 0, STAMP, ["value"], None]], [], None]),
    ("prepare", [[], [["known", "token", {}]], None]),
    ("prepare", [[], [["known", b"token", {"lock": "x"}]], None]),
    ("prepare", [[], [], [b"no id", b"ticket"]]),
    ("prepare", [[], [], [ME, bytes(99)]]),
    ("called", [b"ticket", []]),
    ("witnessed", [b"ticket", b"no id"]),
    ("operate", [*TOKEN, ["put", [], None]]),
    ("operate", [*TOKEN, ["put", [["known", 0, ["value", "text"]]], None]]),
    ("operate", [*TOKEN, ["put", [["known", 9, ["value", 1]]], None]]),
    ("operate", [*TOKEN, ["put", [["known", 0, ["patch", [0], np.zeros(1)]]], None]]),
    ("operate", [*TOKEN, ["put", [["known", 0, ["value", 1]]], ["lock"]]]),
    ("operate", [*TOKEN, ["compare", "known", False, "text", 1, None]]),
    ("operate", [*TOKEN, ["compare", "known", True, 1, 1, None]]),
    ("operate", [*TOKEN, ["create", "new", COHERENT, [[0, "text"]]]]),
    ("operate", [*TOKEN, ["create", "new", COHERENT, [[1, 1]]]]),
    ("operate", [b"ticket", bytes(99), None, ["delete", "known"]]),
    ("operate", [bytes(99), b"token", None, ["delete", "known"]]),
    ("operate", [b"", b"token", None, ["delete", "known"]]),
    ("obtain", ["known", 7, None]),
    ("obtain", ["known", 0, "odd"]),
]


@simulated
async def test_what_is_malformed_in_a_view_is_refused(world: World) -> None:
    alice, *_ = await members(world)
    await alice.create("known", 1, coherence="coherent")
    owners = {name: (await alice.info(name)).places[0] for name in ("known",)}
    view = view_of(world, "alice")
    known = table(world, "bob").get("known")
    assert view is not None and known is not None
    record = known.record(0.0).to_wire()
    for topic, rest in IN_A_VIEW:
        to = owners["known"] if topic in ("operate", "obtain", "follow") else "bob"
        rest = [record if isinstance(each, str) and each == "of known" else each for each in rest]
        asker = next(name for name in world.nodes if name != to)
        for body in ([[view.id.epoch, bytes(view.id.maker)], *rest], [["odd"], *rest], None):
            with pytest.raises(guthi.MalformedMessage):
                answer = await world.nodes[asker].node.request(to, f"dvar.{topic}", body, timeout_s=5)
                if isinstance(answer, list) and answer[:1] == ["elsewhere"]:  # of a name that another one owns
                    raise guthi.MalformedMessage("not looked at")
                pytest.fail(f"{topic} took {body!r}")
    for odd in (None, ["read"], ["read", "known", 3, None], ["operate", ["x"]], ["info", 1], ["odd"]):
        with pytest.raises(guthi.MalformedMessage):
            await world.nodes["alice"].node.request("bob", "dvar.behalf", odd, timeout_s=5)
            pytest.fail(f"behalf took {odd!r}")
    await alice.set("known", 2)
    assert [await world.nodes[name].node.require(DVAR).get("known") for name in world.nodes] == [2] * 5
