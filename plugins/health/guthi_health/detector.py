"""What a failure detector is: a machine that is told of members and of answers, and asks for pings and accusations.

A detector has no clock, no socket and no randomness of its own: `now` is loop time in seconds, and `random` comes by
the constructor. Whoever runs it (`watch`) performs the effects in their order, and calls `on_deadline` when `deadline`
has come.

Pings, and pings through another member, are the same for all detectors, and every node that runs the plugin answers
them whatever its own detector is. So nodes with different detectors can watch one another.

| call          | the detector is told                                                            |
|---------------|---------------------------------------------------------------------------------|
| `member`      | this member is present and can be pinged: it is new, or its record has changed  |
| `gone`        | this member has failed or left; it cannot be pinged any more                    |
| `answered`    | the answer to a ping has come                                                   |
| `relayed`     | another member has pinged for us, and says whether it was answered              |
| `noted`       | the same detector of another node has sent a note                               |
| `refuted`     | this node was accused and had to take it back                                   |
| `on_deadline` | the moment has come                                                             |

Invariant: nothing is pinged and nobody accused who is gone or unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, TypeAlias

from guthi import Member, MemberState, NodeId

__all__ = ["Accuse", "Detector", "Effect", "Note", "Ping", "Relay", "Remind"]


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a ping; `number` comes back with the answer, and is never used twice for one peer."""

    peer: NodeId
    number: int


@dataclass(frozen=True, slots=True)
class Relay:
    """Ask `via` to ping `peer` for us, and to say within `patience_s` whether it was answered."""

    via: NodeId
    peer: NodeId
    number: int
    patience_s: float


@dataclass(frozen=True, slots=True)
class Note:
    """Tell the same detector of another node something; a value with a CBOR form of at most some 900 bytes."""

    peer: NodeId
    value: Any


@dataclass(frozen=True, slots=True)
class Accuse:
    """Spread a verdict; see guthi.Verdict."""

    peer: NodeId
    state: MemberState
    path: str
    evidence: str
    health: int = 0


@dataclass(frozen=True, slots=True)
class Remind:
    """Tell a suspected peer directly what is said of it, so that it can refute it."""

    peer: NodeId


Effect: TypeAlias = Ping | Relay | Note | Accuse | Remind
"""What a detector can ask for; it does nothing by itself."""


class Detector:
    """A subclass names itself and its settings, and overrides what it needs to be told.

    `Settings` is a frozen dataclass, filled from `interval` and `timeout` of [plugins.health], where they are set, and
    from [plugins.health.settings].
    """

    name: ClassVar[str]
    Settings: ClassVar[type]

    def __init__(self, me: NodeId, settings: Any, random: Random) -> None:
        self.me = me
        self.settings = settings
        self.random = random

    @property
    def deadline(self) -> float | None:
        """When `on_deadline` is to be called; None: only another call can bring anything about."""
        return None

    @property
    def health(self) -> int:
        """How badly this node itself seems to do: 0 is well."""
        return 0

    def member(self, member: Member, now: float) -> Sequence[Effect]:
        """This member is present: it is new, or its record is; `member.state` is ALIVE or SUSPECT."""
        return ()

    def gone(self, peer: NodeId, now: float) -> Sequence[Effect]:
        """This member has failed or left."""
        return ()

    def answered(self, peer: NodeId, number: int, now: float) -> Sequence[Effect]:
        """The peer has answered a ping."""
        return ()

    def relayed(self, via: NodeId, number: int, reached: bool, now: float) -> Sequence[Effect]:
        """The member `via` has been answered by whom it was asked to ping, or has not."""
        return ()

    def noted(self, peer: NodeId, value: Any, now: float) -> Sequence[Effect]:
        """A note of the peer's detector; raises MalformedMessage for what none of ours would send."""
        return ()

    def refuted(self, now: float) -> Sequence[Effect]:
        """This node has taken back an accusation of itself."""
        return ()

    def on_deadline(self, now: float) -> Sequence[Effect]:
        """The deadline has come."""
        return ()

    def opinion(self, peer: NodeId, now: float) -> str:
        """What it holds against a peer, in a few words for people; empty: nothing."""
        return ""
