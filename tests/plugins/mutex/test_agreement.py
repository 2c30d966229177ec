"""Agreement on views: what is promised, accepted and learned, and that in bare worlds never two views follow one."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from tests.plugins.mutex.test_view import node

from guthi import NodeId
from guthi_mutex.agreement import Agreement, Effect, Remember, Tell, ViewLearned
from guthi_mutex.leases import DRIFT, Leases
from guthi_mutex.memory import Memory
from guthi_mutex.messages import Accepted, Ballot, Installed, Prepare, Promise, Propose, Refused, Vote, decode, encode
from guthi_mutex.view import Held, Policy, View, ViewId, Voter

POLICY = Policy("suzuki-kasami")
LEASE_S, PATIENCE_S = 3.0, 1.5
LATER = 100.0  # no lease from before the start is left


def a_view(members: str, epoch: int = 7, held: tuple[Held, ...] = ()) -> View:
    return View(ViewId(epoch, node(0)), tuple(Voter(node(int(each)), 0, POLICY) for each in members), held)


class Station:
    """One node's agreement, with leases of its own and locks that it says it holds."""

    def __init__(self, number: int, memory: Memory) -> None:
        self.id = node(number)
        self.memory = memory
        self.leases = Leases(self.id, LEASE_S, 0.0)
        self.leases.install(memory.view, 0.0)
        self.held: list[tuple[str, int]] = []
        self.is_frozen = False
        voter = Voter(self.id, memory.life, POLICY)
        self.agreement = Agreement(voter, memory, self.leases, self._freeze, PATIENCE_S)

    def _freeze(self) -> list[tuple[str, int]]:
        self.is_frozen = True
        return self.held


def told(effects: list[Effect], kind: type) -> list[tuple[NodeId, object]]:
    return [(each.to, each.message) for each in effects if isinstance(each, Tell) and isinstance(each.message, kind)]


def stations(members: str, count: int) -> list[Station]:
    view = a_view(members)
    return [Station(each, Memory(0, 7, view if str(each) in members else None)) for each in range(count)]


def test_a_promise_freezes_and_says_what_is_held() -> None:
    _, bob, _ = stations("012", 3)
    bob.held = [("render", 77)]
    effects = bob.agreement.receive(node(0), Prepare(a_view("012"), Ballot(1, node(0))), LATER)
    assert bob.is_frozen and bob.agreement.is_frozen
    assert isinstance(effects[0], Remember) and effects[0].memory.promised == Ballot(1, node(0))
    ((to, promise),) = told(effects, Promise)
    assert to == node(0)
    assert promise == Promise(a_view("012").id, Ballot(1, node(0)), 0, POLICY, 7, None, (("render", 77),))


def test_a_lesser_ballot_is_refused() -> None:
    _, bob, _ = stations("012", 3)
    bob.agreement.receive(node(2), Prepare(a_view("012"), Ballot(5, node(2))), LATER)
    effects = bob.agreement.receive(node(0), Prepare(a_view("012"), Ballot(4, node(0))), LATER)
    assert told(effects, Refused) == [(node(0), Refused(a_view("012").id, Ballot(4, node(0)), Ballot(5, node(2)), 0))]


def test_who_was_consented_to_is_not_dropped_before_time() -> None:
    _, bob, _ = stations("012", 3)
    bob.leases.consent(node(2), LATER)
    propose = Propose(a_view("012").id, Ballot(1, node(0)), a_view("01", 8))
    ((_, refused),) = told(bob.agreement.receive(node(0), propose, LATER + 1), Refused)
    assert isinstance(refused, Refused) and refused.wait_ms == pytest.approx((DRIFT * LEASE_S - 1) * 1000, abs=2)
    assert bob.is_frozen and not bob.agreement.may_renew(node(2)) and bob.agreement.may_renew(node(0))
    effects = bob.agreement.receive(node(0), propose, LATER + DRIFT * LEASE_S + 0.01)
    assert told(effects, Accepted)


def test_who_leaves_by_itself_is_not_waited_for() -> None:
    _, bob, _ = stations("012", 3)
    bob.leases.consent(node(2), LATER)
    without = replace(a_view("01", 8), id=ViewId(8, node(2)))
    propose = Propose(a_view("012").id, Ballot(1, node(2)), without)
    assert told(bob.agreement.receive(node(2), propose, LATER), Accepted)


