"""Exceptions across the network: own class where it is known, RemoteError elsewhere, and never a second failure."""

from __future__ import annotations

import asyncio
import builtins
import dataclasses
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi import errors
from guthi.errors import DeadlineExceeded, MalformedMessage, PeerLost, RemoteError
from guthi.values.codec import Codec
from guthi.values.faults import MAX_TEXT_BYTES, STANDARD_ERRORS, describe, revive


class Overheated(Exception):
    """An application's exception, whose constructor takes other arguments than its args."""

    def __init__(self, sensor: str, celsius: float) -> None:
        super().__init__(f"{sensor} is at {celsius}")
        self.sensor = sensor
        self.celsius = celsius


class DiskFull(OSError):
    """An application's exception with a built-in ancestor that keeps state of its own, and an __init__."""

    def __init__(self, disk: str) -> None:
        super().__init__(28, "no space left", disk)


class Unprintable(Exception):
    """An exception that fails when it is asked what happened."""

    def __str__(self) -> str:
        raise RuntimeError("not telling")


class Shy(Exception):
    """An exception whose `__new__` makes something else."""

    def __new__(cls, *args: Any) -> Any:
        return ValueError(*args)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def over_the_wire(error: BaseException, codec: Codec | None = None) -> Exception:
    codec = codec or Codec()
    fault = codec.decode(b"".join(codec.encode(["fault", describe(error, codec)])))[1]
    return revive(fault, codec, "bob")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 3), KeyError("x"), ZeroDivisionError(), Exception("plain"), TimeoutError(), UserWarning("u"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad byte"), ImportError("no such"), SyntaxError("odd"),
        errors.NotEncodable("n"), errors.UnknownTopic("t"), DeadlineExceeded("late"), MalformedMessage("m"),
    ],
)  # fmt: skip
def test_known_exceptions_arrive_as_themselves(error: Exception) -> None:
    got = over_the_wire(error)
    assert type(got) is type(error)
    assert got.args == error.args
    assert str(got) == str(error)


@pytest.mark.parametrize("name", sorted(STANDARD_ERRORS.keys() - {"ExceptionGroup"}))
def test_every_standard_error_makes_the_journey(name: str) -> None:
    cls = STANDARD_ERRORS[name]
    got = over_the_wire(cls.__new__(cls, "text", "more"))
    assert type(got) is cls or (issubclass(cls, UnicodeError) and type(got) is RemoteError)


def test_oserror_keeps_errno_and_file_names() -> None:
    try:
        os.stat("/no/such/file")
    except OSError as error:
        got = over_the_wire(error)
    assert isinstance(got, FileNotFoundError)
    assert (got.errno, got.filename, got.strerror) == (2, "/no/such/file", "No such file or directory")
    renamed = over_the_wire(OSError(18, "cross-device", "a", None, "b"))
    assert isinstance(renamed, OSError)
    assert (renamed.errno, renamed.filename, renamed.filename2) == (18, "a", "b")


def test_guthis_own_error_keeps_its_attributes() -> None:
    got = over_the_wire(PeerLost("carol", "no answer"))
    assert isinstance(got, PeerLost)
    assert (str(got), got.peer, got.reason) == ("lost carol: no answer", "carol", "no answer")


def test_registered_exceptions_arrive_as_themselves() -> None:
    codec = Codec()
    codec.register(Overheated)
    codec.register(DiskFull, "disk-full")
    hot = over_the_wire(Overheated("core", 99.5), codec)
    assert isinstance(hot, Overheated)
    assert (hot.sensor, hot.celsius, str(hot)) == ("core", 99.5, "core is at 99.5")
    full = over_the_wire(DiskFull("/dev/sda"), codec)
    assert isinstance(full, DiskFull)
    assert (full.errno, full.filename) == (28, "/dev/sda")


def test_unregistered_exceptions_arrive_as_remote_error() -> None:
    got = over_the_wire(Overheated("core", 99.5))
    assert isinstance(got, RemoteError)
    assert got.class_name.endswith(".Overheated")
    assert str(got).endswith("Overheated: core is at 99.5")


