"""The short way to CBOR writes what cbor2 writes, or leaves the value to it."""

from __future__ import annotations

import math
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.values.plain import MAX_LEVELS, plain_cbor

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-30, 1 << 34),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=300),
)
KEYS = st.one_of(st.text(max_size=5), st.integers(-5, 300))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=25), st.tuples(inner, inner), st.dictionaries(KEYS, inner, max_size=25)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_it_writes_what_cbor2_writes(value: Any) -> None:
    cbor = plain_cbor(value)
    assert cbor is None or cbor == cbor2.dumps(value)


NUMBERS = (0, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1, -1, -24, True, None, 1.5, -0.0)
STRINGS = ("", "é" * 11, "x" * 255, b"", bytes(255))
NESTED = ([], {}, [1] * 23, ["add", (1, 2.0), {"by": None}, 77], {1: [2], "x": {3: 4}})


@pytest.mark.parametrize("value", [*NUMBERS, *STRINGS, *NESTED], ids=repr)
def test_the_ordinary_needs_no_cbor2(value: Any) -> None:
    assert plain_cbor(value) == cbor2.dumps(value)


class Word(str):
    """No plain text, though it would look like one."""


LONG = (1 << 64, -25, "x" * 256, bytes(256), [1] * 24, {n: n for n in range(24)})
PECULIAR = (math.inf, math.nan, Word("x"), {1, 2}, bytearray(2), object(), {b"key": 1}, {(1, 2): 3}, "\ud800")


@pytest.mark.parametrize("value", [*LONG, *PECULIAR, [object()], ["\ud800"]], ids=lambda value: ascii(value)[:20])
def test_what_is_not_plain_is_left_to_cbor2(value: Any) -> None:
    assert plain_cbor(value) is None


def test_what_nests_deeply_or_contains_itself_is_left_to_cbor2() -> None:
    deep: Any = 1
    for _ in range(MAX_LEVELS):
        deep = [deep]
    assert plain_cbor(deep) == cbor2.dumps(deep)
    assert plain_cbor([deep]) is None
    itself: list[Any] = []
    itself.append(itself)
    assert plain_cbor(itself) is None
    assert plain_cbor({"x": itself}) is None
