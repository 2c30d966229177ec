"""Which member lives at an address, so that a datagram of a session that nobody knows can be told from a stranger's."""

from __future__ import annotations

from guthi.api import Address, NodeId
from guthi.membership.members import MemberEvent

__all__ = ["Whereabouts"]


class Whereabouts:
    """The addresses of all members that are present; of one that is claimed twice the later claim counts."""

    def __init__(self) -> None:
        self._member_at: dict[Address, NodeId] = {}
        self._known_at: dict[NodeId, tuple[Address, ...]] = {}  # where `_member_at` has whom

    def __len__(self) -> int:
        return len(self._member_at)

    def member_changed(self, event: MemberEvent) -> None:
        """It came, moved or went."""
        member = event.member
        for address in self._known_at.pop(member.id, ()):
            if self._member_at.get(address) == member.id:
                del self._member_at[address]
        if member.is_present:
            self._known_at[member.id] = member.addresses
            self._member_at.update(dict.fromkeys(member.addresses, member.id))

    def member_at(self, address: Address) -> NodeId | None:
        """Who lives there."""
        return self._member_at.get(address)
