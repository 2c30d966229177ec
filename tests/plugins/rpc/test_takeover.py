"""What nodes tell one another of calls with keys is read with care, and refused where it is not from a member."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guthi
from guthi import MalformedMessage, NodeId
from guthi.testing import World, simulated
from guthi_rpc.outcomes import Stage
from guthi_rpc.takeover import Remembered, _read_page, read_name

from .test_handover import parts_of
from .working import start_all

NODE, LIFE = b"n" * 16, b"l" * 8
CALL = ["f", "k", NODE, LIFE, "done", 1.0, b"result"]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from([NODE, LIFE]),
    lambda inner: st.lists(inner, max_size=8),
    max_leaves=20,
)


def test_a_call_is_read_as_it_was_written() -> None:
    for result in (None, True, b"result"):
        call = Remembered(("f", "k"), (NodeId(NODE), LIFE), Stage.DONE, 1.5, result)
        assert Remembered.from_wire(call.to_wire()) == call


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, "f" * 100_000), (1, "k" * 256), (2, b"short"), (3, b""), (4, "never"), (5, -1.0), (5, "1"), (6, False)],
)
def test_what_is_no_call_is_refused(place: int, value: Any) -> None:
    wire = [value if index == place else each for index, each in enumerate(CALL)]
    with pytest.raises(MalformedMessage):
        Remembered.from_wire(wire)


@given(ANYTHING)
def test_nothing_else_is_raised_whatever_comes(wire: Any) -> None:
    for read in (Remembered.from_wire, read_name, _read_page, lambda each: _read_page([True, each, each, None])):
        try:
            read(wire)
        except MalformedMessage:
            pass


BAD: dict[str, list[Any]] = {
    "rpc.remembered": [None, [], [b"short", 0], [LIFE, None], [LIFE, 0, 0]],
    "rpc.results": [None, [], [["f"]], [["f", "k"]] * 513],
    "rpc.leaving": [None, [b"short", True], [LIFE, 1]],
    "rpc.once": [None, ["f", "k", b"short", "asking", None]],
}


@simulated
async def test_a_node_refuses_what_it_cannot_read(world: World) -> None:
    await start_all(world, ["alice", "bob"])
    alice = world.nodes["alice"].node
    for topic, values in BAD.items():
        for value in values:
            with pytest.raises(MalformedMessage):
                await alice.request("bob", topic, value, timeout_s=5)


@simulated
async def test_another_life_than_the_one_that_is_known_is_told_nothing(world: World) -> None:
    await start_all(world, ["alice", "bob"])
    with pytest.raises(guthi.UnknownMember):
        await world.nodes["alice"].node.request("bob", "rpc.remembered", [LIFE, 0], timeout_s=5)


@simulated
async def test_results_come_as_far_as_they_fit_and_one_at_least(world: World) -> None:
    await start_all(world, ["alice", "bob"])
    bob = parts_of(world, "bob")
    for number in range(5):
        bob._outcomes.note(("f", f"k{number}"), bob._life(), Stage.DONE, bytes(600_000))
    names = [["f", f"k{number}"] for number in range(5)] + [["f", "never"]]
    alice = world.nodes["alice"].node
    assert len(await alice.request("bob", "rpc.results", names, timeout_s=5)) == 2
    assert await alice.request("bob", "rpc.results", names[5:], timeout_s=5) == [None]
