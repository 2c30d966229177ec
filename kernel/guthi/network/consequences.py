"""Does what the membership machine asks for: its effects become datagrams, syncs, lines in the log, and news for all
who want to hear what happens to members."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from guthi.api import Address
from guthi.calmlog import CalmLog
from guthi.hooks import HookBus
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
from guthi.membership.members import (
    Member,
    MemberEvent,
    MemberFailed,
    MemberJoined,
    MemberLeft,
    MemberRecovered,
    MemberSuspected,
    MemberUpdated,
)

__all__ = ["Consequences", "telling"]

HOOKS: Mapping[type[MemberEvent], str] = {
    MemberJoined: "member_joined",
    MemberUpdated: "member_updated",
    MemberSuspected: "member_suspected",
    MemberFailed: "member_failed",
    MemberRecovered: "member_recovered",
    MemberLeft: "member_left",
}

log = logging.getLogger("guthi.network")


def telling(hooks: HookBus) -> Callable[[MemberEvent], None]:
    """A listener that calls the hook of each event."""
    return lambda event: hooks.notify(HOOKS[type(event)], member=event.member)


class Consequences:
    """Of the decisions of one node's membership.

    `gossip` sends a membership message, `sync` makes tables equal with a member, `refused` hears who does not let this
    node in, and each of `listeners`, in this order, is given every MemberEvent.
    """

    def __init__(
        self,
        gossip: Callable[[bytes, Address], None],
        sync: Callable[[Member], object],
        refused: Callable[[JoinRefused], None],
        listeners: Sequence[Callable[[MemberEvent], None]],
        clock: Callable[[], float],
    ) -> None:
        self._gossip, self._sync, self._refused = gossip, sync, refused
        self._listeners = tuple(listeners)
        self._log = CalmLog(log, clock)

    def carry_out(self, effects: Iterable[Effect]) -> None:
        """Do it, in order."""
        for effect in effects:
            match effect:
                case SendGossip():
                    self._gossip(effect.payload, effect.address)
                case RequestSync():
                    self._sync(effect.member)
                case MemberEvent():
                    for listener in self._listeners:
                        listener(effect)
                case JoinAnswered():
                    log.debug("%s answered at %s", effect.member.name, effect.address)
                case JoinRefused():
                    self._refused(effect)
                case IdentityInUse() | NoIncarnationLeft() | NameConflict() | IncompatibleMember():
                    self._warn(effect)

    def _warn(self, effect: IdentityInUse | NoIncarnationLeft | NameConflict | IncompatibleMember) -> None:
        match effect:
            case IdentityInUse(record):
                log.error(
                    "the identity of this node (%s) is in use at %s too: a data_dir was copied; stop one of "
                    "the two and delete its data_dir, so that it gets its own",
                    record.id,
                    record.addresses[0],
                )
            case NoIncarnationLeft(record):
                log.error(
                    "a member has used up the incarnations of this node (%s), which cannot take back any more what is "
                    "said of it: %s; rotate the cluster key without that member, and delete the data_dir of this node, "
                    "so that it gets a new identity",
                    record.id,
                    record.state.name,
                )
            case NameConflict(first, second):
                self._log.warning("two members are called %r: %s and %s; rename one", first.name, first.id, second.id)
            case IncompatibleMember(member, reason):
                self._log.warning("%s at %s is kept out: %s", member.name, member.addresses[0], reason)
