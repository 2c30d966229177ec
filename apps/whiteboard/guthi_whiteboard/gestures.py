"""Decides what pages tell of a person's hand while it moves: a place, and the stroke that is not finished yet.

Gestures are sent as datagrams, which may be lost: the next one is as good, and a finished stroke comes as an operation.
Of a stroke only the points that are new are told, with how many there were before.
"""

from __future__ import annotations

import json
from typing import Any, Final

from guthi import MalformedMessage
from guthi_whiteboard.shapes import KINDS

__all__ = ["MOST_GESTURE_BYTES", "gesture"]

MOST_GESTURE_BYTES: Final = 700  # with the name of a board it fits a datagram
SHAPES: Final = ("rectangle", "ellipse", "line", "arrow")
STROKES: Final = ("pen", "highlighter")


def gesture(value: Any) -> str:
    """The gesture as JSON: `{"at": [x, y]}`, with a `draft` or without one; raises MalformedMessage."""
    if type(value) is not dict or not value.keys() <= {"at", "draft"} or not _is_place(value.get("at")):
        raise MalformedMessage('a gesture is {"at": [x, y]}, perhaps with a draft')
    known: dict[str, Any] = {"at": value["at"]}
    if value.get("draft") is not None:
        known["draft"] = _draft(value["draft"])
    text = json.dumps(known, separators=(",", ":"))
    if len(text) > MOST_GESTURE_BYTES:
        raise MalformedMessage(f"a gesture has {MOST_GESTURE_BYTES} bytes at most; tell more often")
    return text


def _is_place(value: Any) -> bool:
    return bool(KINDS["text"]["at"](value))


def _draft(value: Any) -> dict[str, Any]:
    kind = value.get("kind") if type(value) is dict else None
    if kind in STROKES:
        names: tuple[str, ...] = ("colour", "width", "points")
        start = value.get("from")
        if type(start) is not int or not 0 <= start <= 100_000:
            raise MalformedMessage("the draft of a stroke says how many points there were before")
        known: dict[str, Any] = {"kind": kind, "from": start}
    elif kind in SHAPES:
        names = ("colour", "width", "fill", "box") if kind in SHAPES[:2] else ("colour", "width", "ends")
        known = {"kind": kind}
    else:
        raise MalformedMessage("a draft is a stroke or a shape")
    for name in names:
        if name not in value or not KINDS[kind][name](value[name]):
            raise MalformedMessage(f"the {name} of a draft is not one")
        known[name] = value[name]
    return known
