"""How the nodes tell one another what they have: each tells each, and asks back where it has heard nothing yet.

On `rpc.announce` a node sends `[its announcement, whether it wants the receiver's]` and is answered with the
receiver's announcement or null. It asks back because forgetting is one-sided: A may count B as failed and forget its
functions while B never noticed. It repeats until it is heard, for B may be up before its rpc plugin is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from guthi import (
    DeadlineExceeded,
    GuthiError,
    Incoming,
    MalformedMessage,
    Member,
    MemberState,
    NodeClosed,
    NodeId,
    PeerLost,
    UnknownMember,
    UnknownTopic,
)
from guthi_rpc.directory import LIFE_BYTES, Announcement, Directory
from guthi_rpc.functions import Description

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["TOPIC", "Announcer", "has_rpc"]

TOPIC = "rpc.announce"
TIMEOUT_S = 10.0
RETRY_S = 1.0
PASSING = (PeerLost, DeadlineExceeded, UnknownTopic, UnknownMember, NodeClosed)
"""What a node says, or not, that is just starting; the last when either is about to end."""

log = logging.getLogger("guthi_rpc.announcing")


class Announcer:
    """Keeps the directories of the peers, and this node's own, up to date with what this node has."""

    def __init__(self, node: Node, directory: Directory, workers: int) -> None:
        self._node, self._directory = node, directory
        self._mine = Announcement(node.host.entropy(LIFE_BYTES), 0, workers, ())
        self._is_due = self._is_withdrawn = False
        node.handle(TOPIC, self._heard)
        directory.announced(node.id, self._mine)
        self._tell_all_soon()

    def registered(self, function: Description) -> None:
        """This node has one function more."""
        self._directory.gained(self._node.id, function)
        self._tell_all_soon()

    def unregistered(self, name: str) -> None:
        """This node has one function less."""
        self._directory.lost(self._node.id, name)
        self._tell_all_soon()

    def withdraw(self) -> None:
        """Tell all others that this node has nothing any more, whatever it has: it is about to leave."""
        self._is_withdrawn = True
        self._tell_all_soon()

    def _tell_all_soon(self) -> None:
        """At the end of this turn, so that many changes make one announcement."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._tell_all)

    def _tell_all(self) -> None:
        self._is_due = False
        old = self._mine
        functions = () if self._is_withdrawn else self._directory.functions(self._node.id)
        self._mine = Announcement(old.life, old.revision + 1, old.workers, functions)
        for peer in self.peers():
            self._node.start(self._tell(peer, self._mine))

    def introduce(self, member: Member) -> None:
        """Tell one member what this node has."""
        if has_rpc(member):
            self._node.start(self._tell(member.id, self._mine))

    def peers(self) -> list[NodeId]:
        """The other members that take part in the store and answer, sorted."""
        return [each.id for each in self._node.members if each.state is MemberState.ALIVE and has_rpc(each)]

    async def _tell(self, peer: NodeId, announcement: Announcement) -> None:
        """Tell until it is heard; a newer announcement or the member's end makes this one needless."""
        complaint = ""
        while announcement is self._mine and self._is_present(peer):
            wants = not self._directory.knows(peer)
            try:
                answer = await self._node.request(peer, TOPIC, [announcement.to_wire(), wants], timeout_s=TIMEOUT_S)
                if answer is not None and self._is_present(peer):
                    self._directory.announced(peer, Announcement.from_wire(answer))
                return
            except GuthiError as error:
                if not isinstance(error, PASSING) and str(error) != complaint:
                    complaint = str(error)
                    log.warning("%s does not learn what this node has: %s", self._node.network.name_of(peer), complaint)
                await asyncio.sleep(RETRY_S)

    def _heard(self, incoming: Incoming) -> list[Any] | None:
        match incoming.value:
            case [list(wire), bool(wants)]:
                announcement = Announcement.from_wire(wire)
            case _:
                raise MalformedMessage("what a node has is told as an announcement and whether it wants ours")
        if not self._is_present(incoming.peer):  # nobody would ever take out again what it has
            raise UnknownMember("you are not, or no longer, a member; ask again when you are")
        self._directory.announced(incoming.peer, announcement)
        return self._mine.to_wire() if wants else None

    def _is_present(self, peer: NodeId) -> bool:
        member = self._node.network.membership.get(peer)
        return member is not None and member.is_present


def has_rpc(member: Member) -> bool:
    """Whether the node takes part in the store."""
    return any(name == "rpc" for name, _ in member.plugins)
