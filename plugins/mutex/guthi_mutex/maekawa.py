"""Decides who is next by the votes of about √N nodes: Maekawa's algorithm, with Sanders' correction.

Theory: M. Maekawa, "A √N algorithm for mutual exclusion in decentralized systems", ACM Transactions on Computer Systems
3(2), 1985; B. Sanders, same journal 5(3), 1987. Every node is a candidate, which needs the vote of each node of its
quorum, and a voter, which has one vote (see `voter`). Any two quorums meet (see `quorums`).

    REQUEST stamp                 candidate: your vote, please
    YIELD stamp                   candidate: it is yours again; I keep waiting for it
    RELEASE stamp counter         candidate: I was in with this counter; or, with 0, I do not want it any more
    GRANT stamp latest counter    voter: you have it; with the greatest stamp and counter that I know
    FAILED stamp                  voter: others come first
    INQUIRE stamp                 voter: an earlier one is here: yield, unless you are sure to get in

A candidate that has been told FAILED by one voter yields to every voter that inquires, at once or as soon as it fails.

Messages an entry, with quorums of K, about √N, the node itself among them: 3(K-1) where requests are rare. A vote that
is waited for costs a FAILED more, one that is called back an INQUIRE and a YIELD more: about 4(K-1) where all wait, up
to 5(K-1) where stamps arrive out of order.

Invariants: two quorums have a voter in common, which has one vote, so one node is inside. That voter gives its vote to
the later node after it has the earlier one's RELEASE, so its GRANT carries a counter as high as the earlier grant's,
and the later node takes one more than the highest that it was told: counters grow.
No deadlock: a request that has neither all votes nor a FAILED waits for a later one that is inquired. Follow these: the
stamps grow, so the last one is inside, or has failed, and yields. No starvation: stamps that a GRANT carries make later
requests of those with a common voter come later than ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, IntEnum, auto
from random import Random
from typing import Any

from guthi import MalformedMessage, NodeId
from guthi_mutex.algorithm import Algorithm, Effect, Granted, Send
from guthi_mutex.quorums import quorum_of
from guthi_mutex.voter import Answer, Request, Voter

__all__ = ["Maekawa"]


class Kind(IntEnum):
    """What a candidate says; numbered apart from what a voter answers."""

    REQUEST = 0
    YIELD = 1
    RELEASE = 2


class Phase(Enum):
    OUTSIDE = auto()
    WAITING = auto()
    INSIDE = auto()


class Maekawa(Algorithm):
    """The votes of a quorum: few messages however large the network, and nobody is asked by all."""

    name = "maekawa"

    def __init__(
        self, me: NodeId, members: Sequence[NodeId], holder: NodeId | None, fence: int, rng: Random | None = None
    ) -> None:
        super().__init__(me, members, holder, fence, rng)
        self._quorum = self._quorum_of(me)
        # Whoever is inside from the start is before all others, and has the votes of its quorum.
        favoured = Request(0, holder) if holder is not None and me in self._quorum_of(holder) else None
        self._voter = Voter(favoured)
        self._phase = Phase.INSIDE if holder == me else Phase.OUTSIDE
        self._stamp = 0  # of our own request
        self._latest = 0  # the greatest stamp that this node has given or seen
        self._counter = fence  # the highest that this node has granted or was told
        self._votes: set[NodeId] = set()  # who gave us its vote
        self._failed: set[NodeId] = set()  # who told us that others come first
        self._inquiring: set[NodeId] = set()  # who gave us its vote and wants it back

    def _quorum_of(self, node: NodeId) -> tuple[NodeId, ...]:
        return tuple(self.members[each] for each in quorum_of(self.members.index(node), len(self.members)))

    def request(self) -> list[Effect]:
        assert self._phase is Phase.OUTSIDE
        self._phase = Phase.WAITING
        self._latest += 1
        self._stamp = self._latest
        return self._settled(self._to_quorum(Kind.REQUEST, self._stamp))

    def release(self) -> list[Effect]:
        assert self._phase is Phase.INSIDE
        return self._leave(self._counter)

    def enter_again(self) -> list[Effect]:
        assert self._phase is Phase.INSIDE
        return self._enter()  # our voters hear of the counter when we leave

    def cancel(self) -> list[Effect]:
        assert self._phase is Phase.WAITING
        return self._leave(0)

    def _leave(self, counter: int) -> list[Effect]:
        self._phase = Phase.OUTSIDE
        for each in (self._votes, self._failed, self._inquiring):
            each.clear()
        return self._settled(self._to_quorum(Kind.RELEASE, self._stamp, counter))

    def _to_quorum(self, *message: int) -> list[Effect]:
        return [Send(each, list(message)) for each in self._quorum]

    def receive(self, sender: NodeId, message: Any) -> list[Effect]:
        return self._settled(self._heard(sender, message))

    def _settled(self, effects: list[Effect]) -> list[Effect]:
        """What is for others; what this node says to itself it hears here, in the same order."""
        settled: list[Effect] = []
        pending = deque(effects)
        while pending:
            effect = pending.popleft()
            if isinstance(effect, Send) and effect.to == self.me:
                pending.extend(self._heard(self.me, effect.message))
            else:
                settled.append(effect)
        return settled

    def _heard(self, sender: NodeId, message: Any) -> list[Effect]:
        match message:
            case [Kind.REQUEST | Kind.YIELD as kind, int(stamp)]:
                return self._vote(kind, Request(stamp, sender))
            case [Kind.RELEASE, int(stamp), int(counter)]:
                self._counter = max(self._counter, counter)
                return self._vote(Kind.RELEASE, Request(stamp, sender))
            case [Answer.GRANT, int(stamp), int(latest), int(counter)] if sender in self._quorum:
                self._latest = max(self._latest, latest)
                return self._granted(sender, counter) if self._is_about_us(stamp) else []
            case [Answer.FAILED, int(stamp)] if sender in self._quorum:
                return self._failing(sender) if self._is_about_us(stamp) else []
            case [Answer.INQUIRE, int(stamp)] if sender in self._votes or not self._is_about_us(stamp):
                return self._inquired(sender) if self._is_about_us(stamp) else []
            case _:
                raise MalformedMessage("maekawa knows what candidates say, and what voters of our quorum answer")

    def _is_about_us(self, stamp: int) -> bool:
        """False if an answer comes after we have got in, or to a request that was withdrawn."""
        return self._phase is Phase.WAITING and stamp == self._stamp

    def _vote(self, kind: int, request: Request) -> list[Effect]:
        """A candidate speaks to this node's voter."""
        match kind:
            case Kind.REQUEST:
                self._latest = max(self._latest, request.stamp)
                answers = self._voter.requested(request)
            case Kind.YIELD:
                answers = self._voter.yielded(request)
            case _:
                answers = self._voter.released(request)
        return [Send(to.node, self._worded(answer, to.stamp)) for answer, to in answers]

    def _worded(self, answer: Answer, stamp: int) -> list[int]:
        return [answer, stamp, self._latest, self._counter] if answer is Answer.GRANT else [answer, stamp]

    def _granted(self, voter: NodeId, counter: int) -> list[Effect]:
        self._counter = max(self._counter, counter)
        self._failed.discard(voter)
        self._votes.add(voter)
        return self._enter() if len(self._votes) == len(self._quorum) else []

    def _enter(self) -> list[Effect]:
        self._phase = Phase.INSIDE
        self._counter += 1
        return [Granted(self._counter)]

    def _failing(self, voter: NodeId) -> list[Effect]:
        self._failed.add(voter)
        return self._yield_votes()

    def _inquired(self, voter: NodeId) -> list[Effect]:
        self._inquiring.add(voter)
        return self._yield_votes() if self._failed else []

    def _yield_votes(self) -> list[Effect]:
        wanted_back = sorted(self._inquiring)
        self._inquiring.clear()
        self._votes.difference_update(wanted_back)
        self._failed.update(wanted_back)
        return [Send(each, [Kind.YIELD, self._stamp]) for each in wanted_back]

    @property
    def queue(self) -> tuple[NodeId, ...]:
        """Who waits for the vote of this node."""
        return self._voter.queue
