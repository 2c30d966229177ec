"""Whether two nodes can work in one network, and if not, why not, in words for the people of the one that is refused.

Both run the same protocol of the kernel, and where both have a plugin, versions of it that understand one another: by
semantic versioning those of one major version, and before 1.0 of one minor version. A version that is not of this form
says nothing, nor does "0", which plugins have that are part of an app.
"""

from __future__ import annotations

from guthi.membership.members import Member

__all__ = ["incompatibility"]

_UNVERSIONED = "0"


def incompatibility(mine: Member, theirs: Member) -> str | None:
    """Why the node of `theirs` and this one, whose record is `mine`, cannot work together; None if they can."""
    if theirs.protocol != mine.protocol:
        return (
            f"it speaks protocol {theirs.protocol} and this node {mine.protocol}; "
            "install the same version of guthi on both"
        )
    if theirs.plugins == mine.plugins:
        return None  # the ordinary case: a network runs one set of plugins
    versions = dict(theirs.plugins)
    for name, version in mine.plugins:
        other = versions.get(name, _UNVERSIONED)
        if not _fit(version, other):
            return (
                f"it runs plugin {name} {other} and this node {version}, which do not understand one another; "
                "install the same version on both (guthi plugins shows what is installed)"
            )
    return None


def _fit(one: str, other: str) -> bool:
    if one == other or _UNVERSIONED in (one, other):
        return True
    first, second = _compatibility_line(one), _compatibility_line(other)
    return first is None or second is None or first == second


def _compatibility_line(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")[:2]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    numbers = tuple(map(int, parts))
    return numbers if numbers[0] == 0 else numbers[:1]
