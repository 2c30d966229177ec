"""Decides which provider a call goes to: an idle one, this node first, then one in its zone; else the least loaded.

Load is what this node has outstanding with a provider, by the number of its workers. Among equals each node has an
order of its own, by the distance of the ids (their exclusive or, as in Kademlia): the choice can be repeated, and yet
many callers who know nothing of one another spread over all providers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from guthi.api import NodeId
from guthi.membership.members import Member, MemberState
from guthi_rpc.directory import Directory

__all__ = ["Dispatch"]


class Dispatch:
    """The choices of one node.

    `member` looks a member up; `running` says how many calls this node itself is running, for whomever.
    """

    def __init__(
        self,
        me: Member,
        directory: Directory,
        member: Callable[[NodeId], Member | None],
        running: Callable[[], int],
    ) -> None:
        self._id, self._zone = me.id, me.zone
        self._directory, self._member, self._running = directory, member, running
        self._outstanding: Counter[NodeId] = Counter()
        self._usable: dict[str, list[NodeId]] = {}  # what `usable` found, until something changes

    def choose(self, name: str) -> NodeId | None:
        """The provider to ask; where all are suspected, one of these has to try. None if there is none."""
        least: tuple[float, NodeId] | None = None
        for node in self.usable(name) or self._directory.providers(name):
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

    def changed(self) -> None:
        """The providers or the members are not what they were."""
        self._usable.clear()

    def began(self, node: NodeId) -> None:
        """A call went to the node."""
        self._outstanding[node] += 1

    def ended(self, node: NodeId) -> None:
        """A call to the node is over, whichever way."""
        self._outstanding[node] -= 1
        if not self._outstanding[node]:
            del self._outstanding[node]

    @property
    def outstanding(self) -> int:
        """How many calls are not over."""
        return self._outstanding.total()

    def _load(self, node: NodeId) -> float:
        load = self._outstanding.get(node, 0)
        if node == self._id:
            load = max(load, self._running())
        return load / self._directory.workers(node) if load else 0.0

    def _is_alive(self, node: NodeId) -> bool:
        member = self._member(node)
        return member is not None and member.state is MemberState.ALIVE

    def _distance(self, node: NodeId) -> tuple[bool, int]:
        """Zero for this node itself, so that it comes first."""
        member = self._member(node)
        far = member is None or member.zone != self._zone
        return far, int.from_bytes(node) ^ int.from_bytes(self._id)
