"""Networks of simulated nodes that have boards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guthi.testing import World
from guthi_whiteboard import WHITEBOARD, Operation, Whiteboard

__all__ = ["a_node", "boards", "seen"]

TRANSPORT = {"keepalive": "1s", "timeout": "3s", "handshake_timeout": "2s"}


async def a_node(world: World, name: str, folder: Path, join: list[str], **whiteboard: Any) -> None:
    """One more node, with a disk."""
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    gutfs = {"exports": [f"{own}:/whiteboards:sync"], "tracking": "off", "check_interval": "2s", "sync_interval": "2s"}
    await world.start(
        name,
        plugins=["gutfs", "web", "whiteboard"],
        join=join,
        gutfs=gutfs,
        whiteboard=whiteboard,
        transport=TRANSPORT,
        disk=True,
    )


def boards(world: World, name: str) -> Whiteboard:
    """The service of a node, as it is now."""
    return world.nodes[name].node.require(WHITEBOARD)


async def seen(world: World, name: str, board: str) -> list[Operation]:
    """What is on a board, as somebody sees who opens it on a node."""
    async with boards(world, name).open(board) as room:
        return room.board.visible()
