"""One board that is open on this node: what pages draw goes to the others at once, and into the log.

    page --> board --> other pages of this node
              |  \\--> broadcast --> boards of other nodes           a few milliseconds
              \\-----> log --> replicas of it on other nodes --> boards     lasting, and nothing missing

The log is the truth; the broadcast only is quicker. What was heard by broadcast and is in no log after ADOPT_S, because
its node died with it perhaps, this node writes into its own: what somebody has seen is not lost with another's disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from guthi import GuthiError, NodeId
from guthi.calmlog import CalmLog
from guthi.tasks import TaskSet
from guthi_gutfs import FileChange, Gutfs
from guthi_whiteboard.admitting import Bounds, refusal
from guthi_whiteboard.board import Board
from guthi_whiteboard.log import Key, Operation, to_line
from guthi_whiteboard.people import HERE_S, People, Person
from guthi_whiteboard.shelf import Shelf

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["DRAWN", "HAND", "HERE", "Drawn", "Room", "Visitor"]

DRAWN, HERE, HAND = "whiteboard.drawn", "whiteboard.here", "whiteboard.hand"
ADOPT_S: Final = 5.0
KEEP_S: Final = 2.0
LOOK_S: Final = 30.0
RETRY_S: Final = 1.0
BETWEEN_APPENDS_S: Final = 0.1  # each append has every replica write its copy of a file anew
FAREWELL_S: Final = 5.0
MOST_UNWRITTEN: Final = 50_000
MOST_HEARD: Final = 50_000
OPERATIONS_AT_ONCE: Final = 200
LIFE_BYTES: Final = 8

log = logging.getLogger("guthi_whiteboard")


class Visitor(Protocol):
    """A page of this node that shows the board."""

    person: Person

    def board_changed(self) -> None:
        """There is something new on the board, or somebody came or went, or there is trouble."""

    def hand_moved(self, page: str, gesture: str) -> None:
        """Somebody's hand has moved."""


class Drawn(NamedTuple):
    """What came of operations: why some were refused, by their place, and when the others are on disk."""

    refused: dict[int, str]
    written: asyncio.Future[None]


