"""What a node must not forget when it restarts: the view in which it votes, and how it has voted on the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from guthi import MalformedMessage
from guthi_mutex.messages import Ballot, Vote, read_ballot, read_vote
from guthi_mutex.view import View

__all__ = ["Memory"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """`floor` is the greatest epoch that was heard of, `view` the one with this node, `outside` a newer one without.

    `promised` and `vote` are on the view that follows.
    """

    life: int
    floor: int = 0
    view: View | None = None
    outside: View | None = None
    promised: Ballot | None = None
    vote: Vote | None = None

    def to_wire(self) -> list[Any]:
        """What `from_wire` reads."""
        return [
            FORMAT,
            self.life,
            self.floor,
            self.view.to_wire() if self.view is not None else None,
            self.outside.to_wire() if self.outside is not None else None,
            [self.promised.round, bytes(self.promised.proposer)] if self.promised is not None else None,
            _vote_to_wire(self.vote) if self.vote is not None else None,
        ]

    @classmethod
    def from_wire(cls, wire: object) -> Memory:
        """Raises MalformedMessage."""
        match wire:
            case [int(version), int(life), int(floor), view, outside, promised, vote] if version == FORMAT:
                return cls(
                    life,
                    floor,
                    View.from_wire(view) if view is not None else None,
                    View.from_wire(outside) if outside is not None else None,
                    read_ballot(promised) if promised is not None else None,
                    read_vote(vote),
                )
        raise MalformedMessage("not what this version of the plugin writes")


def _vote_to_wire(vote: Vote) -> list[Any]:
    return [[vote.ballot.round, bytes(vote.ballot.proposer)], vote.view.to_wire()]
