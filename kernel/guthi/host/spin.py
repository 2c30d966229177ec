"""Decides whether to poll for an answer before sleeping: a quick answer then need not wait for a sleeping core to wake.

Waking a core costs more than all else on the path of a short call; polling for as long costs a core. It pays where the
answer comes within the limit, and harms where the peer needs the same core to answer. So each try is noted, and when
fewer than LEAST_SUCCESS of the recent ones had success, polling rests for REST_TURNS occasions and then tries anew.
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
        """An answer is awaited: True if it should be polled for."""
        if self.limit_s <= 0:
            return False
        if self._rest_turns:
            self._rest_turns -= 1
            return False
        return True

    def tried(self, *, success: bool) -> None:
        """Polling brought a datagram, or nothing within the limit."""
        self._success += (success - self._success) * SMOOTHING
        if self._success < LEAST_SUCCESS:
            self._success, self._rest_turns = FRESH_SUCCESS, REST_TURNS
