"""Decides how a session ends: who says CLOSE, how often, and what is done with datagrams that come after.

| state   | meaning                                                | leaves by                                        |
|---------|--------------------------------------------------------|--------------------------------------------------|
| OPEN    | messages flow                                          | `close`, the peer's CLOSE, or `finish`           |
| CLOSING | our CLOSE is on its way, repeated until it is answered | the peer's CLOSE, CLOSE_TRIES tries, or `finish` |
| CLOSED  | nothing is sent; what still comes is told so           | never                                            |

Invariants: at most CLOSE_TRIES CLOSE frames are sent, so two closed ends do not answer one another for ever. A CLOSE
that waits for its answer is repeated by the timer alone: datagrams that cross it do not use up its tries. A session
that ended without a word (`finish`) has no CLOSE to send and stays silent.

Source: RFC 9000, section 10.2, which likewise answers what comes late with the CLOSE and bounds how often.
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum, auto

from guthi.api import Buffer
from guthi.errors import MalformedMessage
from guthi.transport.wire import Close, CloseCode, decode_frames, encode_close

__all__ = ["CLOSE_TRIES", "Closing", "SessionState"]

CLOSE_TRIES = 3


class SessionState(Enum):
    """Where a session is in its life."""

    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class Closing:
    """The end of one session; `deadline` is when `on_deadline` wants to be called, None for never."""

    __slots__ = ("_frame", "_is_due", "_tries", "deadline", "state")

    def __init__(self) -> None:
        self.state = SessionState.OPEN
        self.deadline: float | None = None
        self._frame: bytes | None = None
        self._is_due = False
        self._tries = 0

    def close(self, code: CloseCode, reason: str) -> None:
        """Say goodbye; does nothing when that was said already."""
        if self.state is SessionState.OPEN:
            self.state = SessionState.CLOSING
            self._frame = encode_close(code, reason)
            self._is_due = True

    def closed_by_peer(self) -> None:
        """The peer said goodbye to an open session: it is answered."""
        self.finish()
        self._frame = encode_close(CloseCode.DONE, "")
        self._is_due = True

    def finish(self) -> None:
        """End without another word, unless something comes and there is a CLOSE to repeat."""
        self.state = SessionState.CLOSED
        self.deadline = None
        self._is_due = False

    def received(self, payload: Buffer) -> None:
        """A datagram came to a session that is not open: the answer to our CLOSE, or the peer has not heard it yet."""
        if self.state is SessionState.CLOSED:
            self._is_due = self._tries < CLOSE_TRIES
            return
        with suppress(MalformedMessage):  # our CLOSE is repeated all the same
            if any(isinstance(frame, Close) for frame in decode_frames(payload)):
                self.finish()

    def take_frame(self, now: float, retry_s: float) -> bytes | None:
        """The CLOSE frame if it is to be sent now; without an answer it is repeated after `retry_s`."""
        if not self._is_due:
            return None
        self._is_due = False
        self._tries += 1
        if self.state is SessionState.CLOSING:
            self.deadline = now + retry_s
        return self._frame

    def on_deadline(self, now: float) -> None:
        """Repeat an unanswered CLOSE, or give it up."""
        if self.deadline is None or now < self.deadline:
            return
        if self._tries < CLOSE_TRIES:
            self._is_due = True
        else:
            self.finish()
