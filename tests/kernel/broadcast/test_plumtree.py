"""The machine, call by call: who is sent what, when a link joins or leaves the tree, and what is offered again."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.kernel.broadcast.bare import a_member, an_id

from guthi.api import NodeId
from guthi.broadcast.messages import Graft, MessageId, Note, Payload, Prune
from guthi.broadcast.plumtree import Deliver, Effect, Plumtree, Send
from guthi.broadcast.settings import BroadcastSettings
from guthi.membership.members import MemberJoined, MemberState, MemberSuspected

ME = an_id(0)
PEERS = sorted(an_id(number) for number in range(2, 6))  # each beside ME on one of the rings
A, B, C, D = PEERS
TREE = BroadcastSettings(direct_limit=0)


class Machine(Plumtree):
    """A node among four, all of which are neighbours; `waiting` says what waits for a peer."""

    def __init__(self, settings: BroadcastSettings = TREE, always_direct: bool = False) -> None:
        self.sees = {peer: a_member(peer) for peer in PEERS}
        self.waiting: dict[NodeId, int] = {}
        super().__init__(
            ME,
            1,
            lambda: [self.sees[peer] for peer in sorted(self.sees)],
            settings,
            Random(1),
            backlog=lambda peer: self.waiting.get(peer, 0),
            always_direct=always_direct,
        )

    def suspect(self, peer: NodeId) -> None:
        self.sees[peer] = replace(self.sees[peer], state=MemberState.SUSPECT)
        self.member_changed(MemberSuspected(self.sees[peer]), 0.0)


def a_payload(sequence: int = 1, *, origin: NodeId = A, direct: bool = False) -> Payload:
    return Payload(MessageId(origin, 5, sequence), 1, direct, "topic", b"body")


def pushed(effects: list[Effect]) -> list[NodeId]:
    return [effect.peer for effect in effects if isinstance(effect, Send) and isinstance(effect.message, Payload)]


def notes(effects: list[Effect]) -> dict[NodeId, Note]:
    return {each.peer: each.message for each in effects if isinstance(each, Send) and isinstance(each.message, Note)}


def test_a_message_is_pushed_on_to_all_but_its_source_and_told_once() -> None:
    machine = Machine()
    effects = machine.receive(A, a_payload(), 0.0)
    assert [each.payload for each in effects if isinstance(each, Deliver)] == [a_payload()]
    assert pushed(effects) == [B, C, D]
    assert machine.receive(B, a_payload(), 0.0) == [Send(B, Prune((a_payload().id,)))]


def test_who_pruned_or_was_pruned_is_sent_offers() -> None:
    machine = Machine()
    machine.receive(A, a_payload(1), 0.0)
    machine.receive(B, a_payload(1), 0.0)
    machine.receive(C, Prune((a_payload(1).id,)), 0.0)
    assert pushed(machine.receive(A, a_payload(2), 0.0)) == [D]
    said = notes(machine.on_deadline(TREE.note_s))
    assert list(said[B].offered) == list(said[C].offered) == [a_payload(2).id]
    assert said[A].known == (a_payload(1).id, a_payload(2).id)


def test_what_was_heard_of_and_does_not_come_is_grafted() -> None:
    machine = Machine()
    machine._links.set_eager(B, False)
    machine.receive(B, Note({a_payload().id: 4}), 0.0)
    assert machine.on_deadline(TREE.graft_s * 0.99) == []
    assert machine.on_deadline(TREE.graft_s * 2) == [Send(B, Graft((a_payload().id,)))]
    assert machine._links.is_eager(B)


def test_a_graft_is_answered_and_brings_the_link_into_the_tree() -> None:
    machine = Machine()
    machine.receive(A, a_payload(), 0.0)
    machine.receive(B, Prune((a_payload().id,)), 0.0)
    unknown = MessageId(D, 1, 1)
    assert machine.receive(B, Graft((a_payload().id, unknown)), 0.0) == [Send(B, a_payload())]
    assert machine._links.is_eager(B)


def test_what_nobody_confirms_is_offered_again_and_then_no_more() -> None:
    machine = Machine(replace(TREE, repeat_s=1.0, note_s=0.01))
    machine.broadcast("topic", b"body", 0.0)
    id = MessageId(ME, 1, 1)
    machine.receive(A, Note({}, (id,)), 0.1)
    machine.receive(B, Note({id: 4}), 0.1)
    machine.on_deadline(1.0)
    assert sorted(notes(machine.on_deadline(1.02))) == [C, D]
    machine.receive(C, Prune((id,)), 1.1)
    machine.receive(D, Note({}, (id,)), 1.1)
    assert machine.on_deadline(20.0) == []


def test_offers_that_cross_are_not_answered_but_repeated_ones_are() -> None:
    machine = Machine()
    for peer in PEERS[1:]:
        machine._links.set_eager(peer, False)
    machine.receive(A, a_payload(), 0.0)
    assert B in notes(machine.on_deadline(0.05))
    machine.receive(B, Note({a_payload().id: 4}), 0.06)
    assert B not in notes(machine.on_deadline(0.2))
    machine.receive(B, Note({a_payload().id: 4}), 1.2)
    assert notes(machine.on_deadline(1.3))[B] == Note({}, (a_payload().id,))


def test_a_peer_for_which_too_much_waits_is_sent_offers_and_grafts_in_vain() -> None:
    machine = Machine()
    machine.waiting[B] = TREE.backlog_bytes + 1
    assert pushed(machine.broadcast("topic", b"body", 0.0)) == [peer for peer in PEERS if peer != B]
    assert MessageId(ME, 1, 1) in notes(machine.on_deadline(0.05))[B].offered
    assert machine.receive(B, Graft((MessageId(ME, 1, 1),)), 0.1) == []
    machine.waiting[B] = 0
    assert pushed(machine.receive(B, Graft((MessageId(ME, 1, 1),)), 0.2)) == [B]


def test_a_broadcaster_is_full_until_somebody_has_what_it_sent() -> None:
    machine = Machine(replace(TREE, window_bytes=100))
    machine.broadcast("topic", bytes(101), 0.0)
    assert machine.is_full
    machine.receive(A, Note({}, (MessageId(ME, 1, 1),)), 0.1)
    assert not machine.is_full
    machine.broadcast("topic", bytes(101), 0.2)
    machine.on_deadline(0.2 + TREE.keep_s)
    assert not machine.is_full  # nobody is there; it is not kept any more


def test_alone_nothing_is_under_way() -> None:
    machine = Machine(replace(TREE, window_bytes=100))
    machine.sees.clear()
    assert machine.broadcast("topic", bytes(1000), 0.0) == []
    assert not machine.is_full


def test_few_are_sent_to_directly_and_do_not_pass_it_on() -> None:
    machine = Machine(BroadcastSettings(direct_limit=5))
    effects = machine.broadcast("topic", b"body", 0.0)
    assert pushed(effects) == PEERS
    assert all(effect.message.is_direct for effect in effects if isinstance(effect, Send))
    assert pushed(machine.receive(A, a_payload(direct=True), 0.0)) == []
    assert machine.receive(A, a_payload(direct=True), 0.0) == []  # no prune: there is no tree
    said = notes(machine.on_deadline(0.05))
    assert said == {A: Note({}, (a_payload().id,))}


def test_one_member_more_and_there_is_a_tree() -> None:
    machine = Machine(BroadcastSettings(direct_limit=4))
    effects = machine.broadcast("topic", b"body", 0.0)
    assert not any(effect.message.is_direct for effect in effects if isinstance(effect, Send))
    forced = Machine(BroadcastSettings(direct_limit=4), always_direct=True)
    assert all(effect.message.is_direct for effect in forced.broadcast("topic", b"", 0.0) if isinstance(effect, Send))


def test_the_messages_of_a_suspected_origin_are_offered_by_those_who_have_them() -> None:
    machine = Machine(BroadcastSettings(direct_limit=10))
    machine.receive(A, a_payload(1, direct=True), 0.0)
    machine.on_deadline(0.1)
    machine.suspect(A)
    assert [peer for peer, note in notes(machine.on_deadline(0.2)).items() if note.offered] == PEERS
    machine.receive(B, a_payload(2, direct=True), 0.3)  # one that comes later, by way of somebody else
    said = notes(machine.on_deadline(0.4))
    assert all(a_payload(2).id in said[peer].offered for peer in (C, D))


def test_a_new_neighbour_and_one_that_may_have_restarted_are_offered_what_is_kept() -> None:
    machine = Machine()
    machine.receive(A, a_payload(), 0.0)
    machine.on_deadline(0.1)
    newcomer = an_id(50)
    machine.sees[newcomer] = a_member(newcomer)
    machine.member_changed(MemberJoined(machine.sees[newcomer]), 0.2)
    assert a_payload().id in notes(machine.on_deadline(0.3))[newcomer].offered
    machine.receive(B, Prune((a_payload().id,)), 0.4)
    machine.connected(B, 0.5)
    assert a_payload().id in notes(machine.on_deadline(0.6))[B].offered


def test_a_suspected_link_leaves_the_tree() -> None:
    machine = Machine()
    machine.receive(A, a_payload(1), 0.0)
    machine.suspect(B)
    assert pushed(machine.receive(A, a_payload(2), 0.0)) == [C, D]


def test_own_messages_that_come_back_are_not_told() -> None:
    machine = Machine()
    machine.broadcast("topic", b"body", 0.0)
    mine = Payload(MessageId(ME, 1, 1), 1, False, "topic", b"body")
    assert not [each for each in machine.receive(A, mine, 0.0) if isinstance(each, Deliver)]
    former = replace(mine, id=MessageId(ME, 99, 1))
    assert not [each for each in machine.receive(A, former, 0.0) if isinstance(each, Deliver)]


def test_the_floor_follows_what_is_kept() -> None:
    machine = Machine()
    machine.broadcast("topic", b"1", 0.0)
    machine.broadcast("topic", b"2", 20.0)
    machine.on_deadline(TREE.keep_s + 1)
    (first, *_) = machine.broadcast("topic", b"3", TREE.keep_s + 1)
    assert isinstance(first, Send) and isinstance(first.message, Payload)
    assert (first.message.id.sequence, first.message.floor) == (3, 2)
