"""Makes the messages of a view arrive once and in order, although a session between two members may break and heal.

A session delivers reliably, but one message may overtake another, and what is under way when it breaks is gone. So each
message to a member has a number in the view and is kept until it is acknowledged, by a message of the other direction
or, when there has been none for ACK_S, by Received. What is not acknowledged for RESEND_S, then twice as long and so
on, is sent again. What comes before its turn waits for it; what is too far ahead is dropped, for it will come again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from guthi import NodeId
from guthi_mutex.messages import Carried, Received
from guthi_mutex.view import ViewId

__all__ = ["Channels"]

ACK_S = 0.2
RESEND_S = 1.0
LONGEST_RESEND_S = 8.0
MAX_KEPT = 65_536
MAX_AHEAD = 1024


@dataclass(slots=True)
class _Channel:
    """One other member."""

    sent: int = 0  # how many have been
    kept: deque[Carried] = field(default_factory=deque)
    received: int = 0  # how many have been, without a gap
    ahead: dict[int, Carried] = field(default_factory=dict)  # what came before its turn
    ack_at: float | None = None
    resend_at: float | None = None
    pause_s: float = RESEND_S


class Channels:
    """The channels of one view; `now` is loop time in seconds. A new view has new ones."""

    def __init__(self, view_id: ViewId) -> None:
        self._view_id = view_id
        self._channels: dict[NodeId, _Channel] = {}
        self.is_broken = False
        """More waits for a member than is kept: only another view can mend that."""
        self.deadline: float | None = None
        """When `on_deadline` is due, or earlier: that there is nothing to do any more is found out then."""

    def send(self, to: NodeId, lock: str, body: Any, now: float) -> Carried:
        """The message that carries this."""
        channel = self._channels.setdefault(to, _Channel())
        carried = Carried(self._view_id, channel.sent, channel.received, lock, body)
        channel.sent += 1
        channel.ack_at = None
        if len(channel.kept) == MAX_KEPT:
            self.is_broken = True
            return carried
        channel.kept.append(carried)
        if channel.resend_at is None:
            channel.resend_at = self._by(now + channel.pause_s)
        return carried

    def receive(self, sender: NodeId, carried: Carried, now: float) -> list[Carried]:
        """A message has come; returns those of the sender whose turn it is, to be acted upon."""
        channel = self._channels.setdefault(sender, _Channel())
        self._acknowledged(channel, carried.received, now)
        if channel.ack_at is None:
            channel.ack_at = self._by(now + ACK_S)
        if not channel.received <= carried.number < channel.received + MAX_AHEAD:
            return []
        channel.ahead[carried.number] = carried
        return list(self._in_turn(channel))

    def _in_turn(self, channel: _Channel) -> Iterator[Carried]:
        while (carried := channel.ahead.pop(channel.received, None)) is not None:
            channel.received += 1
            yield carried

    def acknowledged(self, sender: NodeId, received: Received, now: float) -> None:
        """A member says how much has arrived."""
        self._acknowledged(self._channels.setdefault(sender, _Channel()), received.number, now)

    def _acknowledged(self, channel: _Channel, number: int, now: float) -> None:
        if not channel.kept or number <= channel.kept[0].number:
            return
        while channel.kept and channel.kept[0].number < number:
            channel.kept.popleft()
        channel.pause_s = RESEND_S
        channel.resend_at = self._by(now + RESEND_S) if channel.kept else None

    def _by(self, at: float) -> float:
        if self.deadline is None or at < self.deadline:
            self.deadline = at
        return at

    def on_deadline(self, now: float) -> list[tuple[NodeId, Carried | Received]]:
        """What is to be sent now."""
        sends: list[tuple[NodeId, Carried | Received]] = []
        for id, channel in sorted(self._channels.items()):
            if channel.resend_at is not None and channel.resend_at <= now:
                sends += [(id, carried) for carried in channel.kept]
                channel.pause_s = min(2 * channel.pause_s, LONGEST_RESEND_S)
                channel.resend_at = now + channel.pause_s
            if channel.ack_at is not None and channel.ack_at <= now:
                sends.append((id, Received(self._view_id, channel.received)))
                channel.ack_at = None
        due = [at for each in self._channels.values() for at in (each.ack_at, each.resend_at) if at is not None]
        self.deadline = min(due, default=None)
        return sends
