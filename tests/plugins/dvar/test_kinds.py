"""The types of values: what each takes, how it is told, and what is no type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi import MalformedMessage, NotEncodable, UsageError
from guthi_dvar.errors import TypeMismatch
from guthi_dvar.kinds import Kind, kind_of, kind_of_type


@dataclass
class Point:
    x: int


TAKEN: list[tuple[Any, Any, Any]] = [
    (None, None, None),
    (bool, True, True),
    (int, 2**80, 2**80),
    (int, np.int64(3), 3),
    (float, 3, 3.0),
    (float, np.float32(0.5), 0.5),
    (str, "a", "a"),
    (bytes, bytearray(b"a"), b"a"),
    (list, [1, "a"], [1, "a"]),
    (list[float], [1], [1.0]),
    (dict, {1: 2}, {1: 2}),
    (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
    (tuple, (1, "a"), (1, "a")),
    (tuple[int, ...], (), ()),
    (tuple[int, str], (1, "a"), (1, "a")),
    (int | None, None, None),
    (None | int, 1, 1),
    (Point, Point(1), Point(1)),
    (Any, {1}, {1}),
    (object, 1, 1),
]


@pytest.mark.parametrize(("annotation", "value", "kept"), TAKEN)
def test_what_is_taken(annotation: Any, value: Any, kept: Any) -> None:
    kind = kind_of_type(annotation)
    assert kind.accept(value) == kept and type(kind.accept(value)) is type(kept)
    assert Kind.from_wire(kind.to_wire()) == kind


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, True, r"to be int, not True \(bool\)"),
        (int, 1.0, "float"),
        (bool, 1, "int"),
        (str, b"a", "bytes"),
        (list, (1,), "tuple"),
        (list[int], [1, "a"], r"the value\[1\] is to be int"),
        (dict[str, int], {"a": None}, r"the value\['a'\] is to be int"),
        (dict[str, int], {1: 1}, "a key of the value is to be str"),
        (tuple[int, str], (1,), r"tuple\[int, str\]"),
        (tuple[int, ...], (1, "a"), r"the value\[1\]"),
        (int | None, "a", r"int \| None"),
        (Point, 1, "Point"),
    ],
)
def test_what_is_refused_and_where(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        kind_of_type(annotation).accept(value)


def test_numpys_scalars_are_pythons() -> None:
    assert [kind_of(each).name for each in (np.float64(1), np.int8(1), np.bool_(True), np.str_("a"))] == [
        "float",
        "int",
        "bool",
        "str",
    ]


@pytest.mark.parametrize(("annotation", "value"), [(str, "\ud800"), (tuple[str, ...], ("a", "é\udfff"))])
def test_a_text_that_is_no_unicode_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(NotEncodable, match="no Unicode"):
        kind_of_type(annotation).accept(value)
    assert kind_of_type(str).accept("é中") == "é中"


def test_a_number_that_python_does_not_print_is_refused_as_others_are() -> None:
    with pytest.raises(TypeMismatch, match="to be str, not a very large number"):
        kind_of_type(str).accept(10**5000)
    with pytest.raises(TypeMismatch, match="a very large number"):
        kind_of_type(dict[int, int]).accept({10**5000: "a"})


def test_tuples_that_travelled_are_tuples_again() -> None:
    kind = kind_of_type(list[tuple[int, tuple[str, ...]]])
    assert kind.accept([[1, ["a"]]], travelled=True) == [(1, ("a",))]
    with pytest.raises(TypeMismatch):
        kind.accept([[1, ["a"]]])


def test_what_readers_may_share() -> None:
    assert kind_of_type(tuple[int, str | None]).is_immutable
    assert not kind_of((1, 2)).is_immutable and not kind_of([]).is_immutable


@pytest.mark.parametrize("annotation", [set, set[int], np.ndarray, "int", list[set[int]], 3, type])
def test_what_is_no_type(annotation: Any) -> None:
    with pytest.raises(UsageError, match="no variable can have the type"):
        kind_of_type(annotation)


@given(st.recursive(st.none() | st.integers() | st.sampled_from(["int", "row", ""]), st.lists, max_leaves=10))
def test_a_type_is_read_or_refused(wire: Any) -> None:
    try:
        Kind.from_wire(wire)
    except MalformedMessage:
        pass


def test_a_type_nests_only_so_deep() -> None:
    wire: list[Any] = ["int", "", []]
    for _ in range(20):
        wire = ["list", "", [wire]]
    with pytest.raises(MalformedMessage):
        Kind.from_wire(wire)
