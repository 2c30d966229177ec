"""Decides at which of its addresses each member is spoken to: learnt from what arrives, unlearnt from dials that fail.

Where a member last spoke from goes before the addresses of its record: it may sit behind a NAT. But a learnt address
can lead nowhere, for ever: whoever was there has crashed, and a twin with the same identity lives on elsewhere. So a
dial that nobody answers takes the learnt address away, or, where the address was one of the record's, goes on to the
next of these; from the last to the first.
"""

from __future__ import annotations

from guthi.api import Address, NodeId
from guthi.membership.members import Member

__all__ = ["Routes"]


class Routes:
    """Of one node to all members."""

    def __init__(self) -> None:
        self._learnt: dict[NodeId, Address] = {}
        self._guessed: dict[NodeId, Address] = {}  # those of a record's addresses that are next, after others failed
        self._dialed: dict[NodeId, Address] = {}

    def address_of(self, member: Member) -> Address:
        """Where a member is best reached."""
        learnt = self._learnt.get(member.id)
        return learnt if learnt is not None else self._guessed.get(member.id, member.addresses[0])

    def learn(self, id: NodeId, address: Address) -> None:
        """A member speaks from there."""
        self._learnt[id] = address

    def sighted(self, known: Member, shown: Member, source: Address) -> None:
        """A member showed a record of itself from that address, if nobody has recorded it and sent it again.

        So a member that was heard at an address of its own is not looked for at one that it does not name.
        """
        if source in shown.addresses or self._learnt.get(known.id) not in known.addresses:
            self._learnt[known.id] = source

    def forget(self, id: NodeId) -> None:
        """It has moved, or is no member any more."""
        self._learnt.pop(id, None)
        self._guessed.pop(id, None)

    # ---- dials

    def dial(self, member: Member) -> Address:
        """A session with a member is to be opened; returns the address to try."""
        self._dialed[member.id] = self.address_of(member)
        return self._dialed[member.id]

    def answered(self, id: NodeId) -> None:
        """There is a session: how it ends says nothing about the address that was dialed."""
        self._dialed.pop(id, None)

    def ended(self, id: NodeId, known: Member | None, *, silent: bool) -> None:
        """The link to a peer is no more; `silent` says that the peer did not answer, or no longer."""
        address = self._dialed.pop(id, None)
        if known is None or not silent or address is None:
            return
        if self._learnt.get(id) == address:
            del self._learnt[id]
        if self.address_of(known) == address:
            self._guessed[id] = _next(known.addresses, address)


def _next(addresses: tuple[Address, ...], tried: Address) -> Address:
    return addresses[(addresses.index(tried) + 1) % len(addresses)]