def test_who_proposes_what_another_made_without_it_is_waited_for() -> None:
    _, bob, _ = stations("012", 3)
    bob.leases.consent(node(2), LATER)
    propose = Propose(a_view("012").id, Ballot(1, node(2)), a_view("01", 8))
    assert told(bob.agreement.receive(node(2), propose, LATER), Refused)


def test_a_life_that_is_over_is_waited_for_as_its_clients_may_not_know() -> None:
    _, bob, _ = stations("012", 3)
    bob.leases.consent(node(2), LATER)
    again = replace(a_view("012", 8), voters=(*a_view("01").voters, Voter(node(2), 1, POLICY)))
    propose = Propose(a_view("012").id, Ballot(1, node(2)), again)
    assert told(bob.agreement.receive(node(2), propose, LATER + 1), Refused)
    assert told(bob.agreement.receive(node(2), propose, LATER + DRIFT * LEASE_S + 0.01), Accepted)


def test_who_is_to_be_left_out_may_hold_nothing_and_waits_for_its_own_clients() -> None:
    _, bob, _ = stations("012", 3)
    before = bob.agreement.is_left_out
    propose = Propose(a_view("012").id, Ballot(1, node(0)), a_view("02", 8))
    assert told(bob.agreement.receive(node(0), propose, LATER), Refused)
    assert (before, bob.agreement.is_left_out) == (False, True)
    assert told(bob.agreement.receive(node(0), propose, LATER + 1), Refused)
    assert told(bob.agreement.receive(node(0), propose, LATER + DRIFT * LEASE_S + 0.01), Accepted)


def test_a_vote_is_remembered_before_it_is_told() -> None:
    _, bob, _ = stations("012", 3)
    effects = bob.agreement.receive(node(0), Propose(a_view("012").id, Ballot(1, node(0)), a_view("01", 8)), LATER)
    kinds = [type(each) for each in effects]
    assert kinds.index(Remember) < kinds.index(Tell)


def test_a_proposer_takes_over_the_vote_of_the_greatest_ballot() -> None:
    alice, *_ = stations("01234", 5)
    effects = alice.agreement.propose([node(1), node(2)], LATER)
    ballot = Ballot(1, node(0))
    assert [to for to, _ in told(effects, Prepare)] == [node(1), node(2)]
    first, second = a_view("01", 8), a_view("02", 8)
    for sender, vote in ((1, (Ballot(0, node(1)), first)), (2, (Ballot(0, node(2)), second))):
        promise = Promise(a_view("01234").id, ballot, 0, POLICY, 7, Vote(*vote), ())
        effects = alice.agreement.receive(node(sender), promise, LATER)
    assert {message.view for _, message in told(effects, Propose) if isinstance(message, Propose)} == {second}


def test_a_new_view_has_those_who_promised_and_what_they_hold() -> None:
    alice, bob, carol, dave = stations("012", 4)
    bob.held = [("render", 77)]
    views = run([alice, bob, carol, dave], alice.agreement.propose([node(1), node(2), node(3)], LATER), alice, LATER)
    (view,) = views
    assert view.members == tuple(node(number) for number in range(4))
    assert view.held == (Held("render", node(1), 77),)
    assert view.id == ViewId(8, node(0))
    assert all(each.agreement.view == view and each.agreement.is_member for each in (alice, bob, carol, dave))


def test_who_did_not_promise_is_left_out_and_is_told() -> None:
    alice, bob, carol = stations("012", 3)
    carol.held = [("render", 77)]
    run([alice, bob], alice.agreement.propose([node(1), node(2)], LATER), alice, LATER)
    (view,) = run([alice, bob], alice.agreement.on_deadline(LATER + PATIENCE_S), alice, LATER + PATIENCE_S)
    assert view.members == (node(0), node(1)) and view.held == ()
    effects = carol.agreement.receive(node(0), Installed(view), LATER + 2)
    assert ViewLearned(view) in effects
    assert carol.agreement.view is None and carol.agreement.newest == view and not carol.agreement.is_blank


def test_a_minority_decides_nothing() -> None:
    alice, bob, *_ = stations("01234", 5)
    assert not run([alice, bob], alice.agreement.propose([node(1)], LATER), alice, LATER)
    assert not run([alice, bob], alice.agreement.on_deadline(LATER + PATIENCE_S), alice, LATER + PATIENCE_S)
    assert not alice.agreement.is_proposing


