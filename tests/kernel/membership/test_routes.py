"""Where members are spoken to, and what becomes of an address that does not answer."""

from __future__ import annotations

from dataclasses import replace

from tests.kernel.membership.test_machine import address_of, member

from guthi.membership.routes import Routes

HOME, SECOND, THIRD, ELSEWHERE, NEWER = (address_of(number) for number in (2, 3, 4, 8, 9))
BOB = replace(member(2), addresses=(HOME, SECOND, THIRD))


def tried(routes: Routes, *, silent: bool = True) -> None:
    routes.dial(BOB)
    routes.ended(BOB.id, BOB, silent=silent)


def test_a_learnt_address_that_does_not_answer_is_unlearnt() -> None:
    routes = Routes()
    routes.learn(BOB.id, ELSEWHERE)
    tried(routes)
    assert routes.address_of(BOB) == HOME


def test_the_addresses_of_the_record_are_tried_in_turn() -> None:
    routes = Routes()
    routes.learn(BOB.id, HOME)
    seen = []
    for _ in range(4):
        tried(routes)
        seen.append(routes.address_of(BOB))
    assert seen == [SECOND, THIRD, HOME, SECOND]


def test_one_address_alone_stays() -> None:
    routes, lonely = Routes(), member(2)
    routes.dial(lonely)
    routes.ended(lonely.id, lonely, silent=True)
    assert routes.address_of(lonely) == HOME


def test_what_was_learnt_while_the_dial_was_under_way_stays() -> None:
    routes = Routes()
    routes.learn(BOB.id, ELSEWHERE)
    routes.dial(BOB)
    routes.learn(BOB.id, NEWER)
    routes.ended(BOB.id, BOB, silent=True)
    assert routes.address_of(BOB) == NEWER


def test_a_refusal_and_the_end_of_a_session_say_nothing_of_the_address() -> None:
    routes = Routes()
    routes.learn(BOB.id, ELSEWHERE)
    tried(routes, silent=False)
    routes.dial(BOB)
    routes.answered(BOB.id)
    routes.ended(BOB.id, BOB, silent=True)
    assert routes.address_of(BOB) == ELSEWHERE


def test_whoever_speaks_again_from_behind_a_nat_is_found_there_again() -> None:
    routes = Routes()
    routes.learn(BOB.id, ELSEWHERE)
    tried(routes)
    tried(routes)
    routes.sighted(BOB, BOB, ELSEWHERE)
    assert routes.address_of(BOB) == ELSEWHERE


def test_a_member_that_has_moved_begins_anew() -> None:
    routes = Routes()
    tried(routes)
    routes.forget(BOB.id)
    assert routes.address_of(BOB) == HOME
