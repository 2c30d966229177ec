"""The parts of rpc on one node, how they are connected, and what they hear of the members' comings and goings."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from guthi import Member, NodeId, Role
from guthi_rpc.announcing import Announcer, has_rpc
from guthi_rpc.asking import CALL, Asking
from guthi_rpc.attendance import Attendance
from guthi_rpc.ballot import Home
from guthi_rpc.batches import BATCH
from guthi_rpc.calling import Calling
from guthi_rpc.calls import CAST, Calls
from guthi_rpc.checkpoints import Checkpoints
from guthi_rpc.context import CallId
from guthi_rpc.directory import Directory
from guthi_rpc.dispatch import Dispatch, in_order_of
from guthi_rpc.electors import Electors
from guthi_rpc.errors import TRAVELLING
from guthi_rpc.execution import Execution
from guthi_rpc.finding import Finder
from guthi_rpc.functions import Function
from guthi_rpc.guests import Guests
from guthi_rpc.handover import Handover
from guthi_rpc.mapper import Mapper
from guthi_rpc.once import Once
from guthi_rpc.options import DEFAULT
from guthi_rpc.outcomes import Outcomes
from guthi_rpc.roll import Roll
from guthi_rpc.serving import Serving
from guthi_rpc.standing import Standing
from guthi_rpc.streaming import STREAM, Streaming
from guthi_rpc.takeover import Takeover

if TYPE_CHECKING:
    from guthi import Node
    from guthi_rpc.settings import RpcConfig
    from guthi_rpc.tracing import Tracing

__all__ = ["Parts"]

LEAVING_S = 2.0


class Parts:
    """Those of one node; `Rpc` is what an app sees of them."""

    def __init__(self, node: Node, config: RpcConfig) -> None:
        workers = config.threads or os.cpu_count() or 1
        processes = config.processes or os.cpu_count() or 1
        self.node, self.loop = node, asyncio.get_running_loop()
        clock = self.loop.time
        self._change = asyncio.Event()
        self.execution = Execution(node.host, node.name, workers, processes, config.queue)
        self.directory = Directory(self.notice, self._lost)
        self._electors = Electors(node.id, self.directory, self.peers, clock, config.retention)
        is_client = node.me.role is Role.CLIENT
        roll = Roll(None if is_client else node.config.node.data_dir, node.id)
        self._attendance = Attendance(roll, self._electors, self._others, config.retention)
        self.dispatch = Dispatch(
            node.me, self.directory, node.network.membership.get, lambda: self.execution.running, clock
        )
        self.announcer = Announcer(node, self.directory, workers)
        self.finder = Finder(node, self.directory, self.announcer, self.next_change)
        asking = self._asking = Asking(node, self.dispatch)
        self.checkpoints = Checkpoints(node, self._keepers, config.checkpoint_interval)
        calling = Calling(asking, self.dispatch, self.finder, self.checkpoints, node.id)
        outcomes = self._outcomes = Outcomes(
            clock, lambda home: home == self._life(), config.retention, config.max_keys, config.max_key_results
        )
        standing = self._standing = Standing(
            self._electors,
            self._others,
            clock,
            config.retention,
            lambda: node.network.has_met_nobody,
            is_new=roll.is_new,
        )
        takeover = self._takeover = Takeover(node, self.directory, self._electors, outcomes, standing, self.next_change)
        self._handover = Handover(node, self.directory, self._electors, outcomes, standing, takeover)
        once = Once(node, self._electors, standing, outcomes, self._life, lambda n, q: asking.ask(n, q, None))
        self._guests = Guests(node.id, lambda: once.is_busy)
        self._serving = Serving(self.execution, once, self.checkpoints, node.codec, self._guests)
        self.calls = Calls(node, calling, asking, self.dispatch, self.finder, DEFAULT)
        self.mapper = Mapper(node, self.directory, self.dispatch, self.finder, asking, calling, self.next_change)
        self._serve()

    def _serve(self) -> None:
        node, serving = self.node, self._serving
        for error in TRAVELLING:
            node.codec.register(error, f"rpc.{error.__name__}")
        node.handle(CALL, serving.called)
        node.handle(CAST, serving.cast)
        node.handle(BATCH, serving.batch)
        self._streaming = Streaming(node, self.functions.get, self.execution, self.checkpoints, self._guests)
        node.handle_stream(STREAM, self._streaming.serve)

    @property
    def functions(self) -> dict[str, Function]:
        """This node's own."""
        return self._serving.functions

    def trace(self, tracing: Tracing) -> None:
        """Follow calls, those of this node and those that it serves."""
        self._asking.tracing = self._streaming.tracing = tracing
        self._serving.trace(tracing)

    def begin(self) -> None:
        """The node has joined: learn what the others remember."""
        if self.node.me.role is not Role.CLIENT:
            self._standing.begin()
            self.node.start(self._takeover.settle())

    async def drain(self) -> None:
        """Take no calls from others any more, finish those that run, and hand over what is remembered of them."""
        self.announcer.withdraw()
        await self._guests.gone()
        if self._standing.has_begun:
            await self._handover.leave(self._others())

    async def leave(self) -> None:
        """Hand over what is remembered, as far as that has not been done and goes quickly."""
        if self._standing.has_begun:
            await self._handover.leave(self._others(), LEAVING_S)

    def close(self) -> None:
        """Serve nothing more."""
        self._attendance.close()
        self.execution.close()
        self.checkpoints.close()

    def peers(self) -> list[NodeId]:
        """The nodes that rpc runs on, this one included, but not clients, which come and go."""
        members = [each for each in self.node.members if each.is_present and each.role is not Role.CLIENT]
        return [self.node.id, *(each.id for each in members if has_rpc(each))]

    def _others(self) -> list[NodeId]:
        return sorted(node for node in self.peers() if node != self.node.id)

    def _keepers(self, function: str, call: CallId) -> list[NodeId]:
        """Two nodes beside the caller, providers of the function as far as there are any: they may have to go on."""
        place = f"{call[0].hex()}/{call[1]}"
        found = [node for node in self.dispatch.ranked(function, place) if node != call[0]][:2]
        if len(found) < 2:
            found += [node for node in in_order_of(place, self.peers()) if node not in (call[0], *found)]
        return found[:2]

    def _life(self) -> Home:
        return self.node.id, self.directory.life(self.node.id)

    # ---- comings and goings

    def introduce(self, member: Member) -> None:
        """Tell a member that is there, or there again, what this node has."""
        self._electors.came(member.id)
        self.announcer.introduce(member)
        self._attendance.changed(member.id)

    def suspect(self, member: Member) -> None:
        """A member does not answer."""
        self._attendance.silent(member.id)

    def forget(self, member: Member) -> None:
        """A member left or failed."""
        if has_rpc(member):
            self._lost(member.id, self.directory.life(member.id))
        self.directory.forget(member.id)
        self._attendance.changed(member.id)

    def _lost(self, node: NodeId, life: bytes) -> None:
        member = self.node.network.membership.get(node)
        if member is None or member.role is not Role.CLIENT:
            self._electors.lost(node, life)

    def notice(self) -> None:
        """The providers or the members have changed: who waits for a provider looks again."""
        self.dispatch.changed()
        self._change.set()
        self._change = asyncio.Event()

    async def next_change(self) -> None:
        """Wait until `notice` is called."""
        await self._change.wait()
