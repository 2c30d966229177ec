"""When a node compares its table with another's, and what it contributes to a sync (see `sync` for the exchange)."""

from __future__ import annotations

from random import Random

from guthi.membership.admission import Admission
from guthi.membership.joining import jittered
from guthi.membership.roster import Roster
from guthi.membership.settings import GossipSettings
from guthi.membership.sync import difference, digest, fitting, read_ids

__all__ = ["Comparing"]


class Comparing:
    """Comparisons begin soon after the first other member was seen, and slow down; `deadline` is that of the next."""

    def __init__(self, roster: Roster, admission: Admission, rng: Random, settings: GossipSettings) -> None:
        self._roster, self._admission, self._rng, self._settings = roster, admission, rng, settings
        self.deadline: float | None = None
        self._delay_s = settings.first_sync_s
        self._synced_at = float("-inf")

    # ---- when

    def begin(self, now: float) -> None:
        """There is, or has just come, much to compare."""
        self._delay_s = self._settings.first_sync_s
        soon = now + jittered(self._rng, self._delay_s)
        self.deadline = soon if self.deadline is None else min(self.deadline, soon)

    def end(self) -> None:
        """This node is leaving."""
        self.deadline = None

    def is_due(self, now: float) -> bool:
        """Whether to compare now; if so, the next time is after twice the delay."""
        if self.deadline is None or now < self.deadline:
            return False
        self._delay_s = min(2 * self._delay_s, self._settings.sync_interval_s)
        self.deadline = now + jittered(self._rng, self._delay_s)
        return True

    def calls_for_sync(self, fingerprint: int, now: float) -> bool:
        """Whether to sync with the member whose table has this fingerprint.

        Not so soon after another one, which may settle this difference too; if it does not, more comparisons follow.
        """
        return fingerprint != self._roster.fingerprint and self.has_time(now)

    def has_time(self, now: float) -> bool:
        """Whether a sync may be opened because of what a member has sent; if so, the next one has to wait a little."""
        if now < self._synced_at + self._settings.sync_spacing_s:
            return False
        self._synced_at = now
        return True

    # ---- what

    def digest(self) -> bytes:
        """What to send to the member of a RequestSync."""
        return digest(self._roster.passed_on())

    def answer(self, theirs: object) -> tuple[bytes, bytes]:
        """What to answer to a digest: the records that are newer here, and the ids of those to be sent in return.

        Raises MalformedMessage.
        """
        known = self._roster.members
        found = difference(known, self._roster.passed_on(), theirs)
        wanted = [id for id in found.wanted if id in known or self._admission.admits(met=False)]
        return fitting(found.newer, self._settings.sync_budget_bytes, self._rng), b"".join(wanted)

    def requested(self, wanted: object) -> bytes:
        """The records that an answer asked for. Raises MalformedMessage."""
        known = self._roster.members
        records = [known[id] for id in read_ids(wanted) if id in known]
        return fitting(records, self._settings.sync_budget_bytes, self._rng)
