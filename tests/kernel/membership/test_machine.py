"""The membership machine: call by call, and in a seeded network with loss, duplicates, reordering and partitions."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Address, NodeId
from guthi.errors import MalformedMessage, UnknownMember, UsageError
from guthi.membership.gossip import (
    Comparison,
    Gossip,
    Hello,
    Message,
    Refusal,
    Welcome,
    decode_message,
    encode_message,
)
from guthi.membership.machine import (
    Effect,
    IncompatibleMember,
    JoinAnswered,
    JoinRefused,
    Membership,
    NameConflict,
    RequestSync,
    SendGossip,
)
from guthi.membership.members import (
    INCARNATION_LIMIT,
    Member,
    MemberEvent,
    MemberFailed,
    MemberJoined,
    MemberLeft,
    MemberRecovered,
    MemberState,
    MemberSuspected,
    MemberUpdated,
    Role,
)
from guthi.membership.records import decode_records, encode_record
from guthi.membership.settings import Discovery, GossipSettings
from guthi.membership.verdict import Verdict
from guthi.security.identity import node_id_of

T = TypeVar("T")
STATIC = GossipSettings(discovery=Discovery.STATIC)
MEMBER_IS_BACK = {MemberState.FAILED: MemberRecovered, MemberState.LEFT: MemberJoined}


def address_of(number: int) -> Address:
    return Address(f"10.0.{number >> 8}.{number & 255}", 6969)


def number_of(address: Address) -> int:
    high, low = address.host.split(".")[2:]
    return int(high) << 8 | int(low)


def member(number: int, *, name: str | None = None, incarnation: int = 0, protocol: int = 1) -> Member:
    key = number.to_bytes(32, "big")
    return Member(
        id=node_id_of(key),
        name=name or f"node{number}",
        addresses=(address_of(number),),
        zone="lab",
        role=Role.PEER,
        incarnation=incarnation,
        state=MemberState.ALIVE,
        public_key=key,
        protocol=protocol,
        plugins=(("rpc", "0.1.0"),),
    )


def machine(number: int = 1, settings: GossipSettings | None = None) -> Membership:
    return Membership(member(number), random.Random(number), settings)


def of_kind(effects: Iterable[object], kind: type[T]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def messages_in(effects: Sequence[Effect]) -> list[tuple[Address, Message]]:
    return [(effect.address, decode_message(effect.payload)) for effect in of_kind(effects, SendGossip)]


def sent(effects: Sequence[Effect]) -> list[tuple[Address, Message]]:
    """All but comparisons, which come by their own clock."""
    return [(to, message) for to, message in messages_in(effects) if not isinstance(message, Comparison)]


def compared(effects: Sequence[Effect]) -> list[Comparison]:
    return [message for _, message in messages_in(effects) if isinstance(message, Comparison)]


def with_state(record: Member, state: MemberState) -> Member:
    return replace(record, state=state)


def accused(record: Member, state: MemberState, by: int = 1) -> Member:
    """As `accuse` makes it where nothing else is said."""
    return replace(record, state=state, verdict=Verdict(member(by).id, "direct", "no reason given"))


# Joining


def test_join_says_hello_to_each_address_but_not_to_itself() -> None:
    me = machine(1)
    effects = me.join([address_of(1), address_of(2), address_of(3)], 10.0)
    assert sent(effects) == [(address_of(2), Hello(me.me)), (address_of(3), Hello(me.me))]


def test_hello_is_repeated_with_back_off_up_to_the_limit() -> None:
    me = machine(1)
    me.join([address_of(2)], 0.0)
    times = []
    for _ in range(10):
        assert me.deadline is not None
        times.append(me.deadline)
        assert sent(me.on_deadline(me.deadline)) == [(address_of(2), Hello(me.me))]
    gaps = [after - before for before, after in zip([0.0, *times], times, strict=False)]
    expected = [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    assert all(0.75 * want <= gap <= 1.25 * want for gap, want in zip(gaps, expected, strict=True))


def test_hello_is_answered_to_its_source_and_admits_its_sender() -> None:
    me, source = machine(1), Address("192.0.2.7", 4000)
    effects = me.receive(Hello(member(2)), source, 0.0)
    assert of_kind(effects, MemberJoined) == [MemberJoined(member(2))]
    assert sent(effects) == [(source, Welcome(me.me))]
    assert me.alive() == [member(2)]


def test_a_member_is_sent_to_where_it_spoke_from_until_it_moves() -> None:
    me, source = machine(1), Address("192.0.2.7", 4000)
    me.receive(Hello(member(2)), source, 0.0)
    [(address, _)] = sent(me.on_deadline(1.0))
    assert address == source
    moved = replace(member(2, incarnation=1), addresses=(address_of(77),))
    me.receive(Gossip((moved,)), address_of(3), 2.0)
    [(address, _)] = sent(me.on_deadline(3.0))
    assert address == address_of(77)


def test_where_a_member_speaks_from_its_own_address_its_words_from_elsewhere_do_not_lead_away() -> None:
    """Somebody may have recorded them, and sent them again."""
    me, elsewhere = machine(1), Address("192.0.2.7", 4000)
    me.receive(Welcome(member(2)), address_of(2), 0.0)
    for message in (Hello(member(2)), Welcome(member(2)), Comparison(member(2), 0)):
        me.receive(message, elsewhere, 1.0)
    assert me.address_of(member(2)) == address_of(2)
    me.moved(member(2).id, elsewhere)  # a session proves it
    assert me.address_of(member(2)) == elsewhere


def test_who_started_again_elsewhere_is_found_there_before_it_has_taken_a_new_incarnation() -> None:
    me = machine(1)
    me.receive(Welcome(member(2, incarnation=5)), address_of(2), 0.0)
    me.receive(Hello(replace(member(2), addresses=(address_of(77),))), address_of(77), 1.0)
    assert me.address_of(member(2, incarnation=5)) == address_of(77)


def test_the_first_answer_joins_and_asks_for_a_sync() -> None:
    me = machine(1)
    me.join([address_of(2), address_of(3)], 0.0)
    effects = me.receive(Welcome(member(2), (member(4),)), address_of(2), 0.1)
    assert effects == [
        MemberJoined(member(4)),
        MemberJoined(member(2)),
        JoinAnswered(member(2), address_of(2)),
        RequestSync(member(2)),
    ]
    again = me.receive(Welcome(member(2)), address_of(2), 0.2)
    assert again == []


def test_an_answer_from_another_interface_counts_for_the_address_that_was_called() -> None:
    me = machine(1)
    me.join([address_of(2)], 0.0)
    effects = me.receive(Welcome(member(2)), Address("192.0.2.7", 6969), 0.1)
    assert JoinAnswered(member(2), address_of(2)) in effects


def hellos_to(me: Membership, address: Address, until: float) -> list[float]:
    times = []
    while me.deadline is not None and me.deadline < until:
        now = me.deadline
        times += [now for to, message in sent(me.on_deadline(now)) if to == address and isinstance(message, Hello)]
    return times


def test_once_joined_the_silent_addresses_are_tried_slowly_and_the_answered_no_more() -> None:
    me = machine(1)
    me.join([address_of(2), address_of(3)], 0.0)
    me.receive(Welcome(member(2)), address_of(2), 0.01)
    to_silent = hellos_to(me, address_of(3), until=300.0)
    assert 8 <= len(to_silent) <= 14
    assert hellos_to(me, address_of(2), until=600.0) == []


def test_an_address_is_tried_again_when_who_lived_there_has_left() -> None:
    me = machine(1)
    me.join([address_of(2)], 0.0)
    me.receive(Welcome(member(2)), address_of(2), 0.01)
    me.receive(Gossip((with_state(member(2, incarnation=1), MemberState.LEFT),)), address_of(2), 1.0)
    assert hellos_to(me, address_of(2), until=60.0)
    effects = me.receive(Welcome(member(5)), address_of(2), 60.0)
    assert JoinAnswered(member(5), address_of(2)) in effects


def test_ones_own_hello_coming_back_crosses_the_address_off() -> None:
    me = machine(1)
    alias = Address("127.0.0.1", 6969)
    me.join([alias], 0.0)
    assert me.receive(Hello(me.me), alias, 0.01) == []
    assert me.deadline is None


def test_a_record_that_others_would_refuse_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="name"):
        Membership(member(1, name="n" * 65), random.Random(1))
    me = machine(1)
    with pytest.raises(UsageError, match="plugin"):
        me.update_me(plugins=[("rpc", "1"), ("rpc", "2")])
    assert me.me == member(1)


# Records and events


def test_all_of_one_name_and_their_order() -> None:
    me = machine(1)
    first, second = sorted((member(2, name="twin"), member(3, name="twin")), key=lambda m: m.id)
    assert me.by_name("twin") is None
    me.receive(Hello(second), address_of(3), 0.0)
    effects = me.receive(Hello(first), address_of(2), 0.0)
    assert of_kind(effects, NameConflict) == [NameConflict(first, second)]
    assert me.by_name("twin") == first
    again = me.receive(Hello(replace(first, incarnation=1)), address_of(2), 0.0)
    assert of_kind(again, NameConflict) == []
    me.accuse(first.id, MemberState.FAILED, 1.0)
    assert me.by_name("twin") == second


def test_a_namesake_of_oneself_is_a_conflict_too() -> None:
    me = machine(1)
    effects = me.receive(Hello(member(2, name="node1")), address_of(2), 0.0)
    assert len(of_kind(effects, NameConflict)) == 1


def test_another_protocol_is_kept_out_and_named_once() -> None:
    me = machine(1)
    stranger = member(2, protocol=2)
    effects = me.receive(Hello(stranger), address_of(2), 0.0)
    [refusal] = of_kind(effects, IncompatibleMember)
    assert refusal.member == stranger
    assert "protocol 2" in refusal.reason
    assert me.alive() == []
    assert of_kind(me.receive(Hello(stranger), address_of(2), 1.0), IncompatibleMember) == []


def test_those_kept_out_are_remembered_within_the_bound() -> None:
    me = machine(1, GossipSettings(max_members=2))
    strangers = Gossip(tuple(member(number, protocol=2) for number in range(2, 9)))
    assert len(me.receive(strangers, address_of(2), 0.0)) == 2


def test_updates_are_told_once() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    updated = replace(member(2, incarnation=1), plugins=())
    assert me.receive(Gossip((updated,)), address_of(2), 0.0) == [MemberUpdated(updated)]
    assert me.receive(Gossip((updated, member(2))), address_of(2), 0.0) == []


def test_update_me_is_spread() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    me.update_me(plugins=[("rpc", "0.2"), ("mutex", "1.0")], addresses=(address_of(50),))
    assert me.me.plugins == (("mutex", "1.0"), ("rpc", "0.2"))
    assert me.me.incarnation == 1
    [(_, gossip)] = sent(me.on_deadline(1.0))
    assert me.me in gossip.records


def test_the_table_is_bounded() -> None:
    me = machine(1, GossipSettings(max_members=3))
    for number in range(2, 9):
        me.receive(Hello(member(number)), address_of(number), 0.0)
    assert len(me.members) == 3
    assert me.receive(Gossip((replace(member(2, incarnation=1), zone="z"),)), address_of(2), 0.0) != []


def test_in_a_full_table_the_longest_gone_make_room_for_those_that_come_and_not_for_the_gone() -> None:
    me = machine(1, GossipSettings(max_members=4))
    for number in (2, 3, 4):
        me.receive(Hello(member(number)), address_of(number), 0.0)
    for moment, number in ((1.0, 3), (2.0, 2)):
        me.accuse(member(number).id, MemberState.FAILED, moment)
    assert me.receive(Gossip((accused(member(7), MemberState.FAILED),)), address_of(4), 3.0) == []
    assert me.receive(Hello(member(5)), address_of(5), 3.0)[0] == MemberJoined(member(5))
    assert {each.name for each in me.members.values()} == {"node1", "node2", "node4", "node5"}
    me.receive(Gossip((member(6),)), address_of(5), 4.0)
    assert {each.name for each in me.members.values()} == {"node1", "node4", "node5", "node6"}
    me.receive(Gossip((member(7),)), address_of(5), 4.0)
    assert len(me.members) == 4 and me.get(member(7).id) is None


def test_names_that_change_without_end_are_not_all_remembered() -> None:
    me = machine(1, GossipSettings(max_members=8))
    for number in range(2, 8):
        me.receive(Hello(member(number)), address_of(number), 0.0)
    told = 0
    for incarnation in range(1, 20):
        for number in range(2, 8):
            name = f"node{2 + (number + incarnation) % 6}"
            told += len(
                of_kind(
                    me.receive(Gossip((member(number, name=name, incarnation=incarnation),)), address_of(2), 1.0),
                    NameConflict,
                )
            )
    assert 0 < told <= 8


def test_welcomes_that_nobody_asked_for_do_not_open_sessions_without_end() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    syncs = sum(
        len(of_kind(me.receive(Welcome(member(number)), address_of(number), number / 1000), RequestSync))
        for number in range(3, 1003)
    )
    assert syncs <= 1 + 1.0 / GossipSettings().sync_spacing_s


def test_a_record_of_ones_own_that_is_too_long_is_refused_with_the_mend() -> None:
    plugins = tuple((f"{number:02}" + "n" * 60, "v" * 60) for number in range(60))
    with pytest.raises(UsageError, match=r"it has .* bytes, and 4096 are allowed; shorten"):
        Membership(replace(member(1), plugins=plugins), random.Random(1))


# Accusation and refutation


def test_an_accusation_is_an_event_is_spread_and_told_to_the_accused() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    me.receive(Hello(member(3)), address_of(3), 0.0)
    suspect = accused(member(2), MemberState.SUSPECT)
    effects = me.accuse(member(2).id, MemberState.SUSPECT, 1.0)
    assert of_kind(effects, MemberEvent) == [MemberSuspected(suspect)]
    assert sent(effects) == [(address_of(2), Gossip((suspect,)))]
    assert me.accuse(member(2).id, MemberState.SUSPECT, 1.0) == []
    assert all(suspect in message.records for _, message in sent(me.on_deadline(2.0)))
    failed = accused(member(2), MemberState.FAILED)
    assert of_kind(me.accuse(member(2).id, MemberState.FAILED, 3.0), MemberEvent) == [MemberFailed(failed)]
    assert me.alive() == [member(3)]
    assert me.get(member(2).id) == failed


def test_a_failed_member_that_answers_a_knock_is_synced_with_at_once() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    me.accuse(member(2).id, MemberState.FAILED, 1.0)
    back = member(2, incarnation=1)
    assert me.receive(Welcome(back), address_of(2), 2.0) == [MemberRecovered(back), RequestSync(back)]
    assert me.receive(Welcome(back), address_of(2), 2.1) == []


def test_misuse_of_accuse() -> None:
    me = machine(1)
    with pytest.raises(UnknownMember):
        me.accuse(member(2).id, MemberState.FAILED, 0.0)
    with pytest.raises(UsageError, match="itself"):
        me.accuse(me.me.id, MemberState.FAILED, 0.0)
    with pytest.raises(UsageError, match="LEFT"):
        me.accuse(me.me.id, MemberState.LEFT, 0.0)
    me.merge([member(3)], 0.0)
    me.merge([with_state(member(3), MemberState.LEFT)], 0.0)
    with pytest.raises(UsageError, match="node3 has left"):
        me.accuse(member(3).id, MemberState.FAILED, 0.0)


@pytest.mark.parametrize("state", [MemberState.SUSPECT, MemberState.FAILED, MemberState.LEFT])
def test_the_accused_refutes_and_answers_the_accuser_at_once(state: MemberState) -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    effects = me.receive(Gossip((with_state(me.me, state),)), address_of(2), 1.0)
    assert me.me == member(1, incarnation=1)
    assert sent(effects) == [(address_of(2), Gossip((me.me,)))]
    assert me.deadline is not None
    assert me.deadline <= 1.0


def test_a_stale_accusation_is_answered_without_a_new_incarnation() -> None:
    me = machine(1)
    me.update_me(plugins=[])
    effects = me.receive(Gossip((with_state(member(1), MemberState.FAILED),)), address_of(2), 1.0)
    assert me.me.incarnation == 1
    assert sent(effects) == [(address_of(2), Gossip((me.me,)))]


def test_what_one_said_before_a_restart_is_overridden() -> None:
    me = machine(1)
    me.merge([member(1, incarnation=7)], 0.0)
    assert me.me.incarnation == 8
    other_plugins = replace(me.me, plugins=())
    me.merge([other_plugins], 0.0)
    assert me.me.incarnation == 9
    me.merge([member(1, incarnation=3)], 0.0)
    assert me.me.incarnation == 9


def test_an_incarnation_that_cannot_be_beaten_is_let_be() -> None:
    me = machine(1)
    me.merge([with_state(member(1, incarnation=INCARNATION_LIMIT - 1), MemberState.FAILED)], 0.0)
    assert me.me == member(1)


def test_one_that_is_heard_though_accused_is_told_of_it_but_not_at_each_word() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    assert me.vouch(member(2).id, 0.5) == []
    me.accuse(member(2).id, MemberState.FAILED, 1.0)
    failed = accused(member(2), MemberState.FAILED)
    assert sent(me.vouch(member(2).id, 2.0)) == [(address_of(2), Gossip((failed,)))]
    assert me.vouch(member(2).id, 2.1) == []
    assert sent(me.vouch(member(2).id, 2.3)) == [(address_of(2), Gossip((failed,)))]


def test_a_restarted_member_learns_of_its_past_by_hello_welcome_and_session() -> None:
    me = machine(1)
    me.receive(Hello(member(2, incarnation=4)), address_of(2), 0.0)
    me.accuse(member(2).id, MemberState.FAILED, 1.0)
    past = accused(member(2, incarnation=4), MemberState.FAILED)
    [(_, welcome)] = sent(me.receive(Hello(member(2)), address_of(2), 2.0))
    assert past in welcome.records
    assert sent(me.receive(Welcome(member(2)), address_of(2), 3.0)) == [(address_of(2), Gossip((past,)))]
    assert sent(me.met(member(2), 4.0)) == [(address_of(2), Gossip((past,)))]
    effects = me.met(member(2, incarnation=5), 5.0)
    assert effects == [MemberRecovered(member(2, incarnation=5))]


# Comparisons and syncs


def comparison_of(node: Membership) -> Comparison:
    while True:
        assert node.deadline is not None
        for comparison in compared(node.on_deadline(node.deadline)):
            return comparison


def test_equal_tables_open_no_session() -> None:
    one, two = machine(1), machine(2)
    one.receive(Hello(two.me), address_of(2), 0.0)
    two.receive(Hello(one.me), address_of(1), 0.0)
    assert two.receive(comparison_of(one), address_of(1), 5.0) == []


def test_who_sees_a_difference_asks_for_a_sync_but_not_for_two_at_once() -> None:
    one, two = machine(1), machine(2)
    one.merge([two.me, member(3)], 0.0)
    two.receive(Hello(one.me), address_of(1), 0.0)
    comparison = comparison_of(one)
    assert two.receive(comparison, address_of(1), 5.0) == [RequestSync(one.me)]
    assert two.receive(comparison, address_of(1), 5.01) == []
    assert two.receive(comparison, address_of(1), 5.1) == [RequestSync(one.me)]


def test_a_comparison_introduces_its_sender() -> None:
    one, two = machine(1), machine(2)
    one.merge([two.me], 0.0)
    effects = two.receive(comparison_of(one), Address("192.0.2.7", 4000), 5.0)
    assert effects == [MemberJoined(one.me)]  # and with that they agree
    assert two.address_of(one.me) == Address("192.0.2.7", 4000)


@pytest.mark.parametrize("state", [MemberState.FAILED, MemberState.LEFT])
def test_who_compares_though_thought_gone_is_told_so_and_synced_with_when_it_has_refuted(state: MemberState) -> None:
    one, two = machine(1), machine(2)
    one.merge([two.me, member(3)], 0.0)
    gone = with_state(one.me, state)
    two.receive(Hello(one.me), address_of(1), 0.0)
    two.receive(Gossip((gone,)), address_of(3), 1.0)
    effects = two.receive(comparison_of(one), address_of(1), 5.0)
    assert sent(effects) == [(address_of(1), Gossip((gone,)))]
    assert of_kind(effects, RequestSync) == []
    one.receive(Gossip((gone,)), address_of(2), 5.1)
    assert two.receive(comparison_of(one), address_of(1), 6.0) == [MEMBER_IS_BACK[state](one.me), RequestSync(one.me)]


def test_ones_own_comparison_coming_back_is_not_answered() -> None:
    me = machine(1)
    me.merge([member(2)], 0.0)
    comparison = comparison_of(me)
    me.merge([member(3)], 5.0)
    assert me.receive(comparison, address_of(1), 6.0) == []


def sync(near: Membership, far: Membership, now: float) -> list[Effect]:
    """As the node does it; returns the effects on the near side."""
    records, wanted = far.comparing.answer(near.comparing.digest())
    effects = near.merge(decode_records(records), now)
    far.merge(decode_records(near.comparing.requested(wanted)), now)
    return effects


def test_a_sync_makes_the_tables_equal_whoever_begins() -> None:
    one, two = machine(1), machine(2)
    one.merge([member(3), member(4, incarnation=2), member(5)], 0.0)
    two.merge([member(4), member(5), member(6)], 0.0)
    two.merge([with_state(member(5), MemberState.LEFT)], 0.1)
    sync(one, two, 1.0)
    assert one.snapshot() == two.snapshot()
    assert {record.name for record in one.alive()} == {"node2", "node3", "node4", "node6"}


def test_a_newcomer_does_not_spread_what_is_new_to_it_only() -> None:
    newcomer, old = machine(1), machine(2)
    old.merge([member(number) for number in range(3, 40)], 0.0)
    joined_ids = {effect.member.id for effect in of_kind(sync(newcomer, old, 1.0), MemberJoined)}
    assert joined_ids == {member(number).id for number in range(2, 40)}
    assert sent(newcomer.on_deadline(1.5)) == []
    told = {record.id for _, message in sent(old.on_deadline(1.5)) for record in message.records}
    assert newcomer.me.id in told


def test_two_halves_spread_what_they_learn_of_each_other() -> None:
    one, two = machine(1), machine(2)
    one.merge([member(number) for number in range(3, 23)], 0.0)
    two.merge([member(number) for number in range(23, 43)], 0.0)
    sync(one, two, 1.0)
    told = {record.id for _, message in sent(one.on_deadline(1.5)) for record in message.records}
    assert told & {member(number).id for number in range(23, 43)}


def test_after_a_sync_that_brought_much_the_next_comparison_is_soon() -> None:
    me = machine(1)
    me.merge([member(2)], 0.0)
    while me.deadline is not None and me.deadline < 100.0:
        me.on_deadline(me.deadline)
    me.merge([member(number) for number in range(100, 200)], 100.0)
    times = []
    while me.deadline is not None and me.deadline < 102.0:
        now = me.deadline
        times += [now for _ in compared(me.on_deadline(now))]
    assert times and 100.375 <= times[0] <= 100.625


def test_syncs_are_bounded() -> None:
    one = machine(1, GossipSettings(sync_budget_bytes=1000))
    one.merge([member(number) for number in range(3, 203)], 0.0)
    records, wanted = one.comparing.answer(machine(2).comparing.digest())
    assert len(records) <= 1100 and wanted == machine(2).me.id
    assert len(one.comparing.requested(b"".join(one.members))) <= 1100


def test_a_failure_that_a_sync_tells_of_is_a_suspicion_first_and_the_member_is_asked() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    failed = accused(member(2), MemberState.FAILED, by=3)
    suspect = replace(failed, state=MemberState.SUSPECT)
    effects = me.merge([failed], 1.0)
    assert of_kind(effects, MemberEvent) == [MemberSuspected(suspect)]
    assert sent(effects) == [(address_of(2), Gossip((suspect,)))]
    assert me.merge([failed], 2.0) == []  # the same news by another way, before it can have answered
    assert of_kind(me.merge([failed], 7.0), MemberEvent) == [MemberFailed(failed)]


def test_so_it_stays_one_that_gossip_has_just_called_a_suspect() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    me.receive(Gossip((accused(member(2), MemberState.SUSPECT, by=3),)), address_of(3), 1.0)
    failed = accused(member(2), MemberState.FAILED, by=4)
    assert of_kind(me.merge([failed], 2.0), MemberEvent) == []
    assert of_kind(me.merge([failed], 7.0), MemberEvent) == [MemberFailed(failed)]


def test_by_gossip_a_failure_is_news_and_no_suspicion() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    failed = accused(member(2), MemberState.FAILED, by=3)
    assert of_kind(me.receive(Gossip((failed,)), address_of(3), 1.0), MemberEvent) == [MemberFailed(failed)]


def test_those_that_failed_lately_are_told_of_it_by_gossip() -> None:
    me = machine(1)
    for number in (2, 3):
        me.receive(Hello(member(number)), address_of(number), 0.0)
    me.accuse(member(2).id, MemberState.FAILED, 1.0)
    told = [message.records[0] for to, message in sent(me.on_deadline(1.0)) if to == address_of(2)]
    assert told == [accused(member(2), MemberState.FAILED)]
    me.update_me(plugins=[])
    audience = [to for to, message in sent(me.on_deadline(60.0)) if isinstance(message, Gossip)]
    assert audience == [address_of(3)]


def test_one_that_cannot_be_a_member_is_told_why() -> None:
    me = machine(1)
    effects = me.receive(Hello(member(2, protocol=2)), address_of(2), 0.0)
    reason = "it speaks protocol 1 and this node 2; install the same version of guthi on both"
    assert sent(effects) == [(address_of(2), Refusal(me.me, reason))]
    assert len(of_kind(effects, IncompatibleMember)) == 1
    assert me.get(member(2).id) is None


def test_a_refusal_is_told_with_the_reason_as_this_node_sees_it_or_else_as_it_was_said() -> None:
    me = machine(1)
    [_, refused] = me.receive(Refusal(member(2, protocol=2), "you are 1"), address_of(2), 0.0)
    assert refused == JoinRefused(
        member(2, protocol=2),
        address_of(2),
        "it speaks protocol 2 and this node 1; install the same version of guthi on both",
    )
    assert me.receive(Refusal(member(3), "no room"), address_of(3), 0.0)[-1] == JoinRefused(
        member(3), address_of(3), "no room"
    )


def test_a_member_that_becomes_incompatible_is_gone_here_and_not_said_to_have_left() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    fingerprint = machine(1).comparing.digest()
    effects = me.receive(Gossip((member(2, incarnation=1, protocol=2),)), address_of(3), 1.0)
    assert of_kind(effects, MemberEvent) == [MemberLeft(with_state(member(2), MemberState.LEFT))]
    assert me.get(member(2).id) is None
    assert me.comparing.digest() == fingerprint


def test_how_often_the_dead_are_knocked_at_does_not_grow_with_their_number() -> None:
    for count in (1, 200):
        me = machine(1)
        for number in range(2, count + 3):
            me.receive(Hello(member(number)), address_of(number), 0.0)
        for number in range(3, count + 3):
            me.accuse(member(number).id, MemberState.FAILED, 0.0)
        knocks = 0
        while me.deadline is not None and me.deadline < 300.0:
            knocks += sum(isinstance(message, Hello) for _, message in sent(me.on_deadline(me.deadline)))
        assert 0 < knocks <= 300 / 7.5


def test_what_is_no_sync_is_malformed() -> None:
    me = machine(1)
    with pytest.raises(MalformedMessage):
        me.comparing.answer([])
    with pytest.raises(MalformedMessage):
        me.comparing.requested(b"short")
    assert decode_records(me.comparing.requested(bytes(member(7).id))) == []  # it may have been forgotten meanwhile


def test_static_discovery_wants_no_strangers() -> None:
    me = machine(1, STATIC)
    me.met(member(2), 0.0)
    other = machine(2)
    other.update_me(plugins=[])
    other.merge([member(3)], 0.0)
    assert me.comparing.answer(other.comparing.digest())[1] == member(2).id


# Static discovery


def test_static_discovery_admits_only_whom_it_meets_but_believes_gossip_about_them() -> None:
    me = machine(1, STATIC)
    me.receive(Hello(member(2), (member(3),)), address_of(2), 0.0)
    me.receive(Gossip((member(4),)), address_of(2), 0.0)
    me.merge([member(5)], 0.0)
    assert me.alive() == [member(2)]
    assert me.met(member(6), 1.0) == [MemberJoined(member(6))]
    gossip = Gossip((with_state(member(6), MemberState.FAILED),))
    assert of_kind(me.receive(gossip, address_of(2), 2.0), MemberFailed) != []
    told = [record for _, message in sent(me.on_deadline(3.0)) for record in message.records]
    assert {record.id for record in told} <= {member(2).id, member(6).id}


def test_static_discovery_tries_each_address_until_it_answers() -> None:
    me = machine(1, STATIC)
    me.join([address_of(2), address_of(3)], 0.0)
    me.receive(Welcome(member(2)), address_of(2), 0.01)
    assert len(hellos_to(me, address_of(3), until=100.0)) > 15


# Quiet, forgetting, leaving


def test_an_idle_network_only_compares() -> None:
    me = machine(1)
    for number in range(2, 12):
        me.receive(Hello(member(number)), address_of(number), 0.0)
    while me.deadline is not None and me.deadline < 10.0:
        me.on_deadline(me.deadline)
    comparisons = 0
    while me.deadline is not None and me.deadline < 310.0:
        effects = me.on_deadline(me.deadline)
        assert len(effects) == len(compared(effects)) == 1
        comparisons += 1
    assert 8 <= comparisons <= 14


def test_alone_nothing_is_due() -> None:
    assert machine(1).deadline is None


def test_a_failed_member_is_knocked_at_with_what_it_stands_accused_of() -> None:
    me = machine(1)
    me.receive(Hello(member(2)), address_of(2), 0.0)
    me.accuse(member(2).id, MemberState.FAILED, 1.0)
    knocks: list[tuple[Address, Message]] = []
    while me.deadline is not None and me.deadline < 15.0:
        knocks += sent(me.on_deadline(me.deadline))
    assert knocks == [(address_of(2), Hello(me.me, (accused(member(2), MemberState.FAILED),)))]


def test_those_that_went_are_forgotten_and_not_reminded_of_by_others() -> None:
    me = machine(1, GossipSettings(forget_s=100.0))
    me.receive(Hello(member(2)), address_of(2), 0.0)
    me.accuse(member(2).id, MemberState.FAILED, 1.0)
    while me.deadline is not None and me.deadline < 200.0:
        me.on_deadline(me.deadline)
    assert me.get(member(2).id) is None
    failed = with_state(member(2), MemberState.FAILED)
    assert me.merge([failed], 200.0) == []
    assert me.get(member(2).id) == failed  # listed, for people
    assert me.snapshot() == [me.me]  # but not passed on
    me.receive(Hello(member(3)), address_of(3), 200.0)
    told = [record for _, message in sent(me.on_deadline(200.5)) for record in message.records]
    assert told == [member(3)]
    assert me.merge([member(2, incarnation=1)], 201.0) == [MemberJoined(member(2, incarnation=1))]


def test_leaving_is_told_to_all_and_then_nothing_is_taken_in() -> None:
    me = machine(1)
    for number in range(2, 7):
        me.receive(Hello(member(number)), address_of(number), 0.0)
    farewells = sent(me.leave(1.0))
    left = with_state(member(1, incarnation=1), MemberState.LEFT)
    assert sorted(address for address, _ in farewells) == [address_of(number) for number in range(2, 7)]
    assert all(message == Gossip((left,)) for _, message in farewells)
    assert me.leave(1.0) == []
    assert me.receive(Gossip((left,)), address_of(2), 2.0) == []
    assert me.receive(Hello(member(9)), address_of(9), 2.0) == []
    assert me.merge([member(9)], 2.0) == me.met(member(9), 2.0) == me.join([address_of(9)], 2.0) == []
    assert me.me == left
    while me.deadline is not None:
        assert me.on_deadline(max(me.deadline, 2.0)) != []


def test_a_large_network_is_left_by_telling_some() -> None:
    me = machine(1)
    me.merge([member(number) for number in range(2, 202)], 0.0)
    assert len({address for address, _ in sent(me.leave(1.0))}) == 32


messages = st.builds(
    lambda kind, records: encode_message(kind, [encode_record(record) for record in records]),
    st.sampled_from([Hello, Welcome, Gossip]),
    st.lists(
        st.builds(
            lambda number, state, incarnation, protocol: with_state(
                member(number, incarnation=incarnation, protocol=protocol), state
            ),
            st.integers(1, 4),
            st.sampled_from(MemberState),
            st.integers(0, 3) | st.just(INCARNATION_LIMIT - 1),
            st.sampled_from([1, 1, 1, 2]),
        ),
        min_size=1,
        max_size=4,
    ),
)


@given(st.lists(messages | st.sampled_from(["deadline", "leave", "join"]), max_size=12), st.booleans())
def test_whatever_arrives_the_table_only_moves_forward(steps: list[Any], static: bool) -> None:
    me = machine(1, STATIC if static else None)
    now = 0.0
    for step in steps:
        now += 0.3
        before = dict(me.members)
        if step == "deadline":
            me.on_deadline(now)
        elif step == "leave":
            me.leave(now)
        elif step == "join":
            me.join([address_of(2), address_of(4)], now)
        else:
            for effect in of_kind(me.receive(decode_message(step), address_of(2), now), SendGossip):
                decode_message(effect.payload)
        for id, old in before.items():
            new = me.members.get(id)
            if new is None:  # it was upgraded, and does not understand this node any more
                assert any(record.id == id and record.protocol == 2 for record in decode_message(step).records)
                continue
            assert (new.incarnation, new.state.value) >= (old.incarnation, old.state.value)
        assert me.me == me.members[me.me.id]
        assert me.me.state in (MemberState.ALIVE, MemberState.LEFT)
        assert me.alive() == [m for id, m in sorted(me.members.items()) if m.is_present and id != me.me.id]


# A network of machines, all chance from one seed


@dataclass
class Link:
    """What the network does to datagrams."""

    loss: float = 0.0
    duplicates: float = 0.0
    latency_s: tuple[float, float] = (0.0005, 0.02)


class World:
    """Machines joined by a bad network, in virtual time. Syncs are carried out reliably, but not across a cut."""

    def __init__(self, seed: int, link: Link | None = None) -> None:
        self.rng = random.Random(seed)
        self.link = link or Link()
        self.now = 0.0
        self.machines: dict[Address, Membership] = {}
        self.border: int | None = None  # numbers below it, and the others, do not hear one another
        self.trace: list[tuple[float, Address, Effect]] = []
        self.datagrams = 0
        self.syncs = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._deadlines: dict[Address, float] = {}

    def start(
        self, number: int, *, join: Sequence[int] = (), settings: GossipSettings | None = None, at: int | None = None
    ) -> Membership:
        """A node, at the address of its own number or at that of another."""
        address = address_of(at or number)
        me = replace(member(number), addresses=(address,))
        node = Membership(me, random.Random(self.rng.getrandbits(64)), settings)
        self.machines[address] = node
        self._perform(address, node.join([address_of(other) for other in join], self.now))
        return node

    def stop(self, number: int) -> None:
        del self.machines[address_of(number)]
        self._deadlines.pop(address_of(number), None)

    def do(self, node: Membership, effects: Iterable[Effect]) -> None:
        self._perform(node.me.addresses[0], effects)

    def run(self, duration_s: float, until: Callable[[], bool] | None = None) -> float | None:
        """Let time pass; returns when `until` was seen to be true (looked at each 20 ms), None when it was not."""
        end = self.now + duration_s
        next_look = self.now
        while True:
            if until is not None and self.now >= next_look:
                if until():
                    return self.now
                next_look = self.now + 0.02
            address = min(self._deadlines, key=self._deadlines.__getitem__, default=None)
            deadline = float("inf") if address is None else self._deadlines[address]
            arrival = self._queue[0][0] if self._queue else float("inf")
            if min(deadline, arrival) > end:
                self.now = end
                return None
            if arrival <= deadline or address is None:
                self.now, _, action = heapq.heappop(self._queue)
                action()
            else:
                self.now = max(self.now, deadline)
                self._perform(address, self.machines[address].on_deadline(self.now))

    def _perform(self, address: Address, effects: Iterable[Effect]) -> None:
        deadline = self.machines[address].deadline
        self._deadlines[address] = float("inf") if deadline is None else deadline
        for effect in effects:
            self.trace.append((self.now, address, effect))
            if isinstance(effect, SendGossip):
                self._send(address, effect)
            elif isinstance(effect, RequestSync):
                self._later(partial(self._sync, address, effect.member.addresses[0]))

    def _send(self, source: Address, effect: SendGossip) -> None:
        self.datagrams += 1
        copies = (self.rng.random() >= self.link.loss) + (self.rng.random() < self.link.duplicates)
        for _ in range(copies):
            self._later(partial(self._arrive, source, effect))

    def _arrive(self, source: Address, effect: SendGossip) -> None:
        if effect.address in self.machines and not self.cut(source, effect.address):
            message = decode_message(effect.payload)
            self._perform(effect.address, self.machines[effect.address].receive(message, source, self.now))

    def cut(self, source: Address, target: Address) -> bool:
        return self.border is not None and (number_of(source) < self.border) != (number_of(target) < self.border)

    def _sync(self, source: Address, target: Address) -> None:
        if source in self.machines and target in self.machines and not self.cut(source, target):
            self.syncs += 1
            near, far = self.machines[source], self.machines[target]
            records, wanted = far.comparing.answer(near.comparing.digest())
            self._perform(source, near.merge(decode_records(records), self.now))
            self._perform(target, far.merge(decode_records(near.comparing.requested(wanted)), self.now))

    def _later(self, action: Callable[[], None]) -> None:
        self._order += 1
        arrival = self.now + self.rng.uniform(*self.link.latency_s)
        heapq.heappush(self._queue, (arrival, self._order, action))

    def sees(self, states: dict[NodeId, MemberState]) -> bool:
        """Every machine holds exactly these members, in these states."""
        return all(
            len(node.members) == len(states)
            and all(states.get(id) is record.state for id, record in node.members.items())
            for node in self.machines.values()
        )

    def comes_to_see(self, states: dict[NodeId, MemberState], within_s: float) -> bool:
        return self.run(within_s, until=partial(self.sees, states)) is not None

    def all_alive(self) -> bool:
        return self.sees({node.me.id: MemberState.ALIVE for node in self.machines.values()})


BAD = Link(loss=0.25, duplicates=0.1)


def joined(seed: int, count: int, link: Link | None = None) -> World:
    world = World(seed, link)
    world.start(1)
    for number in range(2, count + 1):
        world.start(number, join=[1])
    assert world.run(60.0, until=world.all_alive) is not None, f"seed {seed}"
    return world


def seeds(count: int) -> Iterator[int]:
    return iter(range(count))


def test_thirty_nodes_that_know_one_address_know_all_within_two_seconds() -> None:
    for seed in seeds(40):
        assert joined(seed, 30).now < 2.0, f"seed {seed}"


def test_twelve_nodes_on_a_bad_network_come_to_know_all() -> None:
    for seed in seeds(60):
        world = joined(seed, 12, BAD)
        assert world.now < 45.0, f"seed {seed}"
        world.run(100.0)
        assert world.all_alive(), f"seed {seed}"


def test_leaving_reaches_all() -> None:
    for seed in seeds(30):
        world = joined(seed, 12, BAD)
        leaver = world.machines[address_of(5)]
        world.do(leaver, leaver.leave(world.now))
        world.run(1.0)
        world.stop(5)
        states = {member(number).id: MemberState.ALIVE for number in range(1, 13)}
        states[leaver.me.id] = MemberState.LEFT
        assert world.comes_to_see(states, within_s=60.0), f"seed {seed}"


def test_a_false_accusation_is_refuted_everywhere() -> None:
    for seed in seeds(30):
        world = joined(seed, 12, BAD)
        accuser = world.machines[address_of(3)]
        state = (MemberState.SUSPECT, MemberState.FAILED)[seed % 2]
        world.do(accuser, accuser.accuse(member(7).id, state, world.now))
        world.run(90.0)
        assert world.all_alive(), f"seed {seed}"
        assert world.machines[address_of(7)].me.incarnation > 0
        events = [type(effect) for _, address, effect in world.trace if address == address_of(3)]
        assert events.count(MemberRecovered) == 1, f"seed {seed}"


def test_a_true_accusation_reaches_all_and_the_dead_stay_dead() -> None:
    for seed in seeds(20):
        world = joined(seed, 12, BAD)
        world.stop(7)
        accuser = world.machines[address_of(3)]
        world.do(accuser, accuser.accuse(member(7).id, MemberState.FAILED, world.now))
        states = {member(number).id: MemberState.ALIVE for number in range(1, 13)}
        states[member(7).id] = MemberState.FAILED
        assert world.comes_to_see(states, within_s=60.0), f"seed {seed}"
        world.run(60.0)
        assert world.sees(states), f"seed {seed}"


@pytest.mark.parametrize("fate", ["left", "failed", "unnoticed"])
def test_a_restart_with_the_same_identity_comes_back(fate: str) -> None:
    for seed in seeds(15):
        world = joined(seed, 10, BAD)
        node = world.machines[address_of(5)]
        node.update_me(plugins=[("old", "1")])
        world.do(node, [])
        world.run(5.0)
        if fate == "left":
            world.do(node, node.leave(world.now))
        world.stop(5)
        if fate == "failed":
            accuser = world.machines[address_of(3)]
            world.do(accuser, accuser.accuse(member(5).id, MemberState.FAILED, world.now))
        world.run(10.0)
        again = world.start(5, join=[2])
        world.run(100.0)
        assert world.all_alive(), f"seed {seed}"
        assert again.me.incarnation > 0
        records = {node.members[again.me.id] for node in world.machines.values()}
        assert records == {again.me}, f"seed {seed}"


def test_a_restart_that_overlaps_is_seen_by_all_although_the_old_one_leaves_last() -> None:
    for seed in seeds(15):
        world = joined(seed, 6)
        old = world.machines[address_of(5)]
        new = world.start(5, join=[2], at=50)
        world.run(3.0)
        world.do(old, old.leave(world.now))
        world.run(1.0)
        world.stop(5)
        assert world.run(100.0, until=world.all_alive) is not None, f"seed {seed}"
        assert {node.members[new.me.id].addresses for node in world.machines.values()} == {(address_of(50),)}


def test_two_halves_started_apart_become_one_when_the_address_between_them_appears() -> None:
    for seed in seeds(10):
        world = World(seed)
        world.start(1)
        for number in (2, 3, 4):
            world.start(number, join=[1])
        world.start(11, join=[1, 12])
        world.start(12)
        world.border = 10
        world.run(20.0)
        assert len(world.machines[address_of(12)].alive()) == 1
        world.border = None
        assert world.run(60.0, until=world.all_alive) is not None, f"seed {seed}"


def test_a_partition_in_which_each_side_gave_up_the_other_heals_by_itself() -> None:
    for seed in seeds(10):
        world = joined(seed, 10)
        world.border = 6
        for number, others in ((1, range(6, 11)), (6, range(1, 6))):
            node = world.machines[address_of(number)]
            for other in others:
                world.do(node, node.accuse(member(other).id, MemberState.FAILED, world.now))
        world.run(200.0)
        assert len(world.machines[address_of(2)].alive()) == 4
        world.border = None
        assert world.run(120.0, until=world.all_alive) is not None, f"seed {seed}"


def test_static_nodes_know_their_neighbours_only() -> None:
    world = World(1, BAD)
    world.start(1, settings=STATIC)
    world.start(2, join=[1, 3], settings=STATIC)
    world.start(3, settings=STATIC)
    world.run(120.0)
    known = {n: {m.name for m in world.machines[address_of(n)].alive()} for n in (1, 2, 3)}
    assert known == {1: {"node2"}, 2: {"node1", "node3"}, 3: {"node2"}}


def test_an_idle_network_is_quiet() -> None:
    world = joined(1, 20)
    world.run(60.0)
    before, syncs = world.datagrams, world.syncs
    world.run(300.0)
    assert world.datagrams - before <= 20 * 300 / 22.5  # a comparison a node, each 30 s or a quarter less
    assert world.syncs == syncs


def test_one_seed_gives_one_trace() -> None:
    first, second = joined(7, 10, BAD), joined(7, 10, BAD)
    assert first.trace == second.trace
    assert first.trace != joined(8, 10, BAD).trace


def test_a_datagram_of_rumours_stays_within_its_budget() -> None:
    world = joined(3, 40)
    payloads = [effect.payload for _, _, effect in world.trace if isinstance(effect, SendGossip)]
    assert max(map(len, payloads)) <= GossipSettings().datagram_budget_bytes
    with pytest.raises(MalformedMessage):
        decode_message(payloads[0][:-1])
