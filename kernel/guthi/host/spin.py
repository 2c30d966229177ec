"""Decides whether to poll before sleeping: what comes soon then need not wait for a sleeping core to wake.

To wake a core, and to fill its caches again, is half of a short call; to poll for as long costs a core. Who
awaits an answer has reason to poll, and who has just given one: the next question may be there soon. Nobody else has.
It pays where something comes within the limit, and harms where the peer needs the same core to say it. So each try is
noted, and when fewer than LEAST_SUCCESS of the recent ones had success, polling rests for REST_TURNS occasions and
then tries anew.
"""

from __future__ import annotations

__all__ = ["Spin"]

SMOOTHING = 1 / 16
LEAST_SUCCESS = 0.5
FRESH_SUCCESS = 0.75  # a new trial fails after seven misses
REST_TURNS = 1024


class Spin:
    """The memory of one node's polling; `limit_s` 0 is never to poll."""

    __slots__ = ("_rest_turns", "_success", "limit_s")

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._success = FRESH_SUCCESS
        self._rest_turns = 0

    def pays(self) -> bool:
        """An answer or a question is expected: True if it should be polled for."""
        if self.limit_s <= 0:
            return False
        if self._rest_turns:
            self._rest_turns -= 1
            return False
        return True

    def tried(self, success: bool) -> None:
        """Polling brought a datagram, or nothing within the limit."""
        self._success += (success - self._success) * SMOOTHING
        if self._success < LEAST_SUCCESS:
            self._success, self._rest_turns = FRESH_SUCCESS, REST_TURNS
