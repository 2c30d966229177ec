"""Patterns: what they mean, against a plain reading of them, and that none runs away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi_gutfs import BadPath
from guthi_gutfs.globbing import fixed_part, matches


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("/p/*", "/p/a", True),
        ("/p/*", "/p/a/b", False),
        ("/p/*.png", "/p/cat.png", True),
        ("/p/*.png", "/p/catxpng", False),
        ("/p/?", "/p/ab", False),
        ("/p/[a-c]", "/p/b", True),
        ("/p/[!a-c]", "/p/b", False),
        ("/p/[!a-c]", "/p/d", True),
        ("/p/[", "/p/[", True),
        ("/p/**/c", "/p/c", True),
        ("/p/**/c", "/p/a/b/c", True),
        ("/p/**", "/p/a/b/c", True),
        ("/p/**", "/q/a", False),
        ("/", "/", True),
    ],
)
def test_what_a_pattern_means(pattern: str, path: str, is_match: bool) -> None:
    assert matches(pattern, path) is is_match


def test_where_to_look() -> None:
    assert fixed_part("/p/q/*.png") == "/p/q" and fixed_part("/*/x") == "/" and fixed_part("/p/q") == "/p"


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(BadPath):
        matches("/p/[z-a]", "/p/b")


@settings(deadline=None)
@given(
    name=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0*?[]!"), min_size=1, max_size=20)
)
def test_a_plain_name_means_itself(name: str) -> None:
    if name not in (".", ".."):
        assert matches(f"/{name}", f"/{name}") and not matches(f"/{name}", f"/{name}x")
