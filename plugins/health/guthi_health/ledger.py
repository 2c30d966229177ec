"""The events that one node keeps, and who has each of them in hand: the pending-events queue as a machine.

An event is a piece of work with its latest state. One node keeps it, the keeper; one at a time has it in hand, the
holder. All claims of an event go to its keeper, which decides one after the other: so a claim is atomic, without votes.

| state     | until                                                   | then                                    |
|-----------|---------------------------------------------------------|-----------------------------------------|
| HELD      | the holder fails, leaves, gives it back or has lost it  | FREE; after the last attempt ABANDONED  |
| HELD      | the holder says what came of it                         | DONE                                    |
| FREE      | a node claims it                                        | HELD by that one, one attempt more      |
| FREE      | its last holder speaks up: it was not dead              | HELD by that one again, or DONE         |
| DONE      | the app drops it                                        | -                                       |
| ABANDONED | the app drops it                                        | -                                       |

The number of the attempt is a fencing token: whoever speaks with an older one than the present is told EventTaken. So
a holder that was only slow, or cut off, cannot overwrite what its successor does; its work may have been done twice.

Invariants: an event has one holder at most; attempts only grow; what was kept is there until it is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from guthi import NodeId
from guthi_health.errors import EventTaken, PendingFull

__all__ = ["ID_BYTES", "Event", "EventState", "Ledger"]

ID_BYTES = 16


class EventState(Enum):
    """Where an event is in its life."""

    HELD = 0
    FREE = 1
    DONE = 2
    ABANDONED = 3


@dataclass(slots=True)
class Event:
    """One event; `value` is its latest state, once DONE its result, in CBOR.

    `holder` is who has it in hand, or had it last. `attempt` counts the holders, `attempts` is how many there may be.
    `reason` says why the last holder does not have it any more. `held_since` is loop time.
    """

    id: bytes
    topic: str
    value: bytes
    holder: NodeId | None
    attempt: int
    attempts: int
    is_durable: bool
    state: EventState
    reason: str = ""
    was_claimed: bool = False
    held_since: float = 0.0


class Ledger:
    """The events of one keeper, oldest first."""

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self._events: dict[bytes, Event] = {}
        self._most_events, self._most_bytes = most_events, most_bytes
        self._bytes = 0

    def __iter__(self) -> Iterator[Event]:
        return iter(list(self._events.values()))

    def __len__(self) -> int:
        return len(self._events)

    def get(self, id: bytes) -> Event | None:
        """The event of that id."""
        return self._events.get(id)

    def keep(self, event: Event) -> None:
        """Take one in; raises PendingFull."""
        if len(self._events) >= self._most_events:
            raise PendingFull(
                f"{self._most_events} events are kept; drop some, or raise most_events in [plugins.health]"
            )
        self._resize(len(event.value))
        self._events[event.id] = event

    def restore(self, event: Event) -> None:
        """Take one in that was kept already: the bounds may have been lowered since."""
        self._bytes += len(event.value)
        self._events[event.id] = event

    def _resize(self, change_bytes: int) -> None:
        if change_bytes > 0 and self._bytes + change_bytes > self._most_bytes:
            raise PendingFull(f"{self._most_bytes} bytes are kept; drop some, or raise most_bytes in [plugins.health]")
        self._bytes += change_bytes

    def drop(self, id: bytes) -> None:
        """Keep it no more."""
        event = self._events.pop(id, None)
        if event is not None:
            self._bytes -= len(event.value)

    def lost(self, holder: NodeId, reason: str) -> list[Event]:
        """A node is gone; returns what it had in hand."""
        return [event for event in self if event.holder == holder and self.release(event, reason)]

    def release(self, event: Event, reason: str) -> bool:
        """It is in nobody's hands any more; False if it was not held."""
        if event.state is not EventState.HELD:
            return False
        event.reason = reason
        event.state = EventState.ABANDONED if event.attempt >= event.attempts else EventState.FREE
        return True

    def claim(self, topic: str, claimer: NodeId, now: float) -> Event | None:
        """The oldest free event of a topic is the claimer's from now on."""
        for event in self._events.values():
            if event.state is EventState.FREE and event.topic == topic:
                event.state, event.holder, event.held_since = EventState.HELD, claimer, now
                event.attempt += 1
                event.was_claimed = True
                return event
        return None

    def unclaim(self, event: Event) -> None:
        """Undo a claim that nobody was told of: it does not count as an attempt."""
        event.state, event.holder = EventState.FREE, None
        event.attempt -= 1

    def update(self, id: bytes, attempt: int, speaker: NodeId, value: bytes) -> Event:
        """The holder says how far it is; raises EventTaken, PendingFull."""
        event = self.spoken_for(id, attempt, speaker)
        self._resize(len(value) - len(event.value))
        event.value = value
        event.state = EventState.HELD
        return event

    def done(self, id: bytes, attempt: int, speaker: NodeId, result: bytes) -> Event:
        """The holder says what came of it; raises EventTaken, PendingFull."""
        event = self.update(id, attempt, speaker, result)
        event.state = EventState.DONE
        return event

    def done_by(self, id: bytes, attempt: int, speaker: NodeId) -> Event | None:
        """The event, if that holder has said already what came of it."""
        event = self._events.get(id)
        if event is None or event.state is not EventState.DONE or (event.holder, event.attempt) != (speaker, attempt):
            return None
        return event

    def spoken_for(self, id: bytes, attempt: int, speaker: NodeId) -> Event:
        """The event, if this node may speak for it; raises EventTaken."""
        event = self._events.get(id)
        if event is None or event.state in (EventState.DONE, EventState.ABANDONED):
            raise EventTaken("the event is done, abandoned or dropped; stop working on it")
        if event.holder != speaker or event.attempt != attempt:
            raise EventTaken("another node has taken the event; stop working on it")
        return event

    def held_by_claim(self, before: float) -> dict[NodeId, list[Event]]:
        """What has been in the hands of claimers since before a moment."""
        found: dict[NodeId, list[Event]] = {}
        for event in self._events.values():
            if event.state is EventState.HELD and event.was_claimed and event.held_since < before:
                assert event.holder is not None
                found.setdefault(event.holder, []).append(event)
        return found

    def free_topics(self) -> list[str]:
        """The topics of which something is free, sorted."""
        return sorted({event.topic for event in self._events.values() if event.state is EventState.FREE})
