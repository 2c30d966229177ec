"""One machine message by message, and small networks of them: when views come, who is granted, lost and refused."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random

import pytest
from tests.plugins.mutex.test_view import node

from guthi import MemberState, NodeId
from guthi_mutex.agreement import Remember, Tell, ViewLearned
from guthi_mutex.memory import Memory
from guthi_mutex.messages import (
    Accepted,
    Ballot,
    Carried,
    Installed,
    Message,
    Prepare,
    Presence,
    Propose,
    Received,
    Renew,
    Renewed,
    decode,
    encode,
)
from guthi_mutex.occasion import Settings
from guthi_mutex.participant import Effect, Participant
from guthi_mutex.suzuki_kasami import SuzukiKasami
from guthi_mutex.tickets import LockGranted, TicketLost, TicketRefused
from guthi_mutex.view import FENCE_BITS, Held, Policy, View, ViewId, Voter

LEASE_S = 3.0
POLICY = Policy(SuzukiKasami.name, lease_s=LEASE_S)
NOW = 100.0
EPOCH = 50


def a_participant(number: int, memory: Memory | None = None, quorum: int = 0, turn_s: float = 0.0) -> Participant:
    settings = Settings(POLICY, LEASE_S, quorum, turn_s)
    algorithms = {SuzukiKasami.name: SuzukiKasami}
    made = Participant(node(number), memory or Memory(0), settings, algorithms, Random(number), lambda: EPOCH, 0.0)
    made.joined(NOW)
    return made


def a_view(*numbers: int, epoch: int = 7) -> View:
    return View(ViewId(epoch, node(0)), tuple(Voter(node(each), 0, POLICY) for each in numbers))


def told(effects: list[Effect]) -> list[Message]:
    return [each.message for each in effects if isinstance(each, Tell)]


class Network:
    """Participants whose messages arrive at once, in order, unless one is cut off; time goes by deadlines."""

    def __init__(self, count: int, quorum: int = 0) -> None:
        self.now = NOW
        self.nodes = {node(number): a_participant(number, quorum=quorum) for number in range(count)}
        self.events: dict[NodeId, list[Effect]] = {id: [] for id in self.nodes}
        self.cut: set[NodeId] = set()
        for id in self.nodes:
            self.see(id)

    def see(self, id: NodeId, **states: MemberState) -> None:
        seen = {other: MemberState.ALIVE for other in self.nodes if other != id}
        seen |= {node(int(name[1:])): state for name, state in states.items()}
        self.act(id, self.nodes[id].peers(seen, self.now))

    def act(self, id: NodeId, effects: list[Effect]) -> None:
        under_way = [(id, each) for each in effects]
        while under_way:
            sender, effect = under_way.pop(0)
            if not isinstance(effect, Tell):
                self.events[sender].append(effect)
            elif effect.to in self.nodes and not self.cut & {sender, effect.to}:
                answers = self.nodes[effect.to].receive(sender, decode(encode(effect.message)), self.now)
                under_way += [(effect.to, each) for each in answers]

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = {id: at for id, each in self.nodes.items() if (at := each.deadline) is not None}
            id = min(due, key=lambda id: due[id], default=None)
            if id is None or due[id] > end:
                self.now = end
                return
            self.now = max(self.now, due[id])
            self.act(id, self.nodes[id].on_deadline(self.now))

    def acquire(self, number: int, ticket: int, *, is_impatient: bool = False) -> None:
        self.act(node(number), self.nodes[node(number)].acquire(ticket, "render", self.now, is_impatient=is_impatient))

    def of(self, number: int, kind: type) -> list[Effect]:
        return [each for each in self.events[node(number)] if isinstance(each, kind)]


def test_nothing_is_said_before_somebody_wants_a_lock() -> None:
    network = Network(3)
    network.run(60.0)
    assert not any(network.events.values())
    assert all(each.deadline is None for each in network.nodes.values())


def test_the_first_who_wants_a_lock_makes_the_first_view_of_all() -> None:
    network = Network(3)
    network.acquire(1, ticket=1)
    network.run(LEASE_S)
    assert {each.agreement.view_id.epoch for each in network.nodes.values()} == {EPOCH}
    assert network.nodes[node(0)].agreement.view == network.nodes[node(2)].agreement.view
    (granted,) = network.of(1, LockGranted)
    assert granted == LockGranted(1, "render", EPOCH << FENCE_BITS | 1)


def test_leases_are_renewed_while_locks_are_in_use_and_a_while_longer() -> None:
    network = Network(2)
    network.acquire(1, ticket=1)
    network.run(10 * LEASE_S)
    assert not network.of(1, TicketLost)
    network.act(node(1), network.nodes[node(1)].release(1, network.now))
    network.run(4 * LEASE_S)
    assert all(each.deadline is None for each in network.nodes.values())


def test_a_holder_that_is_cut_off_loses_before_the_others_drop_it_and_comes_back() -> None:
    network = Network(3)
    network.acquire(1, ticket=1)
    network.run(LEASE_S)
    network.cut = {node(1)}
    network.acquire(2, ticket=1)
    network.run(LEASE_S)
    assert network.of(1, TicketLost) and not network.of(2, LockGranted)
    network.run(LEASE_S)
    assert network.of(2, LockGranted)
    assert network.nodes[node(2)].agreement.view_id.epoch == EPOCH + 1
    network.cut = set()
    network.see(node(1))
    network.acquire(1, ticket=2)
    network.run(4 * LEASE_S)
    assert network.nodes[node(1)].agreement.is_member and not network.of(2, TicketLost)


def test_an_impatient_ticket_is_refused_where_no_majority_is_and_others_wait() -> None:
    network = Network(3)
    network.acquire(0, ticket=1)
    network.run(LEASE_S)
    network.act(node(0), network.nodes[node(0)].release(1, network.now))
    network.cut = {node(0)}
    network.run(3 * LEASE_S)
    network.acquire(0, ticket=2, is_impatient=True)
    network.acquire(0, ticket=3)
    assert network.of(0, TicketRefused) == []
    network.run(LEASE_S)
    assert network.of(0, TicketRefused) == [TicketRefused(2, "render")]


@pytest.mark.parametrize(("count", "quorum", "is_made"), [(3, 0, True), (1, 2, False), (2, 2, True), (2, 3, False)])
def test_a_first_view_needs_as_many_as_the_quorum_says(count: int, quorum: int, is_made: bool) -> None:
    network = Network(count, quorum)
    network.acquire(0, ticket=1)
    network.run(5 * LEASE_S)
    assert bool(network.of(0, LockGranted)) is is_made


def test_who_leaves_is_left_out_at_once_and_gives_up_its_lock() -> None:
    network = Network(3)
    network.acquire(1, ticket=1)
    network.run(LEASE_S)
    leaving = network.nodes[node(1)]
    network.act(node(1), leaving.leave(network.now))
    assert leaving.has_left and network.of(1, TicketLost)
    assert network.nodes[node(0)].agreement.view_id.epoch == EPOCH + 1
    assert leaving.receive(node(0), Renew(network.nodes[node(0)].agreement.view_id, 1.0), network.now) == []


# ---- one of them


def test_who_is_behind_is_shown_the_newest_view_and_who_is_ahead_is_asked_for_it() -> None:
    alice = a_participant(0, Memory(0, 7, a_view(0, 1)))
    (installed,) = told(alice.receive(node(1), Renew(ViewId(6, node(0)), 1.0), NOW))
    assert installed == Installed(a_view(0, 1))
    (presence,) = told(alice.receive(node(1), Renew(ViewId(8, node(0)), 1.0), NOW))
    assert isinstance(presence, Presence) and presence.view_id == ViewId(7, node(0))


def test_a_renewal_is_for_members_only() -> None:
    alice = a_participant(0, Memory(0, 7, a_view(0, 1)))
    renew = Renew(ViewId(7, node(0)), 1.0)
    assert told(alice.receive(node(1), renew, NOW)) == [Renewed(ViewId(7, node(0)), 1.0)]
    assert told(alice.receive(node(5), renew, NOW)) == []


def test_what_comes_of_a_view_before_it_is_known_is_kept_for_it() -> None:
    alice = a_participant(0)
    view = a_view(0, 1)
    request = Carried(view.id, 0, 0, "render", [0, 1])
    assert all(isinstance(each, Presence) for each in told(alice.receive(node(1), request, NOW)))
    (token,) = [each for each in told(alice.receive(node(1), Installed(view), NOW)) if isinstance(each, Carried)]
    assert token.body == [1, 0, [0, 0], []]


def test_what_is_bad_of_it_does_not_hide_the_view() -> None:
    alice = a_participant(0)
    view = a_view(0, 1)
    alice.receive(node(1), Carried(view.id, 0, 0, "render", "no message of any algorithm"), NOW)
    effects = alice.receive(node(1), Installed(view), NOW)
    assert ViewLearned(view) in effects and any(isinstance(each, Remember) for each in effects)


def test_what_is_bad_does_not_hide_what_waited_for_it() -> None:
    alice, view = a_participant(0), a_view(0, 1)
    alice.receive(node(1), Installed(view), NOW)
    assert told(alice.receive(node(1), Carried(view.id, 1, 0, "render", [0, 1]), NOW)) == []
    (token,) = told(alice.receive(node(1), Carried(view.id, 0, 0, "render", "no message of any algorithm"), NOW))
    assert isinstance(token, Carried) and token.body[0] == 1


def test_while_a_view_is_being_decided_nothing_of_the_old_one_is_done() -> None:
    view = a_view(0, 1)
    alice = a_participant(0, Memory(0, 7, view))
    alice.receive(node(1), Installed(a_view(0, 1, epoch=8)), NOW)
    newer = a_view(0, 1, epoch=8)
    alice.receive(node(1), Prepare(newer, Ballot(1, node(1))), NOW)
    assert told(alice.receive(node(1), Carried(newer.id, 0, 0, "render", [0, 1]), NOW)) == []
    assert told(alice.receive(node(1), Received(newer.id, 0), NOW)) == []
    assert not any(isinstance(each, LockGranted) for each in alice.acquire(1, "render", NOW))


# ---- stopped between a vote and the news of the view that it was for


def test_a_vote_of_who_is_a_quorum_alone_is_the_view_and_its_lease_begins_with_the_promise() -> None:
    """Else, stopped before it hears of the view, it would believe in its lock while those in the view drop it."""
    alice, view = a_participant(0), a_view(0, 1)
    alice.receive(node(1), Installed(view), NOW)
    (granted,) = (each for each in alice.acquire(1, "render", NOW) if isinstance(each, LockGranted))
    ballot, later = Ballot(1, node(1)), NOW + 50.0
    alice.receive(node(1), Prepare(view, ballot), later)
    assert alice.leases.valid_until == inf  # nothing can be decided without its vote
    wider = replace(a_view(0, 1, 2, epoch=8), held=(Held("render", node(0), granted.fence),))
    effects = alice.receive(node(1), Propose(view.id, ballot, wider), later + 1.0)
    assert Accepted(view.id, ballot) in told(effects) and ViewLearned(wider) in effects
    assert alice.leases.valid_until == later + LEASE_S and (alice.deadline or inf) <= later + LEASE_S
    assert TicketLost(1, "render", granted.fence) in alice.on_deadline(later + LEASE_S)


def test_who_has_voted_consents_to_no_lease_its_own_included() -> None:
    """Of three, those two that believe in the old view would else renew one another for ever, beside a new one."""
    alice, view = a_participant(0), a_view(0, 1, 2)
    alice.receive(node(1), Installed(view), NOW)
    ballot, renew = Ballot(1, node(2)), Renew(view.id, 1.0)
    alice.receive(node(2), Prepare(view, ballot), NOW + 50.0)
    assert told(alice.receive(node(1), renew, NOW + 50.0)) == [Renewed(view.id, 1.0)]
    alice.receive(node(1), Renewed(view.id, NOW + 50.0), NOW + 50.0)
    alice.receive(node(2), Propose(view.id, ballot, a_view(0, 1, 2, 3, epoch=8)), NOW + 51.0)
    assert told(alice.receive(node(1), renew, NOW + 51.0)) == []
    alice.receive(node(1), Renewed(view.id, NOW + 52.0), NOW + 52.0)  # of one that has not voted, and may say so
    assert alice.leases.valid_until == NOW + 51.0 + LEASE_S


def test_a_holder_keeps_its_lock_when_the_proposer_dies_after_the_votes() -> None:
    """Who has voted proposes again before the leases run out."""
    network = Network(4)
    network.acquire(1, ticket=1)
    network.run(LEASE_S)
    view = network.nodes[node(1)].agreement.view
    assert view is not None
    ballot = Ballot(1, node(3))
    for number in (0, 1, 2):
        voter = network.nodes[node(number)]
        voter.receive(node(3), Prepare(view, ballot), network.now)
        held = (Held("render", node(1), EPOCH << FENCE_BITS | 1),)
        wider = replace(a_view(0, 1, 2, 3, epoch=EPOCH + 1), held=held)
        voter.receive(node(3), Propose(view.id, ballot, wider), network.now)
    network.cut = {node(3)}
    network.run(LEASE_S)
    assert network.nodes[node(1)].agreement.view_id.epoch > EPOCH and not network.of(1, TicketLost)
