"""A world of two session machines on bad lines: virtual time, and from one seed loss, copies, delay and silence."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from guthi.security.handshake import TransportKeys
from guthi.transport.session import MessageReceived, Session, SessionEvent, SessionSettings

QUIET = SessionSettings(timeout_s=60.0, idle_s=1e6)
"""No keep-alive: a session that is done has nothing to wait for but that."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the line is, in both directions."""

    loss: float = 0.0
    duplication: float = 0.0
    latency_s: float = 0.01
    jitter_s: float = 0.0
    burst: float = 0.0  # the chance that a lost datagram takes the next five along


@dataclass(slots=True)
class End:
    """One side: its session and all that came out of it."""

    session: Session
    delivered: list[tuple[int, bytes]] = field(default_factory=list)
    events: list[SessionEvent] = field(default_factory=list)
    sent_datagrams: int = 0
    sent_bytes: int = 0
    deaf: bool = False  # nothing reaches it
    losing: int = 0  # how many more datagrams a burst takes

    def take(self, events: Sequence[SessionEvent]) -> None:
        """Note what the session said."""
        for event in events:
            if isinstance(event, MessageReceived):
                self.delivered.append((event.channel, bytes(event.body)))
            else:
                self.events.append(event)


class Pipe:
    """Two sessions, `a` and `b`, and the datagrams between them."""

    def __init__(
        self,
        seed: int,
        weather: Weather | None = None,
        *,
        settings: SessionSettings = QUIET,
        datagram_bytes: int = 1200,
        session_type: type[Session] = Session,
        **session_arguments: Any,
    ) -> None:
        self.now = 100.0
        self.weather = weather or Weather()
        self.intercept: Callable[[End, bytes], bytes | None] = lambda _, datagram: datagram
        self._random = Random(seed)
        self._order = count()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        forth, back = bytes([1]) * 32, bytes([2]) * 32
        ends = [
            End(
                session_type(
                    keys,
                    remote_index=index,
                    datagram_bytes=datagram_bytes,
                    settings=settings,
                    now=self.now,
                    **session_arguments,
                )
            )
            for index, keys in enumerate((TransportKeys(forth, back, b""), TransportKeys(back, forth, b"")))
        ]
        self.a, self.b = ends

    def other(self, end: End) -> End:
        """The far side."""
        return self.b if end is self.a else self.a

    def at(self, moment: float, action: Callable[[], object]) -> None:
        """Do something at a moment; what it makes ready to send is sent."""
        heapq.heappush(self._agenda, (moment, next(self._order), action))

    def flush(self) -> None:
        """The end of a turn, on both sides."""
        for end in (self.a, self.b):
            for datagram in end.session.datagrams(self.now):
                end.sent_datagrams += 1
                end.sent_bytes += len(datagram)
                self._carry(self.other(end), datagram)

    def _carry(self, to: End, datagram: bytes) -> None:
        changed = self.intercept(to, datagram)
        if changed is None or self._is_lost(to):
            return
        copies = 2 if self._random.random() < self.weather.duplication else 1
        for _ in range(copies):
            delay_s = self.weather.latency_s + self._random.random() * self.weather.jitter_s
            self.at(self.now + delay_s, lambda: self.hand_over(to, changed))

    def _is_lost(self, to: End) -> bool:
        if to.losing:
            to.losing -= 1
            return True
        if self._random.random() >= self.weather.loss:
            return False
        if self._random.random() < self.weather.burst:
            to.losing = 5
        return True

    def hand_over(self, to: End, datagram: bytes) -> None:
        """A datagram reaches its end."""
        if not to.deaf:
            to.take(to.session.receive(datagram, self.now) or ())

    def step(self) -> bool:
        """Do what comes next; False when nothing ever will."""
        deadlines = [(end.session.deadline, end) for end in (self.a, self.b)]
        due = min((deadline for deadline, _ in deadlines if deadline is not None), default=None)
        if self._agenda and (due is None or self._agenda[0][0] <= due):
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        elif due is not None:
            self.now = max(self.now, due)
            for deadline, end in deadlines:
                if deadline is not None and deadline <= self.now:
                    end.take(end.session.on_deadline(self.now))
        else:
            return False
        self.flush()
        return True

    def run(self, seconds: float) -> None:
        """Let `seconds` pass; fails when the machines spin without time going on."""
        end_at = self.now + seconds
        spins, before = 0, self.now
        while (upcoming := self.upcoming) is not None and upcoming <= end_at:
            self.step()
            spins, before = (spins + 1, before) if self.now == before else (0, self.now)
            assert spins < 10_000, f"stuck at {self.now}"
        self.now = max(self.now, end_at)

    @property
    def upcoming(self) -> float | None:
        """The moment of the next step."""
        moments = [end.session.deadline for end in (self.a, self.b)]
        if self._agenda:
            moments.append(self._agenda[0][0])
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def quiet(self) -> bool:
        """True when all has been acknowledged and nobody waits for anything but the keep-alive."""
        ends = (self.a.session, self.b.session)
        horizon = self.now + 1e5
        return (
            not self._agenda
            and all(session.settled for session in ends)
            and all(session.deadline is None or session.deadline > horizon for session in ends)
        )
