"""Bands computed by many nodes, in any order of completion, make the picture that one machine makes alone."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import NodeId
from guthi.errors import PeerBreach, UsageError
from guthi_mandelbrot import FUNCTION, MandelbrotPlugin, Region, View, render, render_distributed
from guthi_mandelbrot.plugin import split_rows
from guthi_rpc import RPC
from guthi_rpc.context import Context, running_call

VIEW = View(Region(-2.0, 0.6, -1.25, 1.25), 64, 50, 100)


@dataclass
class Result:
    """What `map` yields for one item."""

    index: int
    item: Any
    value: Any
    node: str
    seconds: float
    lost_on: tuple[str, ...] = ()


class OneMachineRpc:
    """Calls what was registered, here, and gives the results out in a shuffled order under three nodes' names."""

    def __init__(self, seed: int = 0) -> None:
        self.functions: dict[str, Callable[..., Any]] = {}
        self.rng = random.Random(seed)
        self.asked: list[Sequence[str] | None] = []

    def register(self, function: Callable[..., Any], *, name: str, run: str) -> None:
        assert run == "thread"
        self.functions[name] = function

    async def map(
        self, name: str, items: Sequence[tuple[Any, ...]], *, star: bool, on: Sequence[str] | None = None, chunk: int
    ) -> AsyncIterator[Result]:
        assert star
        assert chunk == 1
        self.asked.append(on)
        for index in self.rng.sample(range(len(items)), len(items)):
            running_call.set(Context(name, (NodeId(bytes(16)), index)))
            value = self.functions[name](*items[index])
            yield Result(index, items[index], value, self.rng.choice(on or ["bob", "alice", "carol"]), 0.25)


class OneServiceNode:
    """A node on which nothing but rpc is found."""

    def __init__(self, rpc: OneMachineRpc) -> None:
        self.rpc = rpc

    def require(self, service: Any) -> OneMachineRpc:
        assert service is RPC
        return self.rpc


async def started(rpc: OneMachineRpc, **config: int) -> MandelbrotPlugin:
    plugin = MandelbrotPlugin(OneServiceNode(rpc), MandelbrotPlugin.Config(**config))
    async with AsyncExitStack() as stack:
        await plugin.run(stack)
    return plugin


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bands", [1, 7, 50, 1000])
async def test_the_picture_is_the_local_one(seed: int, bands: int) -> None:
    rpc = OneMachineRpc(seed)
    await started(rpc)
    seen: list[str] = []
    times, shares = await render_distributed(rpc, VIEW, bands, progress=seen.append)
    assert np.array_equal(times, render(VIEW))
    assert len(seen) == min(bands, VIEW.height)
    assert [share.node for share in shares] == sorted(set(seen))
    assert all(share.bands == seen.count(share.node) for share in shares)
    assert all(share.busy_s == share.bands * 0.25 for share in shares)
    assert sum(share.rows for share in shares) == VIEW.height


async def test_the_work_can_be_limited_to_some_nodes() -> None:
    rpc = OneMachineRpc()
    await started(rpc)
    _, shares = await render_distributed(rpc, VIEW, 10, on=["dave"])
    assert rpc.asked == [["dave"]]
    assert [(share.node, share.bands) for share in shares] == [("dave", 10)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [[0] * 64] * 10,
        np.zeros((1, 64), np.uint32),
        np.zeros((10, 1), np.uint32),
        np.zeros((10, 64), np.float64),
        [np.zeros((10, 64), np.float64), 0],
        [np.zeros((9, 64), np.uint32), 0],
    ],
)
async def test_an_answer_that_is_not_a_band_is_a_breach(value: Any) -> None:
    rpc = OneMachineRpc()
    rpc.register(lambda *_: value, name=FUNCTION, run="thread")
    with pytest.raises(PeerBreach, match=r"not 10 rows of 64 pixels"):
        await render_distributed(rpc, VIEW, 5)


async def test_a_node_refuses_a_band_above_its_bound() -> None:
    rpc = OneMachineRpc()
    await started(rpc, largest_band_pixels=640)
    await render_distributed(rpc, VIEW, 5)
    with pytest.raises(UsageError, match="ask for more and smaller bands"):
        await render_distributed(rpc, VIEW, 4)


@given(height=st.integers(1, 5000), bands=st.integers(1, 300))
def test_bands_are_even_and_leave_nothing_out(height: int, bands: int) -> None:
    cut = split_rows(height, bands)
    assert len(cut) == min(height, bands)
    assert [row for start, rows in cut for row in range(start, start + rows)] == list(range(height))
    sizes = [rows for _, rows in cut]
    assert max(sizes) - min(sizes) <= 1


def test_no_bands_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="must be 1 or more"):
        split_rows(10, 0)


async def test_a_band_is_taken_up_where_it_was_left() -> None:
    """A wide band has several strips; the state that one attempt leaves behind spares the next one its rows."""
    view = View(Region(-2.0, 0.6, -1.25, 1.25), 8192, 6, 20)
    rpc, states = OneMachineRpc(), []
    await started(rpc)
    arguments = (-2.0, 0.6, -1.25, 1.25, 8192, 6, 20, 0, 6)

    def run(state: Any) -> Any:
        running_call.set(
            Context(FUNCTION, (NodeId(bytes(16)), 1), state=state, report=lambda _, each: states.append(each.copy()))
        )
        return rpc.functions[FUNCTION](*arguments)

    times, resumed = run(None)
    assert np.array_equal(times, render(view))
    assert resumed == 0
    assert [len(state) for state in states] == [2, 4]
    marked = states[1] + np.uint32(1)  # so that it can be told from what would be computed
    times, resumed = run(marked)
    assert resumed == 4
    assert np.array_equal(times[:4], marked)
    assert np.array_equal(times[4:], render(view)[4:])
    for nonsense in ("state", np.zeros((2, 3), np.uint32), np.zeros((7, 8192), np.uint32), np.zeros((2, 8192))):
        assert run(nonsense)[1] == 0
