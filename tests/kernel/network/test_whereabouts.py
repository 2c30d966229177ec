"""Who lives at an address, as members come, move and go."""

from __future__ import annotations

from dataclasses import replace

from tests.kernel.membership.test_machine import address_of, member

from guthi.membership.members import MemberFailed, MemberJoined, MemberState, MemberUpdated
from guthi.network.whereabouts import Whereabouts


def test_a_member_is_found_where_it_is_and_not_where_it_was() -> None:
    whereabouts = Whereabouts()
    whereabouts.member_changed(MemberJoined(member(1)))
    assert whereabouts.member_at(address_of(1)) == member(1).id
    moved = replace(member(1), addresses=(address_of(7), address_of(8)))
    whereabouts.member_changed(MemberUpdated(moved))
    assert [whereabouts.member_at(address_of(number)) for number in (1, 7, 8)] == [None, moved.id, moved.id]
    whereabouts.member_changed(MemberFailed(replace(moved, state=MemberState.FAILED)))
    assert len(whereabouts) == 0


def test_of_an_address_that_two_claim_the_later_claim_counts_and_outlives_the_earlier() -> None:
    whereabouts = Whereabouts()
    second = replace(member(2), addresses=(address_of(1),))
    whereabouts.member_changed(MemberJoined(member(1)))
    whereabouts.member_changed(MemberJoined(second))
    whereabouts.member_changed(MemberFailed(replace(member(1), state=MemberState.FAILED)))
    assert whereabouts.member_at(address_of(1)) == second.id
