"""Decides whether something may happen once more: a token bucket, for limits on rates."""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Lets `burst` through at once, and `rate_per_s` in the long run. It starts full."""

    __slots__ = ("_burst", "_rate_per_s", "_tokens", "_updated_at")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._tokens, self._updated_at = burst, now

    def take(self, now: float) -> bool:
        """True, and one less is left, if it may happen now."""
        earned = max(now - self._updated_at, 0.0) * self._rate_per_s
        self._tokens, self._updated_at = min(self._tokens + earned, self._burst), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
