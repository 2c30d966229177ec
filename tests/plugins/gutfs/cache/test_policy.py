"""Which chunks are kept where: the bounds hold, the oldest go first, pins hold, and the moves add up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guthi_gutfs.cache.policy import Moves, Tiers

MEMORY, DISK = 100, 200
DIGESTS = [bytes([number]) * 32 for number in range(12)]
SIZES = dict(zip(DIGESTS, [10, 20, 30, 40, 50, 60, 10, 20, 100, 101, 150, 201], strict=True))
EVENTS = st.tuples(
    st.sampled_from(["came", "came", "used", "gone", "pin", "unpin"]), st.sampled_from(DIGESTS), st.booleans()
)


class Bytes:
    """Where the bytes are if one does what the moves say."""

    def __init__(self) -> None:
        self.memory: set[bytes] = set()
        self.disk: set[bytes] = set()

    def carry_out(self, moves: Moves, digest: bytes, tiers: Tiers) -> None:
        here = self.memory | ({digest} if digest not in self.disk else set())
        for each in moves.written:
            assert each in here, "what is written to disk has to be at hand"
            self.disk.add(each)
        if tiers.in_memory(digest):
            self.memory.add(digest)
        self.memory -= set(moves.forgotten)
        self.disk -= set(moves.removed)


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_bounds_and_moves(events: list[tuple[str, bytes, bool]]) -> None:
    tiers, there = Tiers(MEMORY, DISK), Bytes()
    pins: dict[bytes, int] = {}
    for event, digest, is_short in events:
        had = {each for each in pins if each in tiers}
        moves = Moves()
        if event == "came":
            moves = tiers.came(digest, SIZES[digest], is_short=is_short)
        elif event == "used" and digest in tiers:
            moves = tiers.used(digest, is_short=is_short)
        elif event == "gone":
            moves = tiers.gone(digest)
            had.discard(digest)
        elif event == "pin":
            tiers.pin([digest])
            pins[digest] = pins.get(digest, 0) + 1
        elif event == "unpin":
            tiers.unpin([digest])
            pins = {each: count - (each == digest) for each, count in pins.items() if count - (each == digest) > 0}
        there.carry_out(moves, digest, tiers)
        assert there.memory == {each for each in DIGESTS if tiers.in_memory(each)}
        assert there.disk == {each for each in DIGESTS if tiers.on_disk(each)}
        assert tiers.memory_bytes == sum(SIZES[each] for each in there.memory) <= MEMORY
        assert tiers.disk_bytes == sum(SIZES[each] for each in there.disk) <= DISK
        assert had <= there.memory | there.disk, "what is pinned stays"
        assert tiers.pinned == len(pins)


def test_memory_first_then_disk_then_the_oldest_goes() -> None:
    tiers = Tiers(20, 20)
    for digest in DIGESTS[:4]:
        tiers.came(digest, 10, is_short=False)
    assert [tiers.in_memory(each) for each in DIGESTS[:4]] == [False, False, True, True]
    assert [tiers.on_disk(each) for each in DIGESTS[:4]] == [True, True, False, False]
    tiers.used(DIGESTS[2], is_short=False)
    moves = tiers.came(DIGESTS[4], 10, is_short=False)
    assert moves == Moves(written=[DIGESTS[3]], forgotten=[DIGESTS[3]], removed=[DIGESTS[0]])


def test_while_memory_is_short_chunks_go_to_disk_and_memory_is_given_back() -> None:
    tiers = Tiers(100, 100)
    tiers.came(DIGESTS[0], 10, is_short=False)
    moves = tiers.came(DIGESTS[1], 10, is_short=True)
    assert moves.written == [DIGESTS[0], DIGESTS[1]] and moves.forgotten == [DIGESTS[0]]
    assert tiers.memory_bytes == 0 and tiers.disk_bytes == 20
    tiers.used(DIGESTS[0], is_short=True)
    assert not tiers.in_memory(DIGESTS[0])
    tiers.used(DIGESTS[0], is_short=False)
    assert tiers.in_memory(DIGESTS[0]) and tiers.on_disk(DIGESTS[0])


def test_what_does_not_fit_is_not_kept() -> None:
    tiers = Tiers(10, 0)
    tiers.came(DIGESTS[0], 11, is_short=False)
    tiers.pin([DIGESTS[1], DIGESTS[1]])
    tiers.came(DIGESTS[1], 10, is_short=False)
    tiers.came(DIGESTS[2], 10, is_short=False)
    assert tiers.all() == [DIGESTS[1]]
    tiers.unpin([DIGESTS[1]])
    tiers.came(DIGESTS[2], 10, is_short=False)
    assert tiers.all() == [DIGESTS[1]]
    tiers.unpin([DIGESTS[1]])
    tiers.came(DIGESTS[2], 10, is_short=False)
    assert tiers.all() == [DIGESTS[2]]
