"""Decides how moments are written in file ids: as NTP timestamps, the seconds since 1900 with 32 bits of fraction.

RFC 5905 has 32 bits of seconds, which begin anew in 2036. Here they do not: the era is counted in, so that the greater
timestamp is the later one. They reach from 1968 to 2104, so that a signed number of 64 bits can hold them (`packed`).
"""

from __future__ import annotations

__all__ = ["TIMESTAMP_LIMIT", "ntp_from_unix", "packed", "unix_from_ntp", "unpacked"]

UNIX_EPOCH_S = 2_208_988_800  # from 1900 to 1970
FRACTION = 1 << 32
ERA = 1 << 64
LEAST, TIMESTAMP_LIMIT = ERA - (1 << 63), ERA + (1 << 63)


def ntp_from_unix(seconds: float) -> int:
    """The timestamp of a moment in seconds since 1970; of one that is out of reach, the nearest that is not."""
    return min(max(UNIX_EPOCH_S * FRACTION + int(seconds * FRACTION), LEAST), TIMESTAMP_LIMIT - 1)


def unix_from_ntp(timestamp: int) -> float:
    """Seconds since 1970."""
    return (timestamp - UNIX_EPOCH_S * FRACTION) / FRACTION


def packed(timestamp: int) -> int:
    """A timestamp as a signed number of 64 bits; one from before 1968 becomes the first of 1968."""
    return max(timestamp, LEAST) - ERA


def unpacked(number: int) -> int:
    """The timestamp that was packed."""
    return number + ERA
