"""Whole nodes in bad worlds: whatever is lost, cut off or crashed, in the end all see the same board, with all that was
acknowledged. For more: `pytest tests/apps/whiteboard/test_worlds.py --guthi-seeds 300`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.apps.whiteboard.drawing import Pen, a_line, author, op
from tests.apps.whiteboard.network import a_node, boards, seen

import guthi
from guthi.testing import Link, PowerLost, World, simulated
from guthi_gutfs import SourceGone, StorageFailed
from guthi_whiteboard import WHITEBOARD, Operation, compaction
from guthi_whiteboard.log import as_lines
from guthi_whiteboard.room import LOOK_S

NAMES = ["alice", "bob", "carol"]
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.05, duplicate=0.05, reorder=0.1)
PASSING = (guthi.PeerLost, guthi.NodeClosed, PowerLost, SourceGone, StorageFailed, TimeoutError, asyncio.CancelledError)


async def three(world: World, folder: Path) -> None:
    for name in NAMES:
        await a_node(world, name, folder, [] if name == "alice" else ["alice"])
    await world.until(world.is_connected)


async def drawn(world: World, name: str, *, who: str, strokes: int = 1, board: str = "plans") -> list[Operation]:
    """Somebody draws on a node, until it is on its disk."""
    done: list[Operation] = []

    async def draw(node: guthi.Node) -> None:
        async with node.require(WHITEBOARD).open(board) as room:
            pen = Pen(who, room.board)
            for x in range(strokes):
                done.append(pen.add(x))
                await room.draw([done[-1]]).written

    await world.nodes[name].run(draw)
    return done


@simulated
async def test_a_stroke_is_elsewhere_within_150_ms(world: World, tmp_path: Path) -> None:
    await three(world, tmp_path)
    async with boards(world, "alice").open("plans") as here, boards(world, "bob").open("plans") as there:
        stroke = Pen(author(1), here.board).add()
        at = world.now
        here.draw([stroke])
        await world.until(lambda: there.board.winner(stroke.birth) == stroke, within=5)
        assert world.now - at < 0.15


@simulated
async def test_who_comes_late_gets_the_whole_board(world: World, tmp_path: Path) -> None:
    await a_node(world, "alice", tmp_path, [])
    strokes = await drawn(world, "alice", who=author(1), strokes=5)
    await a_node(world, "bob", tmp_path, ["alice"])
    await world.sleep(10.0)
    assert await seen(world, "bob", "plans") == strokes
    assert await boards(world, "bob").boards() == ["plans"]


@simulated
async def test_what_others_had_seen_survives_a_node_and_its_disk(world: World, tmp_path: Path) -> None:
    """The log of alice never leaves her node: bob knows of the stroke by the broadcast alone."""
    await three(world, tmp_path)
    async with boards(world, "alice").open("plans") as here, boards(world, "bob").open("plans") as there:
        stroke = Pen(author(1), here.board).add()
        here.draw([stroke])
        await world.until(lambda: there.board.winner(stroke.birth) == stroke, within=5)
        world.nodes["alice"].crash()
        await world.sleep(15.0)
    await world.sleep(15.0)
    assert await seen(world, "carol", "plans") == [stroke]


FEW = 3


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """More files than these few are rewritten."""
    monkeypatch.setattr(compaction, "MOST_SMALL_FILES", FEW)


async def drawn_often(world: World, times: int) -> list[Operation]:
    """Each time that somebody opens the board and draws begins a file."""
    strokes: list[Operation] = []
    for number in range(times):
        strokes += await drawn(world, "alice", who=author(number))
        await world.sleep(6.0)
    return strokes


def files(folder: Path, name: str) -> list[str]:
    """The logs that a node has on its disk."""
    return sorted(each.name for each in (folder / name / "plans").iterdir())


@simulated
async def test_many_small_files_become_one_everywhere(world: World, tmp_path: Path, few: None) -> None:
    await three(world, tmp_path)
    strokes = await drawn_often(world, FEW)
    await world.until(lambda: len(files(tmp_path, "bob")) == FEW, within=30)
    strokes += await drawn(world, "alice", who=author(99))
    await world.until(lambda: len(files(tmp_path, "bob")) == 1, within=30)
    await world.until(lambda: files(tmp_path, "bob") == files(tmp_path, "carol") == files(tmp_path, "alice"), within=30)
    for name in NAMES:
        assert await seen(world, name, "plans") == strokes


@simulated
async def test_what_is_replaced_stays_while_the_others_have_not_what_replaces_it(
    world: World, tmp_path: Path, few: None
) -> None:
    """Alice writes the new file while she is cut off, and dies before anybody has it."""
    await three(world, tmp_path)
    strokes = await drawn_often(world, FEW)
    world.network.cut(["alice"], ["bob", "carol"])
    unseen = await drawn(world, "alice", who=author(99))
    await world.until(lambda: len(files(tmp_path, "alice")) == FEW + 2, within=10)
    await world.sleep(1.0)
    world.nodes["alice"].crash()
    world.network.heal()
    await world.sleep(15.0)
    assert await seen(world, "bob", "plans") == await seen(world, "carol", "plans") == strokes
    await world.nodes["alice"].restart()
    await world.sleep(15.0)
    for name in NAMES:
        assert await seen(world, name, "plans") == strokes + unseen


@simulated
async def test_a_line_that_is_torn_takes_no_other_with_it(world: World, tmp_path: Path) -> None:
    """A node that was killed in the middle of writing, and one whose disk was set back and went on."""
    await a_node(world, "alice", tmp_path, [])
    first, second = op(1, author(1), a_line(1)), op(2, author(1), a_line(2))
    folder = tmp_path / "alice" / "plans"
    folder.mkdir()
    (folder / f"{author(8)}.000001.log").write_bytes(as_lines([first]) + as_lines([second])[:-20])
    (folder / f"{author(9)}.000001.log").write_bytes(as_lines([first])[:-20] + b"\n\0\xff\n" + as_lines([second]))
    await world.sleep(5.0)
    assert await seen(world, "alice", "plans") == [first, second]


@pytest.mark.parametrize("what", ["files", "folder"])
@simulated
async def test_a_board_whose_files_somebody_deletes_is_drawn_on_and_saved(
    world: World, tmp_path: Path, what: str
) -> None:
    await a_node(world, "alice", tmp_path, [])
    folder = tmp_path / "alice" / "plans"
    async with boards(world, "alice").open("plans") as room:
        pen = Pen(author(1), room.board)
        await room.draw([pen.add(1)]).written
        for file in folder.iterdir():
            file.unlink()
        if what == "folder":
            folder.rmdir()
        await world.sleep(2 * LOOK_S)
        last = pen.add(2)
        async with asyncio.timeout(20.0):
            await room.draw([last]).written
    assert [file.read_bytes() for file in folder.iterdir()] == [as_lines([last])]


@pytest.mark.guthi_seeds(2)
@simulated
async def test_boards_converge_whatever_happens(world: World, tmp_path: Path) -> None:
    world.network.set_link(ROUGH)
    await three(world, tmp_path)
    acknowledged: list[Operation] = []
    faults: asyncio.Future[Any] = world.swarm(12.0)
    under_way: set[asyncio.Task[None]] = set()
    number = 0

    async def deed(number: int) -> None:
        name = world.random.choice(world.running()).name
        board = world.random.choice(["plans", "plans", "notes"])
        what = world.random.choice(["add", "add", "change", "delete", "clear", "unclear"])

        async def draw(node: guthi.Node) -> None:
            async with node.require(WHITEBOARD).open(board) as room:
                pen, visible, clears = Pen(author(number), room.board), room.board.visible(), room.board.clears()
                if what in ("change", "delete") and visible:
                    birth = world.random.choice(visible).birth
                    operation = pen.change(birth, number) if what == "change" else pen.delete(birth)
                elif what == "clear" and visible and world.random.random() < 0.3:
                    operation = pen.clear(int(node.host.wall_time_s()))
                elif what == "unclear" and clears:
                    operation = pen.delete(world.random.choice(clears).birth)
                else:
                    operation = pen.add(number)
                async with asyncio.timeout(10):
                    refused, written = room.draw([operation])
                    await written
                assert not refused
                acknowledged.append(operation)

        try:
            await world.nodes[name].run(draw)
        except PASSING:
            pass

    while not faults.done():
        if world.running():
            number += 1
            under_way.add(world.background(deed(number)))
        await world.sleep(world.random.uniform(0.02, 0.3))
    await faults
    await asyncio.wait(under_way)
    await world.until(lambda: len(world.running()) == len(NAMES) and world.is_connected(), within=60)
    await world.sleep(20.0)
    for board in ("plans", "notes"):
        pictures = [await seen(world, name, board) for name in NAMES]
        assert pictures[0] == pictures[1] == pictures[2]
    for operation in acknowledged:
        places = [await place(world, name, operation) for name in NAMES]
        assert all(places), f"{operation} was acknowledged, and is overtaken by nothing where it is missing: {places}"
    assert len(acknowledged) > 5


async def place(world: World, name: str, operation: Operation) -> bool:
    """Whether a node knows an operation, or a later one on the same object."""
    for board in ("plans", "notes"):
        async with boards(world, name).open(board) as room:
            last = room.board.winner(operation.birth)
            if last is not None and last.stamp >= operation.stamp:
                return True
    return False
