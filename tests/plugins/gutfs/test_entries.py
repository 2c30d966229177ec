"""Entries, changes and timestamps as they travel; and that no mangled one is anything but MalformedMessage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi import MalformedMessage, NodeId
from guthi_gutfs.entries import Change, ChangeKind, Entry, FileId, Kind, Version, Written
from guthi_gutfs.timestamps import ntp_from_unix, packed, unix_from_ntp, unpacked
from guthi_gutfs.vectors import VersionVector

VERSION = Version(VersionVector(((NodeId(b"n" * 16), 7),)), 1 << 63, "alice")
ENTRY = Entry("/a/b.txt", Kind.FILE, 5, 1234.5, VERSION, 9, b"r" * 32)


def test_they_travel() -> None:
    assert Entry.from_wire(ENTRY.to_wire()) == ENTRY
    for change in [Change(ChangeKind.MOVED, ENTRY, "/c"), Change(ChangeKind.DELETED, replace(ENTRY, kind=Kind.GONE))]:
        assert Change.from_wire(change.to_wire()) == change
    for written in [Written(ENTRY), Written(ENTRY, replace(ENTRY, path="/a/c"))]:
        assert Written.from_wire(written.to_wire()) == written


def test_an_id_is_name_address_and_timestamp() -> None:
    assert ENTRY.id_at("10.0.0.5:6969") == FileId("/a/b.txt", "10.0.0.5:6969", 1 << 63)


JUNK: Any = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=40), st.floats(), st.just([]))


@settings(deadline=None)
@given(st.sampled_from([Entry, Change, Written, Version]), st.lists(st.integers(0, 6), max_size=3), JUNK)
def test_what_is_mangled_is_refused_or_read(cls: Any, place: list[int], junk: Any) -> None:
    whole = {Entry: ENTRY, Change: Change(ChangeKind.MOVED, ENTRY, "/c"), Written: Written(ENTRY), Version: VERSION}
    wire = whole[cls].to_wire()
    spot: Any = [wire]
    index = 0
    for step in place:
        if not isinstance(spot[index], list) or not spot[index]:
            break
        spot, index = spot[index], step % len(spot[index])
    spot[index] = junk
    try:
        cls.from_wire(wire if spot is not None and place else junk)
    except MalformedMessage:
        pass


@pytest.mark.parametrize("path", ["a", "/a/", "/a//b", "/../a", "/a\0"])
def test_a_path_that_is_not_as_it_should_be_is_refused(path: str) -> None:
    wire = ENTRY.to_wire()
    wire[0] = path
    with pytest.raises(MalformedMessage):
        Entry.from_wire(wire)


@settings(deadline=None)
@given(st.floats(0, 4.2e9))
def test_timestamps_are_those_of_ntp(seconds: float) -> None:
    assert abs(unix_from_ntp(ntp_from_unix(seconds)) - seconds) < 1e-5
    assert ntp_from_unix(seconds + 1) > ntp_from_unix(seconds)


def test_the_epoch_of_ntp_is_1900() -> None:
    assert ntp_from_unix(0.0) == 2_208_988_800 << 32  # RFC 5905, figure 4
    assert ntp_from_unix(-1e12) == unpacked(packed(0)) == unpacked(-(1 << 63))
    assert packed(ntp_from_unix(1e12)) == (1 << 63) - 1
