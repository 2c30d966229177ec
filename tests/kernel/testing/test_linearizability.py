"""The checker of linearizability: histories known to be good and bad, and all small ones against trying all orders."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from guthi.errors import UsageError
from guthi.testing.linearizability import (
    UNKNOWN,
    History,
    Operation,
    Register,
    TooHard,
    Violation,
    linearizable,
)

INF = float("inf")
READ = ("read",)


def did(
    client: str, called_at: float, returned_at: float, input: Any, output: Any = None, key: Any = None
) -> Operation:
    return Operation(client, input, output, called_at, returned_at, key)


def lost(client: str, called_at: float, input: Any, key: Any = None) -> Operation:
    return Operation(client, input, UNKNOWN, called_at, INF, key)


GOOD = {
    "nothing": [],
    "one after the other": [did("a", 0, 1, ("write", 1)), did("b", 2, 3, READ, 1)],
    "a read beside a write sees either": [did("a", 0, 3, ("write", 1)), did("b", 1, 2, READ, None)],
    "or the other": [did("a", 0, 3, ("write", 1)), did("b", 1, 2, READ, 1)],
    "first the old, then the new value": [
        did("a", 0, 9, ("write", 1)),
        did("b", 1, 2, READ, None),
        did("c", 3, 4, READ, 1),
    ],
    "a lost write that happened late": [
        lost("a", 0, ("write", 1)),
        did("b", 1, 2, ("write", 2)),
        did("b", 3, 4, READ, 2),
        did("b", 5, 6, READ, 1),
    ],
    "a lost write that never happened": [lost("a", 0, ("write", 1)), did("b", 1, 2, READ, None)],
    "a lost comparison that failed": [lost("a", 0, ("compare", 7, 8)), did("b", 1, 2, READ, None)],
    "of two comparisons at once one succeeds": [
        did("a", 0, 5, ("compare", None, 1), False),
        did("b", 0, 5, ("compare", None, 2), True),
        did("c", 6, 7, READ, 2),
    ],
    "a moment in common counts as at once": [did("a", 0, 1, ("write", 1)), did("b", 1, 2, READ, None)],
    "what belongs to different keys is not compared": [
        did("a", 0, 1, ("write", 1), key="x"),
        did("b", 2, 3, READ, None, key="y"),
    ],
}

BAD = {
    "a stale read": [did("a", 0, 1, ("write", 1)), did("b", 2, 3, READ, None)],
    "a value that nobody wrote": [did("b", 2, 3, READ, 7)],
    "the new value, then the old one": [
        did("a", 0, 9, ("write", 1)),
        did("b", 1, 2, READ, 1),
        did("c", 3, 4, READ, None),
    ],
    "a lost write that happened twice": [
        lost("a", 0, ("write", 1)),
        did("b", 1, 2, READ, 1),
        did("b", 3, 4, ("write", 2)),
        did("b", 5, 6, READ, 1),
    ],
    "a lost write before it was called": [did("b", 1, 2, READ, 1), lost("a", 3, ("write", 1))],
    "two comparisons that both succeed": [
        did("a", 0, 5, ("compare", None, 1), True),
        did("b", 0, 5, ("compare", None, 2), True),
    ],
    "readers that disagree on the order of two writes": [
        did("a", 0, 9, ("write", 1)),
        did("b", 0, 9, ("write", 2)),
        did("c", 1, 2, READ, 1),
        did("c", 3, 4, READ, 2),
        did("d", 1, 2, READ, 2),
        did("d", 3, 4, READ, 1),
        did("d", 5, 6, READ, 2),
    ],
    "one key of two": [
        did("a", 0, 1, ("write", 1), key="x"),
        did("b", 2, 3, READ, None, key="x"),
        did("c", 0, 1, READ),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories(name: str) -> None:
    order = linearizable(GOOD[name], Register())
    assert {id(each) for each in order} >= {id(each) for each in GOOD[name] if each.output is not UNKNOWN}


@pytest.mark.parametrize("name", BAD)
def test_bad_histories(name: str) -> None:
    with pytest.raises(Violation, match="not linearizable"):
        linearizable(BAD[name], Register())


def test_a_violation_says_where_it_is_stuck() -> None:
    stale = did("bob", 2, 3, READ, "old")
    with pytest.raises(Violation, match="bob") as caught:
        linearizable([did("alice", 0, 1, ("write", "new")), stale, did("carol", 4, 5, READ, "new")], Register("old"))
    assert caught.value.stuck == (stale,)


def test_a_history_is_taken_down_as_it_happens() -> None:
    moments = iter(range(100))
    history = History(lambda: float(next(moments)))
    write = history.called("a", ("write", 1))
    read = history.called("b", READ)
    history.returned(read, 1)
    history.failed(history.called("c", ("write", 9)))
    assert write.output is UNKNOWN and [each.client for each in linearizable(history.operations, Register())] == [
        "a",
        "b",
    ]


def test_what_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="not \\('add', 1\\)"):
        linearizable([did("a", 0, 1, ("add", 1))], Register())


def test_a_search_that_takes_too_long_is_given_up() -> None:
    # Each order of 14 writes at once, none of which gives what was read: the memory keeps it to 14 * 2 ** 14 steps.
    history = [did(str(number), 0, 1, ("write", number)) for number in range(14)]
    with pytest.raises(TooHard):
        linearizable([*history, did("r", 2, 3, READ, 99)], Register(), most_steps=10_000)


def test_a_long_history_is_no_trouble() -> None:
    """Ten clients, ten thousand operations: the search goes forward nearly all the time."""
    history = sequential(Random(1), operations=10_000, clients=10)
    assert len(linearizable(history, Register())) == 10_000


def sequential(rng: Random, *, operations: int, clients: int) -> list[Operation]:
    """A history of a real register, each operation with a moment of its own between its call and its return."""
    value: int | None = None
    free_at, history = [0.0] * clients, []
    for moment in range(operations):
        client = rng.randrange(clients)
        called_at = max(moment - rng.uniform(0, 5), free_at[client])
        returned_at = moment + rng.uniform(0, 5)
        if called_at > moment:
            called_at = returned_at = float(moment)
        free_at[client] = returned_at
        written = rng.choice([None, rng.randrange(5)])
        output = value if written is None else None
        value = written if written is not None else value
        history.append(
            did(str(client), called_at, returned_at, READ if written is None else ("write", written), output)
        )
    return history


def is_linearizable_by_trying_all(history: list[Operation]) -> bool:
    """The definition itself: each set of the lost operations, each order of what then happened."""
    known = [each for each in history if each.output is not UNKNOWN]
    unknown = [each for each in history if each.output is UNKNOWN]
    for chosen in range(1 << len(unknown)):
        happened = known + [each for place, each in enumerate(unknown) if chosen >> place & 1]
        if any(respects_time(order) and is_run(order) for order in permutations(happened)):
            return True
    return False


def respects_time(order: tuple[Operation, ...]) -> bool:
    return not any(
        later.returned_at < earlier.called_at for place, earlier in enumerate(order) for later in order[place + 1 :]
    )


def is_run(order: tuple[Operation, ...]) -> bool:
    states: tuple[Any, ...] = (None,)
    for each in order:
        states = tuple(new for state in states for new in Register().step(state, each.input, each.output))
    return bool(states)


inputs = some.one_of(
    some.just(READ),
    some.tuples(some.just("write"), some.integers(0, 2)),
    some.tuples(some.just("compare"), some.sampled_from([None, 0, 1, 2]), some.integers(0, 2)),
)


@some.composite
def operations(draw: some.DrawFn) -> Operation:
    input, called_at = draw(inputs), draw(some.integers(0, 6))
    outputs: dict[str, list[Any]] = {
        "read": [None, 0, 1, 2, UNKNOWN],
        "write": [None, UNKNOWN],
        "compare": [True, False, UNKNOWN],
    }
    output = draw(some.sampled_from(outputs[input[0]]))
    returned_at = INF if output is UNKNOWN else called_at + draw(some.integers(0, 6))
    return Operation("x", input, output, called_at, returned_at)


@given(some.lists(operations(), max_size=5))
def test_it_agrees_with_the_definition(history: list[Operation]) -> None:
    try:
        linearizable(history, Register())
    except Violation:
        assert not is_linearizable_by_trying_all(history)
    else:
        assert is_linearizable_by_trying_all(history)
