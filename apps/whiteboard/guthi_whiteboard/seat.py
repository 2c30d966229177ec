"""One page at a board: what it says goes to the room, and it is sent what is new, at the pace at which it takes it.

Nothing piles up for a slow page. Of the board it is sent what arrived after the number that it has; of each hand, and
of who is here, only the newest waits. A page that says too much is read more slowly.

Messages to a page: `{"welcome": …}` first; `{"drawn": [operation, …], "number": n}`; `{"whole": true}` when it has all
that there was; `{"written": batch, "refused": [[place, why], …]}`; `{"people": …}`; `{"hands": …}`; `{"trouble": why}`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from guthi import MalformedMessage
from guthi_whiteboard.asking import Batch, Hand, Hello, Renamed, reason_of, said
from guthi_whiteboard.log import to_line
from guthi_whiteboard.people import Person
from guthi_whiteboard.room import Room

__all__ = ["Seat"]

POLICY_VIOLATED, UNREADABLE = 1008, 1007
MESSAGES_A_SECOND, BURST = 80.0, 400.0
HELLO_PATIENCE_S: Final = 10.0
SEND_PATIENCE_S: Final = 30.0
CHARACTERS_AT_ONCE: Final = 200_000
MOST_HANDS: Final = 200


class Seat:
    """A page of this node at a board, from its hello to its end."""

    def __init__(self, room: Room, websocket: WebSocket, hello: Hello, node_name: str) -> None:
        self.person = hello.person
        self._room, self._websocket, self._node_name = room, websocket, node_name
        self._number = hello.number if hello.life == room.life and hello.number <= room.board.number else 0
        self._hands: dict[str, str] = {}
        self._written: list[str] = []
        self._last: dict[str, Any] = {}
        self._has_news = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    def board_changed(self) -> None:
        """There is something new."""
        self._has_news.set()

    def hand_moved(self, page: str, gesture: str) -> None:
        """Only the newest of each hand waits."""
        if page in self._hands or len(self._hands) < MOST_HANDS:
            self._hands[page] = gesture
            self._has_news.set()

    async def serve(self) -> None:
        """Until the page is gone. It ends with a reason where the page says what cannot be."""
        self._room.enter(self)
        sending = asyncio.create_task(self._send())
        receiving = asyncio.create_task(self._receive())
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._room.leave(self)
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)

    # ---- what the page says

    async def _receive(self) -> None:
        earned, at = BURST, self._clock()
        while True:
            try:
                text = await self._websocket.receive_text()
            except (WebSocketDisconnect, KeyError):  # gone; or it sends bytes
                return
            now = self._clock()
            earned, at = min(earned + (now - at) * MESSAGES_A_SECOND, BURST) - 1, now
            if earned < 0:
                await asyncio.sleep(-earned / MESSAGES_A_SECOND)
            try:
                self._hear(text)
            except MalformedMessage as error:
                await self._websocket.close(UNREADABLE, reason_of(error))
                return

    def _hear(self, text: str) -> None:
        match said(text):
            case Hand(gesture):
                self._room.move_hand(self, gesture)
            case Renamed(name):
                self.person = Person(self.person.page, name)
                self._room.tell_who_is_here()
            case Batch() as batch:
                self._draw(batch)
            case Hello():
                raise MalformedMessage("hello is said once")

    def _draw(self, batch: Batch) -> None:
        places = list(batch.operations)
        drawn = self._room.draw(list(batch.operations.values()))
        refused = {**batch.refused, **{places[place]: why for place, why in drawn.refused.items()}}
        answer = json.dumps({"written": batch.number, "refused": sorted(refused.items())})

        def tell(written: asyncio.Future[None]) -> None:
            if not written.cancelled():
                self._written.append(answer)
                self._has_news.set()

        drawn.written.add_done_callback(tell)

    # ---- what it is told

    async def _send(self) -> None:
        try:
            async for text in self._news():
                async with asyncio.timeout(SEND_PATIENCE_S):
                    await self._websocket.send_text(text)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            return  # it is gone, or takes nothing

    async def _news(self) -> AsyncIterator[str]:
        room = self._room
        at_s = int(room.wall_time_s())
        yield json.dumps({"welcome": {"node": self._node_name, "board": room.name, "life": room.life, "at_s": at_s}})
        is_whole = False
        while True:
            self._has_news.clear()
            while self._number < room.board.number:
                operations, self._number = room.board.after(self._number, CHARACTERS_AT_ONCE)
                yield f'{{"drawn":[{",".join(map(to_line, operations))}],"number":{self._number}}}'
            if not is_whole:
                is_whole = True
                yield '{"whole":true}'
            while self._written:
                yield self._written.pop(0)
            people = [{"page": each.page, "name": each.name, "node": node} for each, node in room.everybody()]
            for what, value in (("people", people), ("trouble", room.trouble)):
                if self._last.get(what, "") != value:
                    self._last[what] = value
                    yield json.dumps({what: value})
            if self._hands:
                hands, self._hands = self._hands, {}
                yield f'{{"hands":{{{",".join(f"{json.dumps(page)}:{hand}" for page, hand in hands.items())}}}}}'
            await self._has_news.wait()