class Room:
    """A board and those who look at it. Made by `Whiteboard.open`; `life` names it, with its numbers of arrival."""

    def __init__(self, node: Node, fs: Gutfs, name: str, folder: str, bounds: Bounds) -> None:
        self.name, self.board, self.people = name, Board(), People()
        self.life = node.host.entropy(LIFE_BYTES).hex()
        self.trouble = ""
        """Why nothing can be saved just now; empty: it can."""
        self._node, self._fs, self._bounds = node, fs, bounds
        self._loop = asyncio.get_running_loop()
        self._shelf = Shelf(node, fs, folder)
        self._tasks = TaskSet()
        self._visitors: list[Visitor] = []
        self._unwritten: dict[Key, Operation] = {}
        self._written = 0
        self._queued = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._untold: deque[Operation] = deque()
        self._heard: dict[Key, tuple[Operation, float]] = {}
        self._to_look: set[str] | None = None  # None: at all files
        self._is_in_use = asyncio.Lock()  # of the shelf, for what must not overlap
        self._writes, self._tells, self._looks = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._log = CalmLog(log, self._loop.time)

    # ---- life

    async def open(self) -> None:
        """Read all that is there; raises the errors of gutfs."""
        await self._shelf.open()
        self._watch = self._fs.watch(self._shelf.path)
        try:
            await self._look_at(None)
        except BaseException:
            await self._watch.aclose()
            raise
        self._to_look = set()
        works: tuple[tuple[Callable[[], Coroutine[Any, Any, None]], str], ...] = (
            (self._watching, "watching"),
            (self._looking, "looking"),
            (self._writing, "writing"),
            (self._telling, "telling"),
            (self._keeping, "keeping"),
            (self._being_here, "being here"),
        )
        for work, name in works:
            self._tasks.start(work(), f"whiteboard {name}")

    async def close(self) -> None:
        """Write what is not written, as far as that succeeds soon, and end."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                self._adopt(float("inf"))
                await self._all_written()
                while self._untold:
                    self._tells.set()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            log.warning("%d operations on the board %s could not be written", len(self._unwritten), self.name)
        await self._watch.aclose()
        await self._tasks.close()
        for _, waiter in self._waiters:
            waiter.cancel()

    def enter(self, visitor: Visitor) -> None:
        """Somebody looks at it."""
        self._visitors.append(visitor)
        self.tell_who_is_here()

    def leave(self, visitor: Visitor) -> None:
        """Somebody does not any more."""
        self._visitors.remove(visitor)
        self.tell_who_is_here()

    @property
    def visitors(self) -> int:
        """How many pages of this node show it."""
        return len(self._visitors)

    def wall_time_s(self) -> float:
        """That of the node, which pages go by: the clock of a telephone may be years off."""
        return self._node.host.wall_time_s()

    def _changed(self) -> None:
        for visitor in tuple(self._visitors):
            visitor.board_changed()

    # ---- drawing

    def draw(self, operations: Sequence[Operation]) -> Drawn:
        """Put operations of a page on the board, tell the others, and write them down; again does no harm."""
        refused: dict[int, str] = {}
        now_s = self.wall_time_s()
        for place, operation in enumerate(operations):
            reason = refusal(operation, self.board, self._bounds, now_s)
            if len(self._unwritten) >= MOST_UNWRITTEN:
                reason = f"nothing can be saved: {self.trouble or 'the disk is too slow'}"
            if reason is not None:
                refused[place] = reason
            elif not self._shelf.has(operation.key):
                if self.board.apply(operation):
                    self._untold.append(operation)
                self._write(operation)
        self._tells.set()
        self._changed()
        return Drawn(refused, self._all_written())

    def _write(self, operation: Operation) -> None:
        if operation.key not in self._unwritten:
            self._unwritten[operation.key] = operation
            self._queued += 1
            self._writes.set()

    def _all_written(self) -> asyncio.Future[None]:
        """Done when all that was given to be written so far is on disk."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._written >= self._queued:
            waiter.set_result(None)
        else:
            self._waiters.append((self._queued, waiter))
        return waiter

    async def _writing(self) -> None:
        while True:
            await self._writes.wait()
            self._writes.clear()
            while self._unwritten:
                some = list(self._unwritten.values())[:OPERATIONS_AT_ONCE]
                try:
                    async with self._is_in_use:
                        await self._shelf.append(some)
                except GuthiError as error:
                    self._troubled(str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                self._troubled("")
                self._note_written(some)
                await asyncio.sleep(BETWEEN_APPENDS_S)

    def _note_written(self, operations: Sequence[Operation]) -> None:
        for each in operations:
            self._unwritten.pop(each.key, None)
            self._heard.pop(each.key, None)
        self._written += len(operations)
        while self._waiters and self._waiters[0][0] <= self._written:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    def _troubled(self, reason: str) -> None:
        if reason:
            self._log.warning("the board %s cannot be saved: %s", self.name, reason)
        if reason != self.trouble:
            self.trouble = reason
            self._changed()

    async def _telling(self) -> None:
        while True:
            await self._tells.wait()
            self._tells.clear()
            while self._untold:
                lines = [to_line(self._untold.popleft()) for _ in range(min(len(self._untold), OPERATIONS_AT_ONCE))]
                try:
                    await self._node.broadcast(DRAWN, [self.name, lines])
                except GuthiError as error:  # the log will tell it
                    self._log.warning("strokes on %s were not broadcast: %s", self.name, error)

    # ---- hearing

    def heard(self, operations: Iterable[Operation]) -> None:
        """Another node has broadcast operations."""
        deadline = self._loop.time() + ADOPT_S
        for operation in operations:
            if self._take(operation) and not self._shelf.has(operation.key) and len(self._heard) < MOST_HEARD:
                self._heard[operation.key] = (operation, deadline)
        self._changed()

    def _take(self, operation: Operation) -> bool:
        if self._bounds.has_room(self.board, operation, times=2):
            return self.board.apply(operation)
        self._log.warning("the board %s has more on it than this node takes; see [plugins.whiteboard]", self.name)
        return False

    async def _watching(self) -> None:
        async for change in self._watch:
            if isinstance(change, FileChange):
                if self._to_look is not None:
                    self._to_look |= {path.rpartition("/")[2] for path in (change.path, change.moved_from) if path}
            else:
                self._to_look = None
            self._looks.set()

    async def _looking(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._looks.wait()
            except TimeoutError:
                self._to_look = None
            self._looks.clear()
            names, self._to_look = self._to_look, set()
            try:
                await self._look_at(names)
            except GuthiError as error:
                self._log.warning("the logs of the board %s cannot be read: %s", self.name, error)
                self._to_look = None
                await asyncio.sleep(RETRY_S)
                self._looks.set()

    async def _look_at(self, names: set[str] | None) -> None:
        async with self._is_in_use:
            async for some in self._shelf.look(sorted(names) if names is not None else None):
                for operation in some:
                    self._take(operation)
                    if self._heard:
                        self._heard.pop(operation.key, None)
                self._changed()

    # ---- keeping

    async def _keeping(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            if self.people.expire(self._loop.time()):
                self._changed()
            self._adopt(self._loop.time())
            try:
                await self._shelf.sweep()
                async with self._is_in_use:
                    await self._shelf.compact(self.board, self.wall_time_s())
            except GuthiError as error:
                self._log.warning("the logs of the board %s cannot be compacted: %s", self.name, error)

    def _adopt(self, now: float) -> None:
        """Write down what was heard and is in no log."""
        for key, (operation, deadline) in list(self._heard.items()):
            if now < deadline:
                continue
            del self._heard[key]
            if not self._shelf.has(key):
                self._write(operation)

    # ---- people

    async def _being_here(self) -> None:
        while True:
            mine = [list(each.person) for each in self._visitors]
            try:
                await self._node.broadcast(HERE, [self.name, mine])
            except GuthiError as error:
                self._log.warning("nobody was told who looks at %s: %s", self.name, error)
            await asyncio.sleep(HERE_S)

    def tell_who_is_here(self) -> None:
        """Tell the other nodes and the pages at once."""
        self._changed()
        mine = [list(each.person) for each in self._visitors]
        self._tasks.start(self._tell_here(mine), "whiteboard here")

    async def _tell_here(self, mine: list[list[str]]) -> None:
        try:
            await self._node.broadcast(HERE, [self.name, mine])
        except GuthiError:
            pass  # it is told again soon

    def others_here(self, node: NodeId, people: Sequence[Person]) -> None:
        """Another node says who looks at it there; one that is new here is told in turn."""
        is_new = node not in self.people.nodes
        if self.people.told(node, people, self._loop.time()):
            if is_new:
                self.tell_who_is_here()
            self._changed()

    def node_gone(self, node: NodeId) -> None:
        """A node has failed or left."""
        if self.people.gone(node):
            self._changed()

    def everybody(self) -> list[tuple[Person, str]]:
        """All who look at the board, each with the name of the node."""
        here = [(each.person, self._node.name) for each in self._visitors]
        there = [(person, self._node.network.name_of(node)) for person, node in self.people.all()]
        return here + there

    def move_hand(self, visitor: Visitor, gesture: str) -> None:
        """A page tells of a hand: to the other pages here, and to nodes where somebody looks."""
        self.hand_moved(visitor.person.page, gesture)
        for node in self.people.nodes:
            try:
                self._node.send_datagram(node, HAND, [self.name, visitor.person.page, gesture])
            except GuthiError:
                continue  # it has just gone

    def hand_moved(self, page: str, gesture: str) -> None:
        """A hand has moved, here or on another node."""
        for each in tuple(self._visitors):
            if each.person.page != page:
                each.hand_moved(page, gesture)
