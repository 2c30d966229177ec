"""What becomes of a member that failed or left: nothing more is expected of it or sent to it, and why, in words."""

from __future__ import annotations

from collections.abc import Callable

from guthi.api import NodeId
from guthi.membership.members import Member, MemberEvent, MemberFailed, MemberLeft, MemberState
from guthi.messages.requests import Requests
from guthi.transport.endpoint import Endpoint, LinkState

__all__ = ["Parting"]


class Parting:
    """Of one node from its peers; `name_of` is what people call a node."""

    def __init__(self, endpoint: Endpoint, requests: Requests, name_of: Callable[[NodeId], str]) -> None:
        self._endpoint, self._requests, self._name_of = endpoint, requests, name_of

    def member_changed(self, event: MemberEvent) -> None:
        """Expect nothing more of a member that is gone, and send it nothing more.

        Who leaves closes the session itself, when all that it sent before has arrived: its goodbye may overtake that.
        """
        if not isinstance(event, MemberFailed | MemberLeft):
            return
        member = event.member
        self._requests.peer_lost(member.id, self.end_of(member))
        if member.state is MemberState.LEFT and self._endpoint.state(member.id) is LinkState.OPEN:
            return
        verb = "left" if member.state is MemberState.LEFT else "failed"
        self._endpoint.disconnect(member.id, f"it holds that this node {verb}{self._finding(member)}")

    def end_of(self, member: Member) -> str:
        """Why nothing is sent any more to a member that left or failed."""
        return "it has left" if member.state is MemberState.LEFT else f"it failed{self._finding(member)}"

    def _finding(self, member: Member) -> str:
        verdict = member.verdict
        if verdict is None:
            return ""
        return f", as {self._name_of(verdict.accuser)} found ({verdict.path}): {verdict.evidence}"
