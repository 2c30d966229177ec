"""Entries in columns: what is told is read again, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.gutfs.entries import NODES, a_file, a_folder

from guthi import MalformedMessage
from guthi_gutfs.paths import joined
from guthi_gutfs.tree.columns import MOST_ENTRIES, entries_from_wire, entries_to_wire

ENTRIES = [a_folder("/p/x"), a_file("/p/a", None), *(a_file(f"/p/x/{each[0]}", "cat", writer=each) for each in NODES)]
WIRE = entries_to_wire("/p", ENTRIES)


@settings(deadline=None)  # other work on the machine is no failure
@given(names=st.lists(st.sampled_from("abcdé"), max_size=5), folder=st.sampled_from(["/", "/p", "/p/q"]))
def test_what_is_told_is_read_again(names: list[str], folder: str) -> None:
    entries = [a_file(joined(folder, each)) for each in names]
    assert entries_from_wire(entries_to_wire(folder, entries)) == entries


def test_all_that_an_entry_says_is_told() -> None:
    assert entries_from_wire(WIRE) == ENTRIES
    assert entries_from_wire(entries_to_wire("/", [])) == []


def replaced(column: int, value: Any) -> list[Any]:
    return [*WIRE[:column], value, *WIRE[column + 1 :]]


ODD: list[Any] = [
    None,
    [],
    WIRE[:9],
    replaced(0, 3),
    replaced(1, WIRE[1][:-1]),
    replaced(1, ["../x"] * len(ENTRIES)),
    replaced(1, [3] * len(ENTRIES)),
    replaced(2, bytes([7] * len(ENTRIES))),
    replaced(2, "text"),
    replaced(3, [-1] * len(ENTRIES)),
    replaced(4, [float("nan")] * len(ENTRIES)),
    replaced(5, []),
    replaced(5, [[[], 3]] * 6),
    replaced(6, [99] * len(ENTRIES)),
    replaced(7, [1 << 70] * len(ENTRIES)),
    replaced(8, [True] * len(ENTRIES)),
    replaced(9, [b"short"] * len(ENTRIES)),
]


@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_is_refused(odd: Any) -> None:
    with pytest.raises(MalformedMessage):
        entries_from_wire(odd)


def test_there_is_a_bound() -> None:
    with pytest.raises(MalformedMessage, match="too long"):
        entries_from_wire(entries_to_wire("/p", [a_folder("/p/x")] * (MOST_ENTRIES + 1)))
