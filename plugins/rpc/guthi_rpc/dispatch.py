"""Decides which provider a call goes to: an idle one, this node first, then one in its zone; else the least loaded.

Load is what this node has outstanding with a provider, and what the provider had in hand for others when it last
answered, by the number of its workers. Among equals each node has an order of its own, by the distance of the ids
(their exclusive or, as in Kademlia): the choice can be repeated, and yet many callers who know nothing of one another
spread over all providers.

Calls that belong together go by rendezvous hashing (Thaler and Ravishankar 1998): every caller ranks the providers in
the same way, and when one comes or goes only the calls move that were, or now are, its own.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from hashlib import blake2b

from guthi.api import NodeId
from guthi.membership.members import Member, MemberState
from guthi_rpc.directory import Directory

__all__ = ["Dispatch", "in_order_of"]

REPORT_LIFE_S = 1.0  # what a provider had in hand for others that long ago says nothing of now


class Dispatch:
    """The choices of one node.

    `member` looks a member up; `running` says how many calls this node itself is running, for whomever; `clock` gives
    loop time.
    """

    def __init__(
        self,
        me: Member,
        directory: Directory,
        member: Callable[[NodeId], Member | None],
        running: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._id, self._zone = me.id, me.zone
        self._directory, self._member, self._running, self._clock = directory, member, running, clock
        self._outstanding: dict[NodeId, int] = {}
        self._others: dict[NodeId, tuple[int, float]] = {}  # calls that a node had for others, and when it said so
        self._usable: dict[str, list[NodeId]] = {}  # what `usable` found, until something changes

    def choose(self, name: str, refused: Container[NodeId] = ()) -> NodeId | None:
        """The provider to ask; where all are suspected, one of these has to try. None if there is none.

        `refused` are not asked, unless there are no others.
        """
        least: tuple[float, NodeId] | None = None
        candidates = self.usable(name) or self._directory.providers(name)
        if len(candidates) == 1:
            return candidates[0]
        if refused:
            candidates = [node for node in candidates if node not in refused] or candidates
        for node in candidates:
            load = self._load(node)
            if not load:
                return node
            if least is None or load < least[0]:
                least = load, node
        return least[1] if least is not None else None

    def usable(self, name: str) -> list[NodeId]:
        """The providers that answer, as far as is known; those that are preferred first."""
        found = self._usable.get(name)
        if found is None:
            providers = self._directory.providers(name)
            found = self._usable[name] = sorted(filter(self._is_alive, providers), key=self._distance)
        return found

    def everybody(self, name: str) -> list[NodeId]:
        """The providers, those that are suspected included, sorted."""
        return self._directory.providers(name)

    def ranked(self, name: str, place: str) -> list[NodeId]:
        """The providers in the order that belongs to `place`, which is the same at every caller."""
        return in_order_of(place, self.usable(name) or self._directory.providers(name))

    def changed(self) -> None:
        """The providers or the members are not what they were."""
        self._usable.clear()
        for node in [node for node in self._others if self._member(node) is None]:
            del self._others[node]

    def began(self, node: NodeId) -> None:
        """A call went to the node."""
        self._outstanding[node] = self._outstanding.get(node, 0) + 1

    def ended(self, node: NodeId) -> None:
        """A call to the node is over, whichever way."""
        left = self._outstanding[node] - 1
        if left:
            self._outstanding[node] = left
        else:
            del self._outstanding[node]

    def reported(self, node: NodeId, running: int) -> None:
        """A node said how many calls it has in hand, the one that it just answered not counted."""
        others = running - self._outstanding.get(node, 0)
        if others > 0:
            self._others[node] = others, self._clock()
        elif self._others:
            self._others.pop(node, None)

    @property
    def outstanding(self) -> int:
        """How many calls are not over."""
        return sum(self._outstanding.values())

    def _load(self, node: NodeId) -> float:
        load = self._outstanding.get(node, 0)
        if node == self._id:
            load = max(load, self._running())
        elif (report := self._others.get(node)) is not None:
            others, at = report
            load += others if self._clock() - at < REPORT_LIFE_S else 0
        return load / self._directory.workers(node) if load else 0.0

    def _is_alive(self, node: NodeId) -> bool:
        member = self._member(node)
        return member is not None and member.state is MemberState.ALIVE

    def _distance(self, node: NodeId) -> tuple[bool, int]:
        """Zero for this node itself, so that it comes first."""
        member = self._member(node)
        far = member is None or member.zone != self._zone
        return far, int.from_bytes(node) ^ int.from_bytes(self._id)


def in_order_of(place: str, nodes: Iterable[NodeId]) -> list[NodeId]:
    """The nodes in an order that depends on the place alone."""
    key = blake2b(place.encode()).digest()
    return sorted(nodes, key=lambda node: blake2b(node, key=key).digest())