def test_a_restarted_voter_votes_and_is_another_life() -> None:
    alice, bob, carol = stations("012", 3)
    again = Station(2, replace(carol.memory, life=1))
    assert not again.agreement.is_member and again.agreement.view is not None
    (view,) = run([alice, bob, again], again.agreement.propose([node(0), node(1)], LATER), again, LATER)
    assert view.lives[node(2)] == 1
    assert again.agreement.is_member


def test_the_first_view_needs_as_many_as_are_required() -> None:
    blank = [Station(number, Memory(0)) for number in range(3)]
    alice = blank[0]
    invited = [node(1), node(2)]
    assert not run(blank[:2], alice.agreement.propose(invited, LATER, required=3, first_epoch=50), alice, LATER)
    alice.agreement.abort()
    (view,) = run(blank, alice.agreement.propose(invited, LATER, required=3, first_epoch=50), alice, LATER)
    assert view.id.epoch == 50 and len(view.members) == 3


def test_epochs_grow_beyond_all_that_were_heard_of() -> None:
    blank = [Station(0, Memory(0)), Station(1, Memory(0, floor=900))]
    (view,) = run(blank, blank[0].agreement.propose([node(1)], LATER, required=2, first_epoch=50), blank[0], LATER)
    assert view.id.epoch == 901


def test_a_newer_lineage_wins_and_an_older_is_shown_it() -> None:
    alice, *_ = stations("012", 3)
    newer = View(ViewId(9, node(4)), (Voter(node(4), 0, POLICY),))
    effects = alice.agreement.receive(node(4), Prepare(newer, Ballot(1, node(4))), LATER)
    assert ViewLearned(newer) in effects and told(effects, Promise)
    effects = alice.agreement.receive(node(1), Prepare(a_view("012"), Ballot(1, node(1))), LATER)
    assert told(effects, Installed) == [(node(1), Installed(newer))]


def run(network: list[Station], effects: list[Effect], source: Station, now: float) -> list[View]:
    """Deliver at once what is said to those of the network; returns the views that the source learned."""
    stations = {each.id: each for each in network}
    under_way = [(source.id, each) for each in effects]
    views = []
    while under_way:
        sender, effect = under_way.pop(0)
        if isinstance(effect, ViewLearned) and sender == source.id:
            views.append(effect.view)
        if isinstance(effect, Tell) and effect.to in stations:
            message = decode(encode(effect.message))
            answers = stations[effect.to].agreement.receive(sender, message, now)
            under_way += [(effect.to, each) for each in answers]
    return views


@pytest.mark.parametrize("seed", range(150))
def test_one_view_follows_a_view(seed: int) -> None:
    """All propose against one another; messages are lost, doubled and reordered; nodes crash and remember."""
    random = Random(seed)
    count = random.randint(2, 6)
    members = "".join(map(str, range(count)))
    nodes = {node(number): Station(number, Memory(0, 7, a_view(members))) for number in range(count)}
    decided: dict[ViewId, set[View]] = {}
    under_way: list[tuple[NodeId, Tell]] = []
    now = LATER

    def act(id: NodeId, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Remember):
                nodes[id].memory = effect.memory
            elif isinstance(effect, ViewLearned):
                decided.setdefault(ViewId(effect.view.id.epoch, node(0)), set()).add(effect.view)
                nodes[id].leases.install(nodes[id].agreement.view, now)
            else:
                under_way.extend([(id, effect)] * random.choice([1, 1, 1, 2, 0]))

    for _ in range(400):
        now += random.uniform(0, 0.2)
        id = random.choice(list(nodes))
        if random.random() < 0.05 and nodes[id].agreement.view is not None:
            act(id, nodes[id].agreement.propose([each for each in nodes if random.random() < 0.8], now))
        elif random.random() < 0.01:
            memory = replace(nodes[id].memory, life=nodes[id].memory.life + 1)
            nodes[id] = Station(list(nodes).index(id), memory)
        elif random.random() < 0.1:
            act(id, nodes[id].agreement.on_deadline(now))
        elif under_way:
            sender, tell = under_way.pop(random.randrange(min(len(under_way), 10)))
            act(tell.to, nodes[tell.to].agreement.receive(sender, tell.message, now))
    assert all(len(views) == 1 for views in decided.values())


def test_the_bare_worlds_do_decide() -> None:
    """So that the test above shows something: with a proposer alone, a view is decided."""
    network = stations("01234", 5)
    assert run(network, network[0].agreement.propose([each.id for each in network], LATER), network[0], LATER)