def test_a_remote_error_survives_a_second_hop() -> None:
    got = over_the_wire(over_the_wire(Overheated("core", 99.5)))
    assert isinstance(got, RemoteError)
    assert got.class_name.endswith(".Overheated")


@pytest.mark.parametrize(
    "error",
    [
        StopIteration(3),
        StopAsyncIteration(),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
    ],
)
def test_exceptions_that_would_steer_the_receiver_arrive_as_remote_error(error: BaseException) -> None:
    assert type(over_the_wire(error)) is RemoteError


def test_the_remote_traceback_comes_along_with_its_causes() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        (note,) = over_the_wire(error).__notes__
    assert note.startswith("remote traceback on bob:\n")
    assert "KeyError: 'inner'" in note
    assert note.rstrip().endswith("ValueError: outer")


def test_long_texts_are_cut() -> None:
    fault = describe(raised(Overheated("é" * MAX_TEXT_BYTES, 1)), Codec())
    assert len(fault["traceback"].encode()) <= MAX_TEXT_BYTES
    assert fault["traceback"].rstrip().endswith("is at 1")
    assert len(fault["message"].encode()) <= MAX_TEXT_BYTES


def test_what_has_no_form_on_the_wire_arrives_as_text() -> None:
    error = ValueError("bad", object)
    error.culprit = object()  # type: ignore[attr-defined]
    got = over_the_wire(error)
    assert got.args == ("bad", "<class 'object'>")
    assert isinstance(got.culprit, str)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error", [Unprintable(), ValueError(Unprintable()), ValueError("\udcff"), ExceptionGroup("g", [ValueError("v")])]
)
def test_describing_never_fails(error: Exception) -> None:
    assert isinstance(over_the_wire(raised(error)), RemoteError | ValueError)


def test_an_argument_nested_to_the_limit_does_not_break_the_reply() -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]
    assert type(over_the_wire(ValueError(deep))) is ValueError


def test_a_group_of_what_cannot_travel_arrives_as_remote_error() -> None:
    got = over_the_wire(ExceptionGroup("two", [ValueError(1), KeyError(2)]))
    assert isinstance(got, RemoteError)
    assert got.class_name == "ExceptionGroup"


def fault(**changes: Any) -> dict[str, Any]:
    return {"class": "ValueError", "args": [], "attributes": {}, "message": "m", "traceback": "t"} | changes


@pytest.mark.parametrize(
    "name", ["SystemExit", "KeyboardInterrupt", "StopIteration", "int", "eval", "BaseException", ""]
)
def test_no_class_but_known_exceptions_is_made(name: str) -> None:
    assert type(revive(fault(**{"class": name}), Codec(), "bob")) is RemoteError


def test_a_registered_dataclass_is_no_exception() -> None:
    codec = Codec()
    codec.register(dataclasses.make_dataclass("Point", ["x"]))
    assert type(revive(fault(**{"class": "Point"}), codec, "bob")) is RemoteError


def test_a_class_that_makes_something_else_of_its_arguments_is_not_trusted() -> None:
    codec = Codec()
    codec.register(Shy)
    assert type(revive(fault(**{"class": "Shy"}), codec, "bob")) is RemoteError


@pytest.mark.parametrize("attributes", [{"with_traceback": 1}, {"__class__": "x"}, {"add_note": 1}, {3: 4}])
def test_attributes_cannot_replace_what_the_class_defines(attributes: dict[Any, Any]) -> None:
    assert type(revive(fault(attributes=attributes), Codec(), "bob")) is RemoteError


@pytest.mark.parametrize(
    "value", [None, [], {}, fault(args="ab"), fault(message=None), fault(attributes=[]), fault(traceback=b"x")]
)
def test_what_is_no_fault_is_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        revive(value, Codec(), "bob")


@given(
    st.sampled_from(sorted(STANDARD_ERRORS)),
    st.lists(st.none() | st.integers() | st.text() | st.binary() | st.lists(st.text())),
)
def test_whatever_arguments_a_peer_sends_an_exception_comes_out(name: str, args: list[Any]) -> None:
    error = revive(fault(**{"class": name, "args": args}), Codec(), "bob")
    str(error)
    repr(error)
    assert isinstance(error, Exception)
    assert type(error) in (*vars(builtins).values(), *vars(errors).values())
