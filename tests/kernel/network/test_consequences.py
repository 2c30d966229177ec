"""What becomes of the membership machine's effects, and who hears of members in which order."""

from __future__ import annotations

import pytest
from tests.kernel.membership.test_machine import address_of, member

from guthi.hooks import HookBus, hookimpl
from guthi.membership.effects import (
    Effect,
    IdentityInUse,
    IncompatibleMember,
    JoinAnswered,
    JoinRefused,
    NameConflict,
    NoIncarnationLeft,
    RequestSync,
    SendGossip,
)
from guthi.membership.members import Member, MemberEvent, MemberJoined, MemberLeft, MemberSuspected
from guthi.network.consequences import HOOKS, Consequences, telling


class Course:
    """What was done, in order."""

    def __init__(self) -> None:
        self.deeds: list[object] = []
        self.consequences = Consequences(
            lambda payload, address: self.deeds.append(("gossip", payload, address)),
            lambda member: self.deeds.append(("sync", member)),
            lambda refusal: self.deeds.append(("refused", refusal.reason)),
            [lambda event: self.deeds.append(("first", event)), lambda event: self.deeds.append(("second", event))],
            lambda: 0.0,
        )

    def of(self, *effects: Effect) -> list[object]:
        self.consequences.carry_out(effects)
        return self.deeds


def test_each_effect_becomes_its_deed_in_order() -> None:
    joined = MemberJoined(member(2))
    assert Course().of(
        SendGossip(address_of(2), b"news"),
        joined,
        RequestSync(member(2)),
        JoinAnswered(member(2), address_of(2)),
        JoinRefused(member(3), address_of(3), "too old"),
    ) == [
        ("gossip", b"news", address_of(2)),
        ("first", joined),
        ("second", joined),
        ("sync", member(2)),
        ("refused", "too old"),
    ]


@pytest.mark.parametrize(
    ("effect", "line"),
    [
        (IdentityInUse(member(2)), "is in use at 10.0.0.2:6969 too: a data_dir was copied"),
        (NoIncarnationLeft(member(2)), "a member has used up the incarnations of this node"),
        (NameConflict(member(2), member(3, name="node2")), "two members are called 'node2'"),
        (IncompatibleMember(member(2), "it is too old"), "node2 at 10.0.0.2:6969 is kept out: it is too old"),
    ],
)
def test_what_people_have_to_mend_is_logged(effect: Effect, line: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Course().of(effect) == []
    assert line in caplog.text


def test_what_a_peer_can_cause_again_and_again_is_not_logged_without_end(caplog: pytest.LogCaptureFixture) -> None:
    Course().of(*(IncompatibleMember(member(number), "it is too old") for number in range(1000)))
    assert len(caplog.messages) < 10


def test_every_event_of_a_member_has_a_hook() -> None:
    assert set(HOOKS) == set(MemberEvent.__subclasses__())
    heard: list[tuple[str, Member]] = []

    class Listener:
        @hookimpl
        def member_suspected(self, member: Member) -> None:
            heard.append(("suspected", member))

        @hookimpl
        def member_left(self, member: Member) -> None:
            heard.append(("left", member))

    hooks = HookBus()
    hooks.register(Listener(), "listener")
    for event in (MemberSuspected(member(1)), MemberLeft(member(2))):
        telling(hooks)(event)
    assert heard == [("suspected", member(1)), ("left", member(2))]
