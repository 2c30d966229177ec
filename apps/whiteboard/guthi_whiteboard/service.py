"""The service `WHITEBOARD`: the boards of this node, each open as long as somebody looks at it, and what peers say."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from guthi import Incoming, MalformedMessage, NodeId, Service, UsageError
from guthi.calmlog import CalmLog
from guthi_gutfs import Gutfs, NotFound
from guthi_whiteboard.admitting import Bounds
from guthi_whiteboard.gestures import gesture
from guthi_whiteboard.log import Operation, from_line
from guthi_whiteboard.names import board_name, is_board_name
from guthi_whiteboard.people import people_from_wire
from guthi_whiteboard.room import DRAWN, HAND, HERE, Room
from guthi_whiteboard.shapes import is_author

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["WHITEBOARD", "Whiteboard"]

LINGER_S = 5.0
MOST_OPERATIONS = 1000
MOST_BOARDS = 10_000

log = logging.getLogger("guthi_whiteboard")


class _Open:
    """A board in use: its room while that is open, and a turn for opening and closing it."""

    def __init__(self) -> None:
        self.room: Room | None = None
        self.users = 0
        self.turn = asyncio.Lock()


class Whiteboard:
    """Boards by name; one instance a node. `folder` is where in the tree all of them are."""

    def __init__(self, node: Node, fs: Gutfs, folder: str, bounds: Bounds) -> None:
        self._node, self._fs, self._folder, self._bounds = node, fs, folder, bounds
        self._open: dict[str, _Open] = {}
        self._log = CalmLog(log, asyncio.get_running_loop().time)
        node.handle_broadcast(DRAWN, lambda incoming: self._told(incoming, self._drawn))
        node.handle_broadcast(HERE, lambda incoming: self._told(incoming, self._here))
        node.handle_datagram(HAND, lambda incoming: self._told(incoming, self._hand))

    async def boards(self) -> list[str]:
        """The names of the boards that this node has heard of, sorted."""
        try:
            listed = await self._fs.list(f"/node/{self._node.id}{self._folder}")
        except NotFound:
            return []
        return sorted(info.name for info in listed if info.is_folder and is_board_name(info.name))

    @asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[Room]:
        """The board of a name, new or not, as long as the context lasts. Raises UsageError for a bad name."""
        name = board_name(name)
        entry = self._open.setdefault(name, _Open())
        entry.users += 1
        try:
            async with entry.turn:
                if entry.room is None:
                    entry.room = await self._opened(name)
            yield entry.room
        finally:
            entry.users -= 1
            if not entry.users:
                self._node.start(self._close_later(name, entry), "whiteboard closing")

    async def _opened(self, name: str) -> Room:
        names = await self.boards()
        if name not in names and len(names) >= MOST_BOARDS:
            raise UsageError(f"there are {MOST_BOARDS} boards already; delete the folder of one below {self._folder}")
        room = Room(self._node, self._fs, name, f"{self._folder}/{name}", self._bounds)
        await room.open()
        return room

    async def _close_later(self, name: str, entry: _Open) -> None:
        """Who loads the page anew finds the room as it was."""
        await asyncio.sleep(LINGER_S)
        async with entry.turn:
            if not entry.users:
                await self._close(name, entry)

    async def _close(self, name: str, entry: _Open) -> None:
        room, entry.room = entry.room, None
        if room is not None:
            await room.close()
        if not entry.users and self._open.get(name) is entry:
            del self._open[name]

    async def close(self) -> None:
        """Close all, with whoever is in them."""
        for name, entry in sorted(self._open.items()):
            async with entry.turn:
                await self._close(name, entry)

    def gone(self, node: NodeId) -> None:
        """A node has failed or left."""
        for name in sorted(self._open):
            room = self._open[name].room
            if room is not None:
                room.node_gone(node)

    # ---- what peers say

    def _told(self, incoming: Incoming, hear: Callable[[NodeId, Any], None]) -> None:
        try:
            hear(incoming.peer, incoming.value)
        except MalformedMessage as breach:
            peer = self._node.network.name_of(incoming.peer)
            self._log.warning("%s says of a board what cannot be: %s", peer, breach)

    def _room(self, name: Any) -> Room | None:
        entry = self._open.get(name) if type(name) is str else None
        return entry.room if entry is not None else None

    def _drawn(self, peer: NodeId, value: Any) -> None:
        if type(value) is not list or len(value) != 2 or type(value[1]) is not list or len(value[1]) > MOST_OPERATIONS:
            raise MalformedMessage("what was drawn is told by the name of a board and lines of its log")
        room = self._room(value[0])
        if room is not None:
            room.heard([_operation(line) for line in value[1]])

    def _here(self, peer: NodeId, value: Any) -> None:
        if type(value) is not list or len(value) != 2:
            raise MalformedMessage("who is here is told by the name of a board and people")
        room = self._room(value[0])
        if room is not None:
            room.others_here(peer, people_from_wire(value[1]))

    def _hand(self, peer: NodeId, value: Any) -> None:
        if type(value) is not list or len(value) != 3 or not is_author(value[1]) or type(value[2]) is not str:
            raise MalformedMessage("a hand is told by the name of a board, a page and a gesture")
        room = self._room(value[0])
        if room is None:
            return
        try:
            told = json.loads(value[2])
        except (ValueError, RecursionError):
            raise MalformedMessage("a gesture is JSON") from None
        room.hand_moved(value[1], gesture(told))


def _operation(line: Any) -> Operation:
    if type(line) is not str:
        raise MalformedMessage("a line of a log is text")
    return from_line(line)


WHITEBOARD: Service[Whiteboard] = Service("whiteboard")
"""What the plugin whiteboard provides: `node.require(WHITEBOARD)`."""
