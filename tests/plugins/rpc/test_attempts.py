"""A failure is told as a value, whatever it is, and survives the way out of a worker process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import socket
import threading
from itertools import count
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

from guthi.api import NodeId
from guthi.errors import PeerLost, RemoteError
from guthi_rpc.attempts import Attempt, Failure, attempt, attempt_in_worker, contained
from guthi_rpc.context import Context

CONTEXT = Context("f", (NodeId(bytes(16)), 1))

STEERING = [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), StopIteration(1)]


def failing(error: BaseException) -> Any:
    def fail() -> None:
        raise error

    return fail


class Unmakeable(Exception):
    def __init__(self, *args: Any, key: int = 0) -> None:
        super().__init__(*args)

    def __new__(cls, *args: Any, key: int = 0) -> Unmakeable:
        if not key:
            raise ValueError("it needs a key")
        return super().__new__(cls, *args)


def test_the_seconds_are_those_of_the_call() -> None:
    ticks = count(10.0, 2.5)
    done = attempt(lambda: next(ticks), lambda: "value")
    assert done.answer(1.0) == ("value", 2.5)


def test_an_exception_is_raised_as_it_was() -> None:
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught:
        attempt(lambda: 0.0, failing(error)).answer(0.0)
    assert caught.value is error


@pytest.mark.parametrize("error", [*STEERING, StopAsyncIteration()], ids=repr)
def test_what_would_steer_the_node_is_only_told_of(error: BaseException) -> None:
    with pytest.raises(RemoteError, match=type(error).__name__) as caught:
        attempt(lambda: 0.0, failing(error)).answer(0.0)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [concurrent.futures.CancelledError(), concurrent.futures.BrokenExecutor()], ids=repr)
def test_what_futures_would_misunderstand_is_an_ordinary_failure(error: Exception) -> None:
    assert contained(error) is error


def through_a_pipe(done: Attempt) -> Attempt:
    """As multiprocessing carries it."""
    return ForkingPickler.loads(ForkingPickler.dumps(done))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no", 3),
        OSError(2, "gone", "file"),
        PeerLost("bob", "it left"),
        json.JSONDecodeError("odd", "{", 1),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ],
    ids=repr,
)
def test_an_exception_leaves_a_worker_with_all_that_it_carries(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        through_a_pipe(attempt_in_worker(failing(error), CONTEXT)).answer(0.0)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert {**vars(caught.value), "__notes__": None} == {**vars(error), "__notes__": None}
    assert "in fail" in caught.value.__notes__[0]


@pytest.mark.parametrize("error", STEERING, ids=repr)
def test_a_worker_contains_it_too(error: BaseException) -> None:
    with pytest.raises(RemoteError, match=type(error).__name__):
        through_a_pipe(attempt_in_worker(failing(error), CONTEXT)).answer(0.0)


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even a text")


class Secretive(Exception):
    @property
    def args(self) -> Any:
        raise RuntimeError("none of your business")


class Unnoted(ValueError):
    __notes__ = 3  # type: ignore[assignment]


class Bound(ValueError):
    """As database drivers and HTTP clients raise them: it carries what cannot leave its process."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text, threading.Lock())
        self.code, self.connection, self.of_its_own = code, socket.socket, lambda: None

    def __reduce__(self) -> Any:
        raise TypeError("never")


def test_an_exception_leaves_a_worker_without_what_cannot() -> None:
    with pytest.raises(Bound) as caught:
        through_a_pipe(attempt_in_worker(failing(Bound("no route", 7)), CONTEXT)).answer(0.0)
    assert caught.value.args[0] == "no route"
    assert "lock" in caught.value.args[1] and isinstance(caught.value.args[1], str)
    assert caught.value.code == 7
    assert caught.value.connection is socket.socket
    assert "lambda" in str(caught.value.of_its_own)
    assert "in fail" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "error", [Mute(), Secretive("hidden"), Unnoted("no note")], ids=lambda each: type(each).__name__
)
def test_a_strange_exception_hides_neither_itself_nor_where_it_was(error: Exception) -> None:
    with pytest.raises((RemoteError, type(error))) as caught:
        through_a_pipe(attempt_in_worker(failing(error), CONTEXT)).answer(0.0)
    assert type(error).__name__ in f"{type(caught.value)} {caught.value.__dict__}"
    assert "in fail" in caught.value.__notes__[0]


def test_one_of_a_class_that_is_nowhere_to_be_found_is_told_of() -> None:
    class Local(ValueError):
        pass

    with pytest.raises(RemoteError, match="Local: here only") as caught:
        through_a_pipe(attempt_in_worker(failing(Local("here only")), CONTEXT)).answer(0.0)
    assert "in fail" in caught.value.__notes__[0]


def test_what_has_no_text_is_contained_too() -> None:
    class Mute(BaseException):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(RemoteError, match="Mute"):
        attempt(lambda: 0.0, failing(Mute())).answer(0.0)


def test_an_exception_that_cannot_be_made_again_is_told_of() -> None:
    failure = Failure.of(Unmakeable("text", key=1))
    with pytest.raises(RemoteError, match="Unmakeable: text"):
        raise failure.revived()


def test_a_value_leaves_a_worker() -> None:
    done = through_a_pipe(attempt_in_worker(lambda: [1, "two"], CONTEXT))
    assert done.value == [1, "two"]
    assert done.seconds is None  # the node has a clock
