"""What pages and peers say besides operations: names, people, gestures and messages, each bounded and judged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.whiteboard.drawing import ANNE, BEN, Pen, a_line
from tests.apps.whiteboard.test_log import json_values

from guthi import MalformedMessage, NodeId, UsageError
from guthi_whiteboard import Board
from guthi_whiteboard.admitting import MOST_AHEAD, Bounds, refusal
from guthi_whiteboard.asking import Batch, Hello, said
from guthi_whiteboard.compaction import REPENTANCE_S
from guthi_whiteboard.gestures import MOST_GESTURE_BYTES, gesture
from guthi_whiteboard.names import board_name, is_board_name
from guthi_whiteboard.people import AWAY_S, People, Person, people_from_wire

ALICE, BOB = NodeId(b"a" * 16), NodeId(b"b" * 16)
NO_TEXT = ["a\nb", "\ud800", "a\u202eb", None, 7, ["x"]]
ROOMY = Bounds(1000, 1_000_000)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Plans", "plans"),
        (" To do 2 ", "to do 2"),
        ("Küche", "küche"),
        ("हिमाल", "हिमाल"),
        ("a-b_c", "a-b_c"),
        ("7", "7"),
    ],
)
def test_names_of_boards(text: str, name: str) -> None:
    assert board_name(text) == name
    assert board_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "../x", "..", ".", "a/b", "a\\b", "a\0b", ".hidden", "x.log", "con", "COM1", "a" * 61, "-x", "a:b"],
        *NO_TEXT,
    ],
)
def test_what_is_no_name_of_a_board(text: Any) -> None:
    with pytest.raises(UsageError, match="a board's name is"):
        board_name(text)


@given(st.text(max_size=70))
def test_a_name_is_one_folder_wherever_it_is(text: str) -> None:
    try:
        name = board_name(text)
    except UsageError:
        return
    assert is_board_name(name) and board_name(name) == name
    assert not set(name) & set('/\\:*?"<>|.\0\n') and name == name.strip() and len(name.encode()) <= 200


def test_people_come_and_go() -> None:
    people, anne, ben = People(), Person(ANNE, "Anne"), Person(BEN, "Ben")
    assert people.told(ALICE, [anne], 0.0) and not people.told(ALICE, [anne], 5.0)
    assert people.told(BOB, [ben], 6.0)
    assert people.all() == [(anne, ALICE), (ben, BOB)]
    assert not people.expire(5.0 + AWAY_S) and people.expire(5.1 + AWAY_S)
    assert people.nodes == [BOB]
    assert people.gone(BOB) and not people.gone(BOB) and people.all() == []
    assert people.told(ALICE, [anne], 50.0) and people.told(ALICE, [], 51.0) and people.nodes == []


def test_people_are_read_from_what_a_node_says() -> None:
    assert people_from_wire([[ANNE, " A\nnne\x1b[31m "]]) == [Person(ANNE, "Anne[31m")]
    for bad in (None, [[ANNE]], [["anne", "x"]], [[ANNE, 7]], [[ANNE, "x" * 1000]], [[ANNE, "x"]] * 101):
        with pytest.raises(MalformedMessage):
            people_from_wire(bad)


def test_gestures() -> None:
    assert json.loads(gesture({"at": [1, 2]})) == {"at": [1, 2]}
    draft = {"kind": "pen", "colour": "red", "width": 40, "from": 3, "points": [1, 2, 3, 4]}
    assert json.loads(gesture({"at": [1, 2], "draft": draft}))["draft"] == draft
    assert json.loads(gesture({"at": [1, 2], "draft": {**a_line(), "surplus": "x" * 5000}}))["draft"] == a_line()
    for bad in ({}, {"at": [1]}, {"at": [1, 2], "x": 1}, {"at": [1, 2], "draft": {"kind": "text"}}, [1, 2]):
        with pytest.raises(MalformedMessage):
            gesture(bad)
    with pytest.raises(MalformedMessage, match=str(MOST_GESTURE_BYTES)):
        gesture({"at": [1, 2], "draft": {**draft, "points": [100_000] * 200}})


@given(json_values)
@settings(max_examples=30)
def test_whatever_a_page_says_is_understood_or_refused(value: Any) -> None:
    for message in (value, {"hello": value}, {"draw": value, "batch": 1}, {"hand": value}, {"name": value}):
        try:
            said(json.dumps(message))
        except MalformedMessage:
            continue


def test_of_a_batch_each_operation_is_judged_by_itself() -> None:
    good = [1, ANNE, 1, ANNE, a_line()]
    batch = said(json.dumps({"batch": 3, "draw": [good, "bad", [*good[:4], {"kind": "x"}], good]}))
    assert isinstance(batch, Batch)
    assert sorted(batch.operations) == [0, 3] and sorted(batch.refused) == [1, 2]
    hello = said(json.dumps({"hello": {"page": ANNE, "name": "", "life": "x", "number": 4}}))
    assert hello == Hello(Person(ANNE, "somebody"), "x", 4)
    for bad in ("{", "[" * 100_000, '{"hello": {"page": "x"}}', '{"draw": [], "batch": 1}', '{"draw": [1]}'):
        with pytest.raises(MalformedMessage):
            said(bad)


def test_what_is_not_taken_from_a_page() -> None:
    board = Board()
    anne = Pen(ANNE, board)
    stroke = anne.add()
    assert refusal(stroke, board, ROOMY, 0) is None
    board.apply(stroke)
    full = Bounds(1, 1_000_000)
    assert "full" in (refusal(anne.add(), board, full, 0) or "")
    assert refusal(anne.change(stroke.birth, 5), board, full, 0) is None
    assert refusal(anne.delete(stroke.birth), board, full, 0) is None
    anne.time = board.time + MOST_AHEAD + 1
    assert "too far ahead" in (refusal(anne.add(), board, ROOMY, 0) or "")


def test_a_clear_of_long_ago_is_not_undone() -> None:
    board = Board()
    anne = Pen(ANNE, board)
    board.apply(anne.add())
    clear = anne.clear(at_s=1000)
    board.apply(clear)
    undo = anne.delete(clear.birth)
    assert refusal(undo, board, ROOMY, 1000 + REPENTANCE_S) is None
    assert "too long ago" in (refusal(undo, board, ROOMY, 1001 + REPENTANCE_S) or "")
