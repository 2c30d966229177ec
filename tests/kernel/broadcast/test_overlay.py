"""Neighbours: the same from both sides, few, connected, and changed only by what is near."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel.broadcast.bare import a_member, an_id

from guthi.api import NodeId
from guthi.broadcast.overlay import RINGS, Overlay
from guthi.membership.members import Member, MemberState

States = dict[NodeId, MemberState]


def graph(states: States) -> dict[NodeId, tuple[NodeId, ...]]:
    members = [a_member(id, states[id]) for id in sorted(states)]
    return {
        id: Overlay(id, lambda me=id: [member for member in members if member.id != me]).neighbours for id in states
    }


def reached(start: NodeId, links: dict[NodeId, tuple[NodeId, ...]], through: set[NodeId]) -> set[NodeId]:
    seen, todo = {start}, [start]
    while todo:
        for id in links[todo.pop()]:
            if id in through and id not in seen:
                seen.add(id)
                todo.append(id)
    return seen


@given(st.integers(1, 40))
def test_all_see_the_same_links_and_few(count: int) -> None:
    links = graph({an_id(number): MemberState.ALIVE for number in range(count)})
    for id, neighbours in links.items():
        assert id not in neighbours and list(neighbours) == sorted(set(neighbours))
        assert min(count - 1, 2) <= len(neighbours) <= 2 * RINGS
        assert all(id in links[neighbour] for neighbour in neighbours)
    assert len(reached(an_id(0), links, set(links))) == count


@settings(max_examples=30)
@given(st.integers(2, 40), st.randoms(use_true_random=False))
def test_the_suspected_are_linked_and_not_relied_upon(count: int, random: Random) -> None:
    suspects = {an_id(number) for number in random.sample(range(count), count // 3)}
    states = {
        an_id(number): MemberState.SUSPECT if an_id(number) in suspects else MemberState.ALIVE
        for number in range(count)
    }
    links = graph(states)
    alive = set(states) - suspects
    assert all(len(neighbours) <= 4 * RINGS for neighbours in links.values())
    for id in alive:
        assert reached(id, links, alive) == alive
    for suspect in suspects:
        assert any(suspect in neighbours for neighbours in links.values())


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(MemberState)), max_size=30))
def test_what_is_kept_is_what_would_be_worked_out(steps: list[tuple[int, MemberState]]) -> None:
    me = an_id(0)
    seen: dict[NodeId, Member] = {an_id(number): a_member(an_id(number)) for number in range(1, 20)}

    def present() -> list[Member]:
        return [seen[id] for id in sorted(seen) if seen[id].is_present]

    overlay = Overlay(me, present)
    for number, state in steps:
        before = overlay.neighbours
        member = replace(a_member(an_id(number)), state=state)
        seen[member.id] = member
        new = overlay.update(member)
        assert overlay.neighbours == Overlay(me, present).neighbours
        assert new == [id for id in overlay.neighbours if id not in before]


def test_a_thousand_are_few_hops_apart_and_stay_together_when_a_fifth_is_gone() -> None:
    ids = [an_id(number) for number in range(1000)]
    links = graph(dict.fromkeys(ids, MemberState.ALIVE))
    hops, edge = 0, {ids[0]}
    seen = set(edge)
    while edge:
        edge = {other for id in edge for other in links[id]} - seen
        seen |= edge
        hops += bool(edge)
    assert len(seen) == 1000 and hops <= 7
    left = set(Random(1).sample(ids, 950))
    assert len(reached(min(left), links, left)) == 950
    fewer = set(Random(2).sample(ids, 800))
    assert len(reached(min(fewer), links, fewer)) >= 799
