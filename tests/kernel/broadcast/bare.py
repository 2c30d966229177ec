"""A bare seeded world of broadcast machines: links that lose, double and reorder, nodes that crash, return and are cut.

Nothing repairs what the links do, as sessions would: the machines must stand it alone.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from random import Random

from guthi.api import Address, NodeId
from guthi.broadcast.messages import Message, MessageId, Payload, decode, encode
from guthi.broadcast.plumtree import Deliver, Effect, Plumtree, Send
from guthi.broadcast.settings import BroadcastSettings
from guthi.membership.members import Member, MemberState, Role, changes

__all__ = ["BareNode", "BareWorld", "a_member", "an_id"]


def an_id(number: int) -> NodeId:
    """Ids as spread as real ones, which are hashes."""
    return NodeId(blake2b(b"node %d" % number, digest_size=NodeId.SIZE).digest())


def a_member(id: NodeId, state: MemberState = MemberState.ALIVE, incarnation: int = 0) -> Member:
    return Member(id, str(id), (Address("10.0.0.1", 1),), "", Role.PEER, incarnation, state, bytes(32), 1, ())


@dataclass(slots=True)
class BareNode:
    """One life of one node: its machine, whom it sees, and what it was told."""

    id: NodeId
    life: int
    machine: Plumtree
    sees: dict[NodeId, Member]
    told: list[Payload]
    wakes_at: float = 0.0

    @property
    def told_ids(self) -> Counter[MessageId]:
        return Counter(payload.id for payload in self.told)


class BareWorld:
    """`size` nodes that see one another; `loss`, `duplicate`: chances; delays are drawn up to `delay_s`."""

    def __init__(
        self,
        seed: int,
        size: int,
        settings: BroadcastSettings | None = None,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        delay_s: float = 0.02,
    ) -> None:
        self.random = Random(seed)
        self.settings = settings or BroadcastSettings(direct_limit=0)
        self.loss, self.duplicate, self.delay_s = loss, duplicate, delay_s
        self.now = 100.0
        self.nodes: dict[NodeId, BareNode] = {}
        self.sent: Counter[str] = Counter()
        self.payload_copies: Counter[NodeId] = Counter()
        self.side: dict[NodeId, int] = defaultdict(int)  # nodes of different sides do not hear one another
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._tickets = count()
        self._lives = count(1)
        ids = [an_id(number) for number in range(size)]
        for id in ids:
            self.start(id, [other for other in ids if other != id])

    def start(self, id: NodeId, seen: Iterable[NodeId]) -> BareNode:
        """Begin a life of a node, which sees those members."""
        sees = {other: a_member(other) for other in seen}
        life = next(self._lives)

        def present() -> list[Member]:
            return [sees[each] for each in sorted(sees) if sees[each].is_present]

        machine = Plumtree(id, life, present, self.settings, Random(life))
        self.nodes[id] = BareNode(id, life, machine, sees, [])
        return self.nodes[id]

    def connect(self, id: NodeId) -> None:
        """Let all others have opened a session with the node, as they do when it has restarted."""
        for other in self.nodes.values():
            if other.id != id:
                other.machine.connected(id, self.now)
                self._perform(other, [])

    def crash(self, id: NodeId) -> None:
        """End its life without a word."""
        del self.nodes[id]

    # ---- what the nodes are told of one another

    def see(self, observer: NodeId, member: Member) -> None:
        """Let one node's membership learn this record."""
        node = self.nodes.get(observer)
        if node is None or observer == member.id:
            return
        old = node.sees.get(member.id)
        node.sees[member.id] = member
        for event in changes(old, member):
            node.machine.member_changed(event, self.now)
        self._perform(node, [])

    def see_later(self, observer: NodeId, member: Member, within_s: float) -> None:
        """The same at a moment that is drawn."""
        self.after(self.random.uniform(0, within_s), lambda: self.see(observer, member))

    def spread(self, member: Member, within_s: float = 0.0) -> None:
        """Let all learn it, each at a moment of its own."""
        for id in list(self.nodes):
            self.see_later(id, member, within_s)

    # ---- deeds

    def broadcast(self, id: NodeId, body: bytes = b"x") -> MessageId:
        node = self.nodes[id]
        effects = node.machine.broadcast("topic", body, self.now)
        self._perform(node, effects)
        return MessageId(id, node.life, node.machine._sequence)

    def after(self, delay_s: float, deed: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay_s, next(self._tickets), deed))

    def _perform(self, node: BareNode, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Deliver(payload):
                    node.told.append(payload)
                case Send(peer, message):
                    self._send(node.id, peer, message)
        deadline = node.machine.deadline
        if deadline is not None and not self.now < node.wakes_at <= deadline:
            node.wakes_at = max(deadline, self.now)
            self.after(node.wakes_at - self.now, lambda: self._wake(node))

    def _wake(self, node: BareNode) -> None:
        if self.nodes.get(node.id) is not node or node.wakes_at > self.now:
            return  # it is dead, or has been called since
        node.wakes_at = 0.0
        due = node.machine.deadline is not None and node.machine.deadline <= self.now
        self._perform(node, node.machine.on_deadline(self.now) if due else [])

    def _send(self, source: NodeId, to: NodeId, message: Message) -> None:
        assert source != to
        self.sent[type(message).__name__] += 1
        copies = (self.random.random() >= self.loss) + (self.random.random() < self.duplicate)
        for _ in range(copies if self.side[source] == self.side[to] else 0):
            self.after(self.random.uniform(0, self.delay_s), lambda: self._arrive(source, to, message))

    def _arrive(self, source: NodeId, to: NodeId, message: Message) -> None:
        node = self.nodes.get(to)
        if node is None or self.side[source] != self.side[to]:
            return
        message = decode(encode(message))
        if isinstance(message, Payload):
            self.payload_copies[to] += 1
        self._perform(node, node.machine.receive(source, message, self.now))

    # ---- time

    def run(self, seconds: float) -> None:
        """Let the world go on."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            moment, _, deed = heapq.heappop(self._queue)
            self.now = max(self.now, moment)
            deed()
        self.now = until

    # ---- what must hold

    def check(self, ids: Iterable[MessageId]) -> None:
        """All nodes that live have been told each of these once, and nobody anything twice."""
        for node in self.nodes.values():
            told = node.told_ids
            assert not [id for id, times in told.items() if times > 1], "told twice"
            assert not [id for id in told if id.origin == node.id], "told of its own"
            missed = [id for id in ids if id.origin != node.id and id not in told]
            assert not missed, f"{node.id} misses {missed}"

    def suspected(self, id: NodeId, incarnation: int = 0) -> Member:
        """The record of a member that is suspected."""
        return replace(a_member(id), state=MemberState.SUSPECT, incarnation=incarnation)
