"""The names of copies: they tell whose copy and of what, fit on every disk, and are the same wherever they are made."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi_gutfs.conflicts.naming import conflict_path, original_path
from guthi_gutfs.entries import Version
from guthi_gutfs.paths import is_name, name_of, parent_of, tree_path
from guthi_gutfs.timestamps import ntp_from_unix
from guthi_gutfs.vectors import VersionVector

NAMES = st.text(min_size=1, max_size=255).filter(is_name)
WRITERS = st.text(max_size=255)
MOMENT_S = 1893456012.5  # 2030-01-01 00:00:12


def version(writer: str, at_s: float = MOMENT_S) -> Version:
    return Version(VersionVector(), ntp_from_unix(at_s), writer)


@pytest.mark.parametrize(
    ("path", "writer", "copy"),
    [
        ("/a/cat.png", "alice", "/a/cat.conflict-alice-20300101-000012.png"),
        ("/cat", "lab-2", "/cat.conflict-lab-2-20300101-000012"),
        ("/.hidden", "a/b: c", "/.hidden.conflict-a_b__c-20300101-000012"),
        ("/cat.tar.gz", "alice", "/cat.tar.conflict-alice-20300101-000012.gz"),
    ],
)
def test_names(path: str, writer: str, copy: str) -> None:
    assert conflict_path(path, version(writer)) == copy
    assert original_path(copy) == path
    second = conflict_path(path, version(writer), 2)
    assert "20300101-000012-2" in second and original_path(second) == path


@settings(deadline=None)
@given(NAMES, WRITERS, st.floats(0, 4.2e9), st.integers(1, 999))
def test_every_copy_can_be_on_a_disk_and_is_known_as_one(name: str, writer: str, at_s: float, number: int) -> None:
    copy = conflict_path(f"/in/{name}", version(writer, at_s), number)
    assert tree_path(copy) == copy and parent_of(copy) == "/in" and copy != f"/in/{name}"
    original = original_path(copy)
    assert original is not None
    if len(name.encode()) < 150:
        assert original == f"/in/{name}"


def test_what_is_no_copy() -> None:
    for path in ("/a", "/a.conflict", "/a.conflict-x.png", "/.conflict-x-20300101-000012", "/a.conflict-x-2030-12"):
        assert original_path(path) is None
    assert name_of("/a") == "a"
