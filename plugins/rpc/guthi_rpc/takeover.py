"""How a node takes over what another remembers of calls with keys: by pages, and only those results that it lacks.

On `rpc.remembered` it sends `[its life, where to go on]` and is answered with `[whether the other is settled, the nodes
that are gone, calls, where to go on]`: those calls of whose keys the asker has a seat as the other sees it. Of a call
its function, key, home, life, stage, for how many seconds it is yet remembered, and its result: null where there is
none, true where it is long. Those are asked for by name on `rpc.results`, and come as far as they fit into a page. What
is noted while pages are read has a later number, and so is on a later page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from guthi import GuthiError, Incoming, MalformedMessage, NodeId, UnknownMember
from guthi_rpc.ballot import Home
from guthi_rpc.directory import LIFE_BYTES, Directory
from guthi_rpc.electors import MAX_GONE, Electors
from guthi_rpc.errors import Overloaded
from guthi_rpc.functions import MAX_NAME_CHARACTERS
from guthi_rpc.outcomes import Name, Outcomes, Stage
from guthi_rpc.questions import MAX_KEY_CHARACTERS
from guthi_rpc.standing import Standing

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Takeover", "read_name"]

REMEMBERED, RESULTS = "rpc.remembered", "rpc.results"
PAGE = 512  # calls that are looked at for one
PAGE_BYTES = 1 << 20
SHORT_BYTES = 256  # a result up to that is told at once, though the other may have it
TIMEOUT_S = 5.0
AT_A_TIME = 8
RETRY_S, AGAIN_S, MAX_RETRY_S = 0.1, 1.0, 30.0


class Remembered(NamedTuple):
    """One call, as it is told of; `result` is True where it is long, None where there is none."""

    name: Name
    home: Home
    stage: Stage
    for_s: float
    result: bytes | bool | None

    def to_wire(self) -> list[Any]:
        """The positional list that `from_wire` reads."""
        return [*self.name, *self.home, self.stage.value, self.for_s, self.result]

    @classmethod
    def from_wire(cls, wire: object) -> Remembered:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [function, key, bytes(node), bytes(life), str(stage), float() | int() as for_s, result] if (
                len(node) == NodeId.SIZE
                and len(life) == LIFE_BYTES
                and for_s >= 0
                and (result is None or result is True or isinstance(result, bytes))
            ):
                try:
                    return cls(read_name([function, key]), (NodeId(node), life), Stage(stage), for_s, result)
                except ValueError:
                    pass
        raise MalformedMessage("a call that is remembered has a name, a home, a stage, seconds, and a result or none")


class Takeover:
    """Both sides of it, of one node."""

    def __init__(
        self,
        node: Node,
        directory: Directory,
        electors: Electors,
        outcomes: Outcomes,
        standing: Standing,
        next_change: Callable[[], Awaitable[None]],
    ) -> None:
        self._node, self._directory, self._electors = node, directory, electors
        self._outcomes, self._standing, self._next_change = outcomes, standing, next_change
        self._turns = asyncio.Semaphore(AT_A_TIME)
        node.handle(REMEMBERED, self._tell)
        node.handle(RESULTS, self._tell_results)

    # ---- who takes over

    async def settle(self) -> None:
        """Take over from all others, as they come, until this node vouches for every key."""
        asking: dict[NodeId, asyncio.Task[None]] = {}
        while not self._standing.is_settled:
            asking = {peer: task for peer, task in asking.items() if not task.done()}
            for peer in self._standing.unheard():
                if peer not in asking:
                    asking[peer] = self._node.start(self._try(peer))
            await self._change()

    async def _try(self, peer: NodeId) -> None:
        """Until it is heard, or not there any more; where it is not settled it may be soon, and can then tell more."""
        pause_s = RETRY_S
        while peer in self._standing.unheard():
            try:
                await self.take_from(peer)
                if not self._standing.is_settled:
                    await asyncio.sleep(AGAIN_S)
            except Overloaded:  # there is no room here
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_RETRY_S)
            except GuthiError:  # it does not know this node yet, or does not answer
                await self._change()

    async def _change(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self._next_change()

    async def take_from(self, peer: NodeId) -> None:
        """Take over from one node. Raises what a request does, and Overloaded where there is no room."""
        async with self._turns:
            after: int | None = 0
            is_settled = False
            in_doubt: list[Remembered] = []
            while after is not None:
                answer = await self._ask(peer, REMEMBERED, [self._me()[1], after])
                is_settled, gone, calls, after = _read_page(answer)
                for node, life, for_s in gone:
                    self._electors.lost(node, life, for_s)
                await self._take_results(peer, self._take(calls))
                in_doubt += filter(self._asks_for, calls)
            await self._take_later(in_doubt)
        self._standing.heard(peer, is_settled=is_settled)

    def _me(self) -> Home:
        return self._node.id, self._directory.life(self._node.id)

    def _ask(self, peer: NodeId, topic: str, value: object) -> Awaitable[Any]:
        return self._node.request(peer, topic, value, timeout_s=TIMEOUT_S)

    def _take(self, calls: list[Remembered]) -> list[Remembered]:
        """Note what is news; those whose result has to be asked for are noted with it."""
        me = self._me()
        long: list[Remembered] = []
        for call in calls:
            if call.home == me or not self._is_news(call):  # a call of its own that others heard of it did not begin
                continue
            if call.result is True:
                long.append(call)
            else:
                self._note(call, call.result or None)
        return long

    def _asks_for(self, call: Remembered) -> bool:
        """Whether this node asks for a call itself, of which another has told that it may have begun elsewhere."""
        entry = self._outcomes.get(call.name)
        return entry is not None and entry.home == self._me() != call.home and entry.stage is Stage.ASKING

    async def _take_later(self, calls: list[Remembered]) -> None:
        """Where this node's own attempt ends undecided, it would else know nothing of the other's."""
        for call in calls:
            while self._asks_for(call):
                await asyncio.sleep(RETRY_S)
            self._take([call])

    def _is_news(self, call: Remembered) -> bool:
        entry = self._outcomes.get(call.name)
        if entry is None:
            return True
        if entry.stage is Stage.DONE:
            return entry.outcome is None and call.result is not None
        return call.stage is Stage.DONE

    def _note(self, call: Remembered, outcome: bytes | None) -> None:
        if self._outcomes.is_full and self._outcomes.get(call.name) is None:
            raise Overloaded("this node remembers as many calls with a key as it can")
        self._outcomes.note(call.name, call.home, call.stage, outcome, call.for_s)

    async def _take_results(self, peer: NodeId, calls: list[Remembered]) -> None:
        while calls:
            results = await self._ask(peer, RESULTS, [list(call.name) for call in calls])
            if not isinstance(results, list) or not 0 < len(results) <= len(calls):
                raise MalformedMessage("results are a list, of one at least")
            for call, outcome in zip(calls, results, strict=False):
                if not isinstance(outcome, bytes | None):
                    raise MalformedMessage("a result is bytes, or null where it is not known any more")
                self._note(call, outcome)
            calls = calls[len(results) :]

    # ---- who is taken over from

    def _tell(self, incoming: Incoming) -> list[Any]:
        match incoming.value:
            case [bytes(life), int(after)] if len(life) == LIFE_BYTES:
                pass
            case _:
                raise MalformedMessage("who wants to know what is remembered says its life, and where to go on")
        if not self._electors.is_there((incoming.peer, life)):  # a seat is seen as its from now on
            raise UnknownMember("you are not known here yet, or no longer; ask again when you are")
        gone = [list(each) for each in self._electors.gone()] if not after else []
        page = list(islice(self._outcomes.later_than(after), PAGE))
        calls = [Remembered(name, each.home, each.stage, left_s, _told(each.outcome)) for name, each, left_s in page]
        seats = self._electors.seats(incoming.peer, [call.name[1] for call in calls])
        told = [call.to_wire() for call, has_seat in zip(calls, seats, strict=True) if has_seat]
        return [self._standing.is_settled, gone, told, page[-1][1].number if len(page) == PAGE else None]

    def _tell_results(self, incoming: Incoming) -> list[bytes | None]:
        if not isinstance(incoming.value, list) or not 0 < len(incoming.value) <= PAGE:
            raise MalformedMessage("results are asked for by a list of functions and keys")
        results: list[bytes | None] = []
        size_bytes = 0
        for wire in incoming.value:
            entry = self._outcomes.get(read_name(wire))
            results.append(entry.outcome if entry is not None else None)
            size_bytes += len(results[-1] or b"")
            if size_bytes >= PAGE_BYTES:
                break
        return results


def _told(outcome: bytes | None) -> bytes | bool | None:
    return outcome if outcome is None or len(outcome) <= SHORT_BYTES else True


def read_name(wire: object) -> Name:
    """A function and a key; raises MalformedMessage."""
    match wire:
        case [str(function), str(key)] if len(function) <= MAX_NAME_CHARACTERS and len(key) <= MAX_KEY_CHARACTERS:
            return function, key
    raise MalformedMessage("a call with a key is named by a function and a key")


def _read_page(wire: object) -> tuple[bool, list[tuple[NodeId, bytes, float]], list[Remembered], int | None]:
    match wire:
        case [bool(is_settled), list(gone), list(calls), int() | None as after] if (
            len(gone) <= MAX_GONE and len(calls) <= PAGE
        ):
            return (
                is_settled,
                [_read_gone(each) for each in gone],
                [Remembered.from_wire(each) for each in calls],
                after,
            )
    raise MalformedMessage("what is remembered is told as a truth value, the nodes that are gone, calls, and a number")


def _read_gone(wire: object) -> tuple[NodeId, bytes, float]:
    match wire:
        case [bytes(node), bytes(life), float() | int() as for_s] if (
            len(node) == NodeId.SIZE and len(life) in (0, LIFE_BYTES) and for_s >= 0
        ):
            return NodeId(node), life, for_s
    raise MalformedMessage("who is gone is told as a node, its life, and for how many seconds it keeps its seat")
