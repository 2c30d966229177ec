"""Paths of the tree: whatever text comes, what is accepted leads nowhere else, and comes out the same a second time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi_gutfs.errors import BadPath
from guthi_gutfs.paths import is_within, joined, name_of, names_of, parent_of, parents_of, tree_path

TEXTS = st.text(alphabet=st.sampled_from([*"ab./\\\0:~ ", "é", "\udc80", "😀"]), max_size=30)


@settings(deadline=None)
@given(TEXTS)
def test_what_is_accepted_is_harmless_and_stays_the_same(text: str) -> None:
    try:
        path = tree_path(text)
    except BadPath:
        return
    assert path.startswith("/") and tree_path(path) == path
    assert not {"", ".", ".."} & set(names_of(path))
    assert "\0" not in path and path.encode()
    assert parents_of(path)[-1:] == ([parent_of(path)] if path != "/" else [])
    assert path == "/" or joined(parent_of(path), name_of(path)) == path


@pytest.mark.parametrize(
    "text", ["/..", "a/../b", "./a", "/a\0b", "/" + "n" * 256, "/" + "/".join("a" * 65), "/\udc80", 5, None]
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(BadPath):
        tree_path(text)


def test_within_is_by_whole_names() -> None:
    assert is_within("/a/b", "/a") and is_within("/a", "/a") and is_within("/a", "/")
    assert not is_within("/ab", "/a") and not is_within("/", "/a")
