"""What a node has heard of another's changes; and the promise as a whole: what is kept is never known to be stale."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.gutfs.entries import BOB, a_change

from guthi_gutfs.serving.promises import Promises
from guthi_gutfs.tree.following import Fetch, Following, Standing

LIFE, OTHER = b"life", b"other"


def test_notices_in_a_row_are_news_and_one_missing_is_noticed() -> None:
    following = Following(LIFE, 5)
    assert following.told(LIFE, 5, 7) is Standing.NEWS
    assert following.told(LIFE, 5, 6) is Standing.NEWS  # overtaken
    assert following.told(LIFE, 9, 10) is Standing.GAP
    following.caught_up(LIFE, 10)
    assert following.told(LIFE, 10, 11) is Standing.NEWS
    assert following.told(OTHER, 11, 12) is Standing.OTHER_LIFE


def test_an_answer_that_a_notice_overtook_is_not_kept() -> None:
    following = Following()
    early, late = following.begin(), following.begin()
    assert following.may_keep(early, LIFE, 5)
    following.told(LIFE, 5, 7)
    assert not following.may_keep(late, LIFE, 6)
    assert following.may_keep(late, LIFE, 7)


def test_after_another_life_nothing_under_way_is_kept() -> None:
    following = Following(LIFE, 5)
    fetch = following.begin()
    following.caught_up(OTHER, 1)
    assert not following.may_keep(fetch, OTHER, 1)


def test_an_answer_that_is_older_than_what_was_asked_for_since_is_not_kept() -> None:
    following = Following(LIFE, 5)
    slow = following.begin()
    following.caught_up(LIFE, 8)  # the notice of change 7 is lost, and the periodic check tells of it
    assert not following.may_keep(slow, LIFE, 6)


class Owner:
    """A node that changes one file of several, and keeps promises over a network that reorders and loses."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.promises = rng, Promises(4)
        self.sequence, self.files = 0, dict.fromkeys("abc", 0)

    def changed(self) -> list[tuple[int, int, list[tuple[str, int]]]]:
        name = self.rng.choice("abc")
        self.sequence += 1
        self.files[name] = self.sequence
        return [
            (notice.before, notice.after, [(change.entry.path[1:], self.sequence) for change in notice.changes])
            for notice in self.promises.changed([a_change("/" + name)], self.sequence)
        ]


@settings(deadline=None)
@given(seed=st.integers(), loss=st.sampled_from([0.0, 0.3]))
def test_what_is_kept_is_stale_only_while_a_notice_is_on_its_way_or_lost(seed: int, loss: float) -> None:
    rng = Random(seed)
    owner, following = Owner(rng), Following()
    kept: dict[str, int] = {}
    notices: list[tuple[int, int, list[tuple[str, int]]]] = []
    answers: list[tuple[Fetch, str, int, int]] = []
    for _ in range(60):
        deed = rng.randrange(4)
        if deed == 0:
            notices += owner.changed()
        elif deed == 1:
            name = rng.choice("abc")
            owner.promises.promise(BOB, "/" + name, owner.sequence)
            answers.append((following.begin(), name, owner.files[name], owner.sequence))
        elif deed == 2 and answers:
            fetch, name, value, sequence = answers.pop(rng.randrange(len(answers)))
            if following.may_keep(fetch, LIFE, sequence):
                kept[name] = value
            following.end(fetch)
        elif notices:
            before, after, changes = notices.pop(rng.randrange(len(notices)))
            if rng.random() < loss:
                continue
            if following.told(LIFE, before, after) is not Standing.NEWS:
                kept.clear()
                owner.promises.caught_up(BOB, owner.sequence)
                following.caught_up(LIFE, owner.sequence)
            for name, _ in changes:
                kept.pop(name, None)
        if not notices and not loss:
            assert all(owner.files[name] == value for name, value in kept.items())
    kept.clear()  # the periodic check
