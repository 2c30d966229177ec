"""Carries a rotation of the cluster keys through a network: asks every member, and does what members are told.

The wire form is two requests, between any two members. `guthi.keys.list` has no value; its answer is
[ids of the keys, the one in use first; whether changes outlast the node]. `guthi.keys.change` has the value [action,
subject, proof] (see `guthi.security.rotation`), and its answer is null.

When each step is safe
- ADD: at any time. Who is not reached has only the old key, is understood with it, and can be told later.
- USE: when all that are reached have the key.
- REMOVE: when nobody uses the key any more. Who is not reached may, so removing then takes force; and so does removing
  where it would not outlast the node, because the node could not come back.
A member that joins while a step is under way, perhaps with an old keyring, is told too. If that fails when a key is
removed, the node that leads the step keeps the key: so somebody is left who can bring the newcomer up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from guthi.api import NodeId
from guthi.errors import GuthiError, MalformedMessage, UsageError
from guthi.membership.members import Member, MemberState
from guthi.messages.requests import Incoming, Requests
from guthi.security.keyring import ClusterKey
from guthi.security.rotation import Action, Change, Rotation, proof

__all__ = ["Holding", "Rotating"]

LIST_TOPIC = "guthi.keys.list"
CHANGE_TOPIC = "guthi.keys.change"
AT_A_TIME = 64


@dataclass(frozen=True, slots=True)
class Holding:
    """What is known of a member's keys.

    `key_ids` has the one in use first. It is empty when the member was not reached; `problem` says why, or why it did
    not do what it was told. `is_kept` is False where a change lasts only until the member ends.
    """

    member: Member
    key_ids: tuple[bytes, ...] = ()
    is_kept: bool = False
    problem: str = ""


class Rotating:
    """Both sides of a rotation, for one node."""

    def __init__(
        self, requests: Requests, rotation: Rotation, me: NodeId, everybody: Callable[[], Sequence[Member]]
    ) -> None:
        self._requests, self._rotation, self._me, self._everybody = requests, rotation, me, everybody
        requests.handle(LIST_TOPIC, self._on_list)
        requests.handle(CHANGE_TOPIC, self._on_change)

    # ---- told

    def _on_list(self, _: Incoming) -> list[object]:
        return [[key.key_id for key in self._rotation.keyring.keys], self._rotation.is_kept]

    def _on_change(self, incoming: Incoming) -> None:
        match incoming.value:
            case [Action.ADD | Action.USE | Action.REMOVE as action, bytes() as subject, bytes() as shown]:
                self._rotation.carry_out(Change(Action(action), subject), incoming.peer, shown)
            case _:
                raise MalformedMessage("a change of keys is an action, a subject and a proof")

    # ---- telling

    async def survey(self, members: Sequence[Member], timeout_s: float) -> list[Holding]:
        """What each member holds, in the order given."""
        slots = asyncio.Semaphore(AT_A_TIME)

        async def ask(member: Member) -> Holding:
            async with slots:
                return await self._ask(member, timeout_s)

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(member)) for member in members]
        return [task.result() for task in asked]

    async def _ask(self, member: Member, timeout_s: float) -> Holding:
        if member.state is MemberState.FAILED:
            return Holding(member, problem="it has failed")
        try:
            answer = await self._requests.request(member.id, LIST_TOPIC, None, timeout_s)
        except GuthiError as error:
            return Holding(member, problem=str(error))
        match answer:
            case [[*ids], bool() as is_kept] if ids and all(_is_key_id(each) for each in ids):
                return Holding(member, tuple(ids), is_kept)
        return Holding(member, problem="its answer is not a list of keys")

    async def change(
        self, members: Sequence[Member], change: Change, timeout_s: float, *, force: bool = False
    ) -> list[Holding]:
        """Carry a step out on these members, if this node is one of them on itself last; returns what they hold then.

        Behind those come members that have joined meanwhile. Raises UsageError, before anything was changed, when the
        step is not safe for the others; `force` leaves that to the caller.
        """
        known = {each.id for each in self._everybody()}
        before = await self.survey(members, timeout_s)
        if not force:
            _check(change, [holding for holding in before if holding.member.id != self._me])
        if change.action is Action.REMOVE and not any(change.subject in each.key_ids for each in before):
            raise UsageError(f"nobody that is reached holds {change.subject.hex()}: it is gone, or another was meant")
        reached = [holding for holding in before if holding.key_ids]
        others = [holding for holding in reached if holding.member.id != self._me]
        problems = {each.member.id: each.problem for each in before if not each.key_ids}  # nobody tells them
        problems |= await self._tell_all(others, change, timeout_s)
        late = [each for each in self._everybody() if each.id not in known and each.state is not MemberState.LEFT]
        late_problems = await self._tell_all(await self.survey(late, timeout_s), change, timeout_s)
        problems |= late_problems
        if change.action is Action.REMOVE and any(late_problems.values()) and not force:
            problems[self._me] = "it keeps the key for those that have joined meanwhile; bring them up, then try again"
        else:
            own = [each for each in reached if each.member.id == self._me]
            problems |= await self._tell_all(own, change, timeout_s)
        after = await self.survey([*members, *late], timeout_s)
        return [
            Holding(each.member, each.key_ids, each.is_kept, problems.get(each.member.id) or each.problem)
            for each in after
        ]

    async def _tell_all(self, holdings: Sequence[Holding], change: Change, timeout_s: float) -> dict[NodeId, str]:
        """Returns why each of them did not, empty for those that did."""
        slots = asyncio.Semaphore(AT_A_TIME)

        async def tell(holding: Holding) -> str:
            async with slots:
                return await self._tell(holding, change, timeout_s) if holding.key_ids else holding.problem

        async with asyncio.TaskGroup() as group:
            told = [group.create_task(tell(holding)) for holding in holdings]
        return {holding.member.id: task.result() for holding, task in zip(holdings, told, strict=True)}

    async def _tell(self, holding: Holding, change: Change, timeout_s: float) -> str:
        """Returns why it did not, empty when it did."""
        key = self._key(holding.key_ids[0])
        if key is None:
            return f"it uses the key {holding.key_ids[0].hex()}, which this node does not hold"
        member = holding.member
        shown = proof(key, asker=self._me, asked=member.id, change=change)
        try:
            await self._requests.request(
                member.id, CHANGE_TOPIC, [int(change.action), change.subject, shown], timeout_s
            )
        except GuthiError as error:
            return str(error)
        return ""

    def _key(self, key_id: bytes) -> ClusterKey | None:
        return self._rotation.keyring.by_id(key_id)


def _is_key_id(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == ClusterKey.ID_SIZE


def _check(change: Change, holdings: Sequence[Holding]) -> None:
    """Raises UsageError, with the names of those that are in the way."""
    subject = change.subject.hex()
    if change.action is Action.USE:
        lacking = [each for each in holdings if each.key_ids and change.subject not in each.key_ids]
        _refuse(lacking, f"{subject} is not held by", "add it first")
    if change.action is Action.REMOVE:
        using = [each for each in holdings if each.key_ids[:1] == (change.subject,)]
        _refuse(using, f"{subject} is in use by", "let them use another key first")
        unreached = [each for each in holdings if not each.key_ids]
        _refuse(
            unreached, f"{subject} may be in use by those not reached", "wait for them, or give them up with --force"
        )
        passing = [each for each in holdings if change.subject in each.key_ids and not each.is_kept]
        _refuse(passing, "no key file have", "change their configuration or environment, then use --force")


def _refuse(in_the_way: Sequence[Holding], reason: str, mend: str) -> None:
    if in_the_way:
        names = ", ".join(sorted(each.member.name for each in in_the_way))
        raise UsageError(f"nothing was changed, because {reason}: {names}; {mend}")
