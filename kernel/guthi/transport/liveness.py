"""Decides by silence: when a peer is asked for a sign of life, when it is lost, and when an unused session is over.

A peer from which nothing was heard for `timeout_s` although it owes an answer is lost. A watched session, one on which
somebody waits for an answer, asks for a sign of life when it has heard nothing for `keepalive_s`. One that nobody
watches is silent, and ends without a word when no message has passed for a while: after `idle_s` it is stale and must
not be used for new messages, IDLE_MARGIN_S later it is over. The margin is longer than what two ends can disagree by,
so neither sends into a session that the other dropped. What is not acknowledged yet keeps a session from both; whether
there is any, the session knows.
"""

from __future__ import annotations

__all__ = ["IDLE_MARGIN_S", "Liveness"]

IDLE_MARGIN_S = 15.0


class Liveness:
    """What one session has heard, and since when it waits; times in seconds."""

    __slots__ = ("_heard_at", "_idle_s", "_keepalive_s", "_owed_since", "_timeout_s", "_used_at", "watched")

    def __init__(self, *, keepalive_s: float, timeout_s: float, idle_s: float, now: float) -> None:
        self._keepalive_s, self._timeout_s, self._idle_s = keepalive_s, timeout_s, idle_s
        self._heard_at = self._used_at = now
        self._owed_since: float | None = None  # since when the peer owes us a sign of life
        self.watched = False  # somebody waits for an answer of the peer

    def heard(self, now: float) -> None:
        """An authentic datagram came."""
        self._heard_at, self._owed_since = now, None

    def asked(self, now: float) -> None:
        """A datagram leaves that the peer has to acknowledge."""
        if self._owed_since is None:
            self._owed_since = now

    def used(self, now: float) -> None:
        """A message passed, in either direction."""
        self._used_at = now

    @property
    def deadline(self) -> float | None:
        """When the peer is lost or asked for a sign of life; None if nothing is awaited, so that `over_at` counts."""
        if self._owed_since is not None:
            return self._owed_since + self._timeout_s
        return self._heard_at + self._keepalive_s if self.watched else None

    @property
    def over_at(self) -> float:
        """When the session is over unless it is used or watched."""
        return self._used_at + self._idle_s + IDLE_MARGIN_S

    def is_lost(self, now: float) -> bool:
        """Whether the peer has owed a sign of life for too long."""
        return self._owed_since is not None and now >= self._owed_since + self._timeout_s

    def asks(self, now: float) -> bool:
        """Whether to ask the peer for a sign of life."""
        return self.watched and self._owed_since is None and now >= self._heard_at + self._keepalive_s

    def is_stale(self, now: float) -> bool:
        """Whether the session has been unused for so long that the peer may be about to drop it."""
        return not self.watched and now >= self._used_at + self._idle_s

    def is_over(self, now: float) -> bool:
        """Whether nobody has used the session for so long that the peer uses it no more either."""
        return not self.watched and self._owed_since is None and now >= self.over_at
