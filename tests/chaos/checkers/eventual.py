"""Checks eventual variables: in the end all nodes have the same, nothing goes back, and what was written stays.

What a life of a node reads of a variable is never older than what it has read before. In the end all nodes have one
version of each, which somebody has written, and which is no older than any that a life wrote that went on for LASTS_S
after it: by then it has come to others, whatever fault was under way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tests.chaos.checkers.lives import lives_of
from tests.chaos.journal import Call, Entry, calls
from tests.chaos.workloads.eventual import FIRST, SETTLED, WORK, Seen

__all__ = ["SETTLED", "are_settled", "check"]

LASTS_S = 25.0

Final = Mapping[str, Mapping[str, Seen]]


def are_settled(entries: Sequence[Entry], nodes: Sequence[str]) -> bool:
    """Whether all of these nodes have said what they have, and have the same."""
    final = _final(entries)
    return set(final) == set(nodes) and all(each == final[nodes[0]] for each in final.values())


def check(entries: Sequence[Entry]) -> list[str]:
    """What was wrong."""
    done, final = calls(entries, WORK), _final(entries)
    return [*_differences(final), *_going_back(done), *_out_of_nowhere(done, final), *_losses(entries, done, final)]


def _final(entries: Sequence[Entry]) -> Final:
    """What each node has said last, by name."""
    said = {each.node: each for each in entries if each.kind == SETTLED}
    return {node: {name: Seen(*seen) for name, seen in each.told["seen"].items()} for node, each in said.items()}


def _differences(final: Final) -> Iterator[str]:
    (first, seen), *others = sorted(final.items()) or [("nobody", {})]
    for name, other in others:
        if different := sorted(each for each in {*seen, *other} if seen.get(each) != other.get(each)):
            yield f"{first} and {name} differ in {', '.join(different)}"


def _going_back(done: Sequence[Call]) -> Iterator[str]:
    newest: dict[tuple[str, str], Seen] = {}
    for call in done:
        if call.is_ok:
            seen, key = Seen(*call.output), (call.life, call.input[1])
            if (before := newest.get(key)) is not None and seen[:2] < before[:2]:
                yield f"{call.node} had {key[1]!r} of version {before.number}, and later of version {seen.number}"
            newest[key] = seen


def _out_of_nowhere(done: Sequence[Call], final: Final) -> Iterator[str]:
    written = {FIRST, *(call.input[2] for call in done if call.input[0] == "write")}
    read = [(call.node, call.input[1], Seen(*call.output)) for call in done if call.is_ok]
    read += [(node, name, each) for node, seen in sorted(final.items()) for name, each in seen.items()]
    for node, name, each in read:
        if each.value not in written:
            yield f"{node} had {each.value!r} in {name!r}, which nobody has written"


def _losses(entries: Sequence[Entry], done: Sequence[Call], final: Final) -> Iterator[str]:
    lives, least = lives_of(entries), defaultdict[str, list[Call]](list)
    for call in done:
        if call.is_ok and call.input[0] == "write" and lives[call.life].last_at >= call.returned_at + LASTS_S:
            least[call.input[1]].append(call)
    for node, seen in sorted(final.items()):
        for name, writes in sorted(least.items()):
            newest = max((Seen(*each.output) for each in writes), key=lambda each: each[:2])
            if name not in seen or seen[name][:2] < newest[:2]:
                yield f"{node} has lost version {newest.number} of {name!r}"
