"""The service `LOGS`: the last lines of this node, of another, of all; and each line as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from guthi import GuthiError, Incoming, MalformedMessage, Member, Node, NodeId, Role, Service, Stream
from guthi_logs.book import Book, Follower
from guthi_logs.errors import TooManyFollowers
from guthi_logs.lines import Line, Told, Wish, line_from_wire, line_to_wire

__all__ = ["LOGS", "Logs", "keeps_logs"]

READ, FOLLOW = "logs.read", "logs.follow"
MOST_FOLLOWERS = 32
MOST_LINES = 1000
MOST_MERGED = 5000
ASKED_AT_ONCE = 16
TIMEOUT_S = 5.0
RETRY_S = 2.0

log = logging.getLogger("guthi_logs")


def keeps_logs(member: Member) -> bool:
    """Whether a member can be read: it is a peer that runs the plugin."""
    return member.role is Role.PEER and any(name == "logs" for name, _ in member.plugins)


class Logs:
    """One instance a node, got by `node.require(LOGS)`.

    Where a method takes them: `level` is "debug", "info", "warning" or "error", and lines below it are left out;
    `contains` is a text that a line or its source has, in whatever case; `node` is a name, an id or a Member, and
    without it all nodes are meant that run the plugin.
    """

    def __init__(self, node: Node, length: int) -> None:
        self._node = node
        self.book = Book(length)
        node.codec.register(TooManyFollowers, "logs.TooManyFollowers")
        node.handle(READ, self._read)
        node.handle_stream(FOLLOW, self._followed)

    def mine(self, *, level: str = "info", contains: str = "", limit: int = 200) -> list[Line]:
        """The last lines of this node, oldest first."""
        return self.book.last(Wish.of(level, contains), limit)

    async def last(
        self, node: Member | NodeId | str | None = None, *, level: str = "info", contains: str = "", limit: int = 200
    ) -> list[Told]:
        """The last lines, at most `limit` of each node, in the order of their wall clocks.

        Of one node it raises UnknownMember, PeerLost, DeadlineExceeded, UnknownTopic; of all, those that do not answer
        are left out.
        """
        wish = Wish.of(level, contains)
        if node is not None:
            return await self._last_of(self._member(node), wish, limit)
        turns = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(member: Member) -> list[Told]:
            async with turns:
                try:
                    return await self._last_of(member, wish, limit)
                except GuthiError as error:
                    log.debug("%s did not tell its log: %s", member.name, error)
                    return []

        found = await asyncio.gather(*(ask(member) for member in self._everybody()))
        return sorted((told for some in found for told in some), key=lambda told: (told.line.at_s, told.node))

    async def follow(
        self, node: Member | NodeId | str | None = None, *, level: str = "info", contains: str = "", last: int = 0
    ) -> AsyncGenerator[Told, None]:
        """The last lines, at most `last` of each node, and then each as it comes; those of later members included.

        Lines of one node come in order, and none between the last and the next is left out. Who reads slowly misses
        the oldest of those that wait: `missed` says how many. Of one node it raises what `last` raises, and
        TooManyFollowers.
        """
        wish = Wish.of(level, contains)
        if node is not None:
            async for told in self._follow_one(self._member(node), wish, last):
                yield told
            return
        merged: asyncio.Queue[Told] = asyncio.Queue(MOST_MERGED)
        gathering = self._node.start(self._follow_all(wish, last, merged), "logs of all")
        try:
            while True:
                yield await merged.get()
        finally:
            gathering.cancel()
            await asyncio.gather(gathering, return_exceptions=True)

    # ---- asking others

    def _member(self, node: Member | NodeId | str) -> Member:
        return node if isinstance(node, Member) else self._node.member(node)

    def _everybody(self) -> Sequence[Member]:
        return [each for each in [self._node.me, *self._node.members] if keeps_logs(each)]

    async def _last_of(self, member: Member, wish: Wish, limit: int) -> list[Told]:
        answer = await self._node.request(member, READ, [*wish, min(limit, MOST_LINES)], timeout_s=TIMEOUT_S)
        if not isinstance(answer, list) or len(answer) > MOST_LINES:
            raise MalformedMessage("the lines of a log are a list")
        return [Told(member.name, line_from_wire(each)) for each in answer]

    async def _follow_one(self, member: Member, wish: Wish, last: int) -> AsyncGenerator[Told, None]:
        async with self._node.open_stream(member, FOLLOW, [*wish, min(last, MOST_LINES)]) as stream:
            async for value in stream:
                match value:
                    case [int(missed), list(lines)]:
                        for each in lines:
                            yield Told(member.name, line_from_wire(each), missed)
                            missed = 0
                    case _:
                        raise MalformedMessage("what follows a log is a number and lines")

    async def _follow_all(self, wish: Wish, last: int, merged: asyncio.Queue[Told]) -> None:
        """Follow whoever is there; look again now and then, for some come and some are lost."""
        following: dict[NodeId, asyncio.Task[None]] = {}
        try:
            while True:
                for member in self._everybody():
                    is_new, task = member.id not in following, following.get(member.id)
                    if task is None or task.done():
                        work = self._gather(member, wish, last if is_new else 0, merged)
                        following[member.id] = asyncio.create_task(work)
                await asyncio.sleep(RETRY_S)
        finally:
            for task in following.values():
                task.cancel()
            await asyncio.gather(*following.values(), return_exceptions=True)

    async def _gather(self, member: Member, wish: Wish, last: int, merged: asyncio.Queue[Told]) -> None:
        with suppress(GuthiError):  # it is tried again as long as it is a member
            async for told in self._follow_one(member, wish, last):
                await merged.put(told)

    # ---- answering

    def _read(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [level, contains, int(limit)] if 0 <= limit <= MOST_LINES:
                return [line_to_wire(line) for line in self.book.last(Wish.from_wire(level, contains), limit)]
        raise MalformedMessage("a question for lines is a level, a text and a number")

    async def _followed(self, incoming: Incoming, stream: Stream) -> None:
        match incoming.value:
            case [level, contains, int(last)] if 0 <= last <= MOST_LINES:
                wish = Wish.from_wire(level, contains)
            case _:
                raise MalformedMessage("who follows says a level, a text and a number")
        with self._follower(wish) as follower:
            before = self.book.last(wish, last)  # in the turn in which following begins
            if before:
                await stream.send([0, [line_to_wire(line) for line in before]])
            while True:
                missed, lines = await follower.take()
                await stream.send([missed, [line_to_wire(line) for line in lines]])

    @contextmanager
    def _follower(self, wish: Wish) -> Iterator[Follower]:
        if len(self.book.followers) >= MOST_FOLLOWERS:
            raise TooManyFollowers(f"{MOST_FOLLOWERS} follow the log of {self._node.name} already; try again later")
        follower = Follower(wish)
        self.book.followers.append(follower)
        try:
            yield follower
        finally:
            self.book.followers.remove(follower)


LOGS: Service[Logs] = Service("logs")
"""What the plugin logs provides: `node.require(LOGS)`."""
