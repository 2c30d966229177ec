"""What may be put into the store, under which name, and how it runs."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.errors import MalformedMessage, UsageError
from guthi_rpc import Run
from guthi_rpc.functions import Description, describe_function


def plain(left: int, right: int = 2) -> int:
    """Adds.

    With care.
    """
    return left + right


async def waits() -> None:
    pass


class Callable:
    async def __call__(self, value: int) -> int:
        return value

    def method(self) -> None:
        pass


def test_a_function_is_described_by_itself() -> None:
    assert describe_function(plain, None, None).description == Description(
        "plain", "(left: 'int', right: 'int' = 2) -> 'int'", "Adds.\n\nWith care.", Run.THREAD
    )


@pytest.mark.parametrize(
    ("function", "run", "expected"),
    [
        (plain, None, Run.THREAD),
        (plain, "inline", Run.INLINE),
        (plain, Run.PROCESS, Run.PROCESS),
        (waits, None, Run.INLINE),
        (waits, "inline", Run.INLINE),
        (partial(waits), None, Run.INLINE),
        (Callable(), None, Run.INLINE),
        (Callable().method, None, Run.THREAD),
        (os.getpid, "process", Run.PROCESS),
    ],
)
def test_how_it_runs(function: Any, run: Run | str | None, expected: Run) -> None:
    assert describe_function(function, "f", run).description.run is expected


def test_a_builtin_without_a_signature_and_a_long_text_are_no_trouble() -> None:
    assert describe_function(dict.fromkeys, None, None).description.name == "fromkeys"
    assert describe_function(max, None, None).description.signature == "(...)"

    def talkative(value: str = "x" * 5000) -> None:
        pass

    talkative.__doc__ = "y" * 5000
    description = describe_function(talkative, None, None).description
    assert Description.from_wire(description.to_wire()) == description


def test_texts_are_told_as_far_as_they_can_be_sent() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "\ud800"

    def odd(value: Any = Odd()) -> None:  # noqa: B008
        pass

    odd.__doc__ = "bad \udcff doc"
    description = describe_function(odd, None, None).description
    assert (description.signature, description.doc) == ("(value: 'Any' = ?) -> 'None'", "bad ? doc")


def generates() -> Any:
    yield 1


async def generates_slowly() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "name", "run", "complaint"),
    [
        (3, None, None, "is no function"),
        (lambda: 1, None, None, "no name that others could call"),
        (partial(plain, 1), None, None, "no name that others could call"),
        (plain, "", None, "no name that others could call"),
        (plain, 7, None, "no name that others could call"),
        (plain, "x" * 256, None, "1 to 255 characters"),
        (plain, "bad\udcff", None, "has a lone surrogate"),
        (plain, None, "fast", "'inline', 'thread', 'process'"),
        (waits, None, "thread", "leave run='thread' out"),
        (lambda: 1, "f", "process", "define it at the top of a module"),
        (generates, None, "process", "leave run=… out"),
        (generates_slowly, None, "thread", "leave run=… out"),
    ],
)
def test_what_cannot_be_called_is_refused_with_the_mend(function: Any, name: Any, run: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        describe_function(function, name, run)


@given(st.text(min_size=1, max_size=255), st.text(max_size=1000), st.text(max_size=1000), st.sampled_from(Run))
def test_a_description_survives_the_wire(name: str, signature: str, doc: str, run: Run) -> None:
    description = Description(name, signature, doc, run)
    assert Description.from_wire(description.to_wire()) == description


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        "abcd",
        ["f", "()", "", "sideways"],
        ["f", "()", "", 1],
        ["", "()", "", "thread"],
        ["f" * 256, "()", "", "thread"],
        ["f", "(" * 1001, "", "thread"],
        ["f", "()", "d" * 1001, "thread"],
        ["f", "()", "", "thread", "more"],
    ],
)
def test_a_bad_description_is_a_breach(wire: Any) -> None:
    with pytest.raises(MalformedMessage):
        Description.from_wire(wire)


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(), lambda inner: st.lists(inner, max_size=5)))
def test_nothing_but_malformed_message_comes_of_garbage(wire: Any) -> None:
    try:
        Description.from_wire(wire)
    except MalformedMessage:
        pass
