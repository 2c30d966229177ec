"""Operations as lines: what is written is read again, and whatever else is read is refused and nothing worse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.whiteboard.drawing import ANNE, BEN, a_line, op

from guthi import MalformedMessage
from guthi_whiteboard import Operation, Stamp, from_line, to_line
from guthi_whiteboard.log import MOST_LINE_BYTES, as_lines, from_json
from guthi_whiteboard.quick import stroke_parts
from guthi_whiteboard.shapes import AUTHOR_LENGTH, AUTHOR_LETTERS, COLOURS, MOST_COUNT

authors = st.text(st.sampled_from(sorted(AUTHOR_LETTERS)), min_size=AUTHOR_LENGTH, max_size=AUTHOR_LENGTH)
times = st.integers(1, MOST_COUNT)
places = st.integers(-(10**9), 10**9)
common = {"colour": st.sampled_from(COLOURS), "width": st.integers(1, 1000)}
points = st.lists(st.tuples(places, places), min_size=1, max_size=40).map(
    lambda pairs: [each for pair in pairs for each in pair]
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200)
objects = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("pen"), **common, "points": points},
        optional={"pressure": st.lists(st.integers(0, 100), min_size=1, max_size=20)},
    ),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["line", "arrow"]), **common, "ends": st.lists(places, min_size=4, max_size=4)}
    ),
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["rectangle", "ellipse"]),
            **common,
            "fill": st.sampled_from(["none", "tint", "solid"]),
            "box": st.tuples(places, places, st.integers(0, 999), st.integers(0, 999)).map(list),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("text"),
            "colour": common["colour"],
            "size": st.integers(20, 5000),
            "at": st.lists(places, min_size=2, max_size=2),
            "text": texts,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("clear"),
            "seen": st.dictionaries(authors, times, max_size=5),
            "at_s": st.integers(0, MOST_COUNT),
        }
    ),
)
stamps = st.builds(Stamp, times, authors)
operations = st.builds(
    lambda one, other, value: op(*max(one, other), value, min(one, other)), stamps, stamps, st.none() | objects
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | authors,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=9) | st.sampled_from(["kind", "points", "seen"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(operations)
def test_what_is_written_is_read_again(operation: Operation) -> None:
    line = to_line(operation)
    assert from_line(line) == from_line(line.encode()) == operation
    assert "\n" not in line
    assert to_line(from_line(line)) == line


@given(operations, st.data())
def test_what_is_read_by_its_form_is_what_json_says(operation: Operation, data: st.DataObject) -> None:
    """Also with a character changed, added or missing: then it may be another operation, but the same for both."""
    line = to_line(operation)
    kind = (operation.object or {}).get("kind")
    place = data.draw(st.integers(0, len(line)))
    other = data.draw(st.sampled_from(["", "-", "0", "1", "9", "5,7,", ",", " ", "b", "]", '"']))
    for text in (line, line[:place] + other + line[place + data.draw(st.integers(0, 2)) :]):
        parts = stroke_parts(text)
        assert parts is not None or text is not line or kind not in ("pen", "highlighter") or is_far(operation)
        if parts is not None:
            count, author, birth_count, birth_author, value = parts
            try:
                said = from_json(json.loads(text))
            except MalformedMessage as error:
                assert "not there yet" in str(error)
                assert (count, author) < (birth_count, birth_author)
            else:
                assert said == Operation(Stamp(count, author), Stamp(birth_count, birth_author), value)


def is_far(operation: Operation) -> bool:
    """Whether it has numbers that are left to JSON."""
    largest = max(map(abs, (operation.object or {})["points"]))
    return largest >= 10**9 or max(operation.stamp.time, operation.birth.time) >= 10**15


@given(st.lists(operations, max_size=5))
def test_a_file_is_lines(some: list[Operation]) -> None:
    lines = as_lines(some).split(b"\n")
    assert lines.pop() == b""
    assert [from_line(line) for line in lines] == some


@given(objects, st.randoms(use_true_random=False))
def test_the_order_of_fields_does_not_matter(value: dict[str, Any], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    assert op(1, ANNE, {name: value[name] for name in names}) == op(1, ANNE, value)


@given(st.text() | st.binary() | json_values.map(lambda value: json.dumps(value)))
def test_anything_else_is_refused_and_nothing_worse(line: str | bytes) -> None:
    with pytest.raises(MalformedMessage):
        from_line(line)


@given(operations, st.data())
def test_a_line_that_was_changed_is_an_operation_or_refused(operation: Operation, data: st.DataObject) -> None:
    parts = json.loads(to_line(operation))
    place = data.draw(st.integers(0, 4))
    parts[place] = data.draw(json_values)
    try:
        changed = from_line(json.dumps(parts))
    except MalformedMessage:
        return
    assert from_line(to_line(changed)) == changed


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({**a_line(), "kind": "circle"}, "one of pen"),
        ({**a_line(), "width": 0}, "width of a line"),
        ({**a_line(), "width": True}, "width of a line"),
        ({**a_line(), "ends": [0, 0, 1.5, 2]}, "ends of a line"),
        ({**a_line(), "ends": [0, 0, 10**10, 2]}, "ends of a line"),
        ({**a_line(), "colour": "red;url(x)"}, "colour of a line"),
        ({**a_line(), "onload": "x"}, "has no 'onload'"),
        ({"kind": "pen", "colour": "red", "width": 1, "points": [1, 2, 3]}, "points of a pen"),
        ({"kind": "pen", "colour": "red", "width": 1, "points": [1, 2] * 5000}, "points of a pen"),
        ({"kind": "pen", "colour": "red", "width": 1}, "needs a points"),
        ({"kind": "text", "colour": "red", "size": 160, "at": [0, 0], "text": "\ud800"}, "text of a text"),
        ({"kind": "text", "colour": "red", "size": 160, "at": [0, 0], "text": "x" * 2001}, "text of a text"),
        ({"kind": "clear", "seen": {"__proto__": 1}, "at_s": 0}, "seen of a clear"),
        ([], "one of pen"),
    ],
)
def test_a_bad_object_is_refused_with_what_is_wrong(value: Any, complaint: str) -> None:
    with pytest.raises(MalformedMessage, match=complaint):
        op(1, ANNE, value)


def test_what_is_changed_must_have_been_there() -> None:
    with pytest.raises(MalformedMessage, match="not there yet"):
        op(3, ANNE, a_line(), Stamp(4, BEN))


def test_a_huge_object_is_refused() -> None:
    far = {"kind": "pen", "colour": "red", "width": 1, "points": [-999_999_999] * 2000}
    with pytest.raises(MalformedMessage, match="draw it in parts"):
        op(1, ANNE, far)
    with pytest.raises(MalformedMessage, match="bytes at most"):
        from_line("[" * (MOST_LINE_BYTES + 1))
