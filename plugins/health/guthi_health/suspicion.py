"""How long a member stays suspected before it counts as failed: Lifeguard's suspicion timeout.

The first accusation alone is given much time, as the accuser may be the one who is ill. Each further member that
accuses from its own failed probe shortens it: with C of the K confirmations that are waited for it is

    most - (most - least) · log(C + 1) / log(K + 1)

so that it is `most` with none and `least` with K (Dadgar, Phillips and Currey 2018, III.B). With K = 0, in a network
too small for confirmations, it is `least`.
"""

from __future__ import annotations

import math

from guthi import NodeId

__all__ = ["Suspicion"]


class Suspicion:
    """One member under suspicion, as one node sees it; the accusers are those of one incarnation."""

    def __init__(self, incarnation: int, started_at: float, least_s: float, most_s: float, confirmations: int) -> None:
        self.incarnation, self.started_at = incarnation, started_at
        self.accusers: list[NodeId] = []
        self._least_s, self._most_s, self._wanted = least_s, most_s, confirmations

    @property
    def confirmations(self) -> int:
        """How many have accused besides the first."""
        return max(len(self.accusers) - 1, 0)

    @property
    def ends_at(self) -> float:
        """When the member counts as failed, as far as is known now."""
        if not self._wanted:
            return self.started_at + self._least_s
        share = math.log(self.confirmations + 1) / math.log(self._wanted + 1)
        return self.started_at + self._most_s - (self._most_s - self._least_s) * share

    def add(self, accuser: NodeId) -> bool:
        """Another accusation; False when it is none that counts: known already, or more than are waited for."""
        if accuser in self.accusers or len(self.accusers) > self._wanted:
            return False
        self.accusers.append(accuser)
        return True
