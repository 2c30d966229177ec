"""A call travels as it was meant, and nothing that a peer may send instead has another effect than MalformedMessage."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.errors import MalformedMessage, UsageError
from guthi_rpc.batches import Batch, Shape, read_batch
from guthi_rpc.options import Options
from guthi_rpc.questions import MAX_KEY_CHARACTERS, MAX_PRIORITY, Question, read_question

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)
WORDS = st.dictionaries(
    st.sampled_from(["key", "priority", "state", "idempotent", "relayed", "attempt", "other"]), ANYTHING
)
NEARLY = st.tuples(st.text(), st.lists(SCALARS), st.dictionaries(st.text(), SCALARS), st.integers(), WORDS).map(list)
ITEMS = st.lists(ANYTHING, max_size=4)
SHAPES = st.sampled_from(["item", "star", "fold", "other"])
NEARLY_BATCH = st.tuples(st.text(), ITEMS, SHAPES, st.integers(), st.integers()).map(list)


@given(
    name=st.text(),
    arguments=st.lists(SCALARS),
    named=st.dictionaries(st.text(), SCALARS),
    number=st.integers(0),
    key=st.none() | st.text(min_size=1, max_size=MAX_KEY_CHARACTERS),
    priority=st.integers(-MAX_PRIORITY, MAX_PRIORITY),
    idempotent=st.booleans(),
    relayed=st.integers(0, 9),
    attempt=st.integers(0, 9),
)
def test_a_question_travels(name: str, arguments: list[Any], named: dict[str, Any], number: int, **more: Any) -> None:
    question = Question(name, arguments, named, number, state=arguments or None, **more)
    assert repr(read_question(question.to_wire())) == repr(question)  # NaN is not equal to itself


@given(ANYTHING | NEARLY | NEARLY_BATCH)
def test_whatever_a_peer_sends_is_read_or_refused(wire: Any) -> None:
    with suppress(MalformedMessage):
        question = read_question(wire)
        assert question.key is None or 0 < len(question.key) <= MAX_KEY_CHARACTERS
        assert abs(question.priority) <= MAX_PRIORITY
    with suppress(MalformedMessage):
        batch = read_batch(wire)
        assert batch.items
        assert batch.shape is not Shape.STAR or all(isinstance(item, list) for item in batch.items)


def test_what_is_not_asked_for_costs_nothing() -> None:
    assert Question("f", (1,), {}, 7).to_wire() == ["f", [1], {}, 7]
    assert Question("f", (1,), {}, 7, key="k").to_wire() == ["f", [1], {}, 7, {"key": "k"}]


@pytest.mark.parametrize("words", [{"key": ""}, {"key": "x" * 256}, {"key": 1}, {"priority": 2**32}, {"priority": "a"}])
def test_words_are_bounded(words: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        read_question(["f", [], {}, 1, words])


@pytest.mark.parametrize("shape", Shape)
def test_a_batch_travels(shape: Shape) -> None:
    batch = Batch("f", [[1], [2, 3]], shape, 5, -1)
    assert read_batch(batch.to_wire()) == batch


@pytest.mark.parametrize(
    "wire", [["f", [], "item", 1, 0], ["f", [1], "star", 1, 0], ["f", [1], "all", 1, 0], ["f", [1], "item", 1], None]
)
def test_a_batch_that_is_none_is_refused(wire: Any) -> None:
    with pytest.raises(MalformedMessage):
        read_batch(wire)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"timeout": -1}, "a timeout is 0 or more seconds, not -1"),
        ({"timeout": float("nan")}, "0 or more seconds"),
        ({"timeout": "5"}, "0 or more seconds, not '5'"),
        ({"key": 7}, "a key is a text of 1 to 255 characters, not 7"),
        ({"affinity": 7}, "an affinity is a text that calls have in common, not 7"),
        ({"priority": "high"}, "a priority is a whole number"),
        ({"priority": 1.5}, "a priority is a whole number"),
        ({"on": ["bob"]}, "on= is one node"),
        ({"key": ""}, "a key is a text of 1 to 255 characters, not 0"),
        ({"key": "x" * 256}, "not 256"),
        ({"priority": 2**32}, "a priority is a whole number from"),
        ({"on": "bob", "affinity": "s"}, "leave one of them out"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_the_mend(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Options(**options)
