"""Decides what a page may say over its websocket; each message is one JSON mapping.

    {"hello": {"page": "k3…", "name": "Ada", "life": "…", "number": 17}}    first, and once
    {"batch": 4, "draw": [[count, author, birth count, birth author, object or null], …]}
    {"hand": {"at": [x, y], "draft": …}}
    {"name": "Ada"}

What cannot be read as one of these ends the connection; of a batch each operation is judged by itself.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple, TypeAlias

from guthi import MalformedMessage
from guthi_whiteboard.gestures import gesture
from guthi_whiteboard.log import Operation, from_json
from guthi_whiteboard.people import Person, person_name
from guthi_whiteboard.shapes import is_author

__all__ = ["Batch", "Hand", "Hello", "Renamed", "Said", "reason_of", "said"]

MOST_OPERATIONS: Final = 500
MOST_REASON_BYTES: Final = 120  # a websocket is closed with 123 at most


class Hello(NamedTuple):
    """Who it is, and what it has: all up to a number of a life of the board."""

    person: Person
    life: str
    number: int


class Batch(NamedTuple):
    """Operations by their place, and why others are none."""

    number: int
    operations: dict[int, Operation]
    refused: dict[int, str]


class Hand(NamedTuple):
    """A gesture, as JSON."""

    gesture: str


class Renamed(NamedTuple):
    """Somebody is called otherwise from now on."""

    name: str


Said: TypeAlias = Hello | Batch | Hand | Renamed


def said(text: str) -> Said:
    """Read a message of a page; raises MalformedMessage."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedMessage("a page speaks JSON") from None
    if type(message) is dict:
        if "hello" in message:
            return _hello(message["hello"])
        if "draw" in message:
            return _batch(message.get("batch"), message["draw"])
        if "hand" in message:
            return Hand(gesture(message["hand"]))
        if "name" in message:
            return Renamed(person_name(message["name"]))
    raise MalformedMessage("a page says hello, draw, hand or name")


def reason_of(error: Exception) -> str:
    """What an error says, as short as the reason for which a websocket is closed has to be."""
    return str(error).encode("utf-8", "replace")[:MOST_REASON_BYTES].decode("utf-8", "ignore")


def _hello(value: Any) -> Hello:
    if type(value) is not dict or not is_author(value.get("page")):
        raise MalformedMessage("hello is said by a page, which is 13 letters a-z2-7")
    life, number = value.get("life", ""), value.get("number", 0)
    if type(life) is not str or type(number) is not int or number < 0:
        raise MalformedMessage("hello says which life of the board a page knows, and up to which number")
    return Hello(Person(value["page"], person_name(value.get("name", ""))), life, number)


def _batch(number: Any, parts: Any) -> Batch:
    if type(number) is not int or type(parts) is not list or not 1 <= len(parts) <= MOST_OPERATIONS:
        raise MalformedMessage(f"a batch has a number, and 1 to {MOST_OPERATIONS} operations")
    operations: dict[int, Operation] = {}
    refused: dict[int, str] = {}
    for place, each in enumerate(parts):
        try:
            operations[place] = from_json(each)
        except MalformedMessage as error:
            refused[place] = str(error)
    return Batch(number, operations, refused)
