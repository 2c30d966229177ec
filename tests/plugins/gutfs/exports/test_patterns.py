"""Which files an export has."""

from __future__ import annotations

import pytest

from guthi_gutfs.exports.patterns import Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "is_matched"),
    [
        ("*.png", "cat.png", True),
        ("*.png", "deep/in/cat.png", True),
        ("*.png", "cat.png.txt", False),
        ("raw/*.png", "raw/cat.png", True),
        ("raw/*.png", "in/raw/cat.png", False),
        ("raw/*.png", "raw/in/cat.png", False),
        ("/top", "top", True),
        ("/top", "in/top", False),
        ("raw/**", "raw/in/cat.png", True),
        ("raw/**/x", "raw/x", True),
        ("raw/**/x", "raw/a/b/x", True),
        ("**/x", "x", True),
        ("ca?", "cat", True),
        ("ca?", "ca/", False),
        ("[a-c]x", "bx", True),
        ("[!a-c]x", "bx", False),
        ("[!a-c]x", "dx", True),
        ("a.b", "aXb", False),
        ("(", "(", True),
    ],
)
def test_patterns(pattern: str, path: str, is_matched: bool) -> None:
    assert Patterns(exclude=[pattern]).admit(path.split("/"), is_folder=False) is not is_matched
    assert Patterns(include=[pattern]).admit(path.split("/"), is_folder=False) is is_matched


def test_what_is_in_a_folder_goes_with_it() -> None:
    patterns = Patterns(exclude=["secret"])
    assert not patterns.admit(["secret"], is_folder=True)
    assert not patterns.admit(["secret", "in", "file"], is_folder=False)
    assert Patterns(include=["public"]).admit(["public", "file"], is_folder=False)


def test_folders_are_there_for_what_may_be_in_them() -> None:
    patterns = Patterns(include=["*.png"], exclude=["draft*"])
    assert patterns.admit(["photos"], is_folder=True)
    assert not patterns.admit(["photos"], is_folder=False)
    assert not patterns.admit(["draft 1.png"], is_folder=False)
    assert patterns.admit([], is_folder=True)
