"""Decides who is here: the people whose pages show a board, as their nodes said last; none of it is ever written down.

A node tells all people of its pages at once, when that changes and each HERE_S; what it has not repeated for AWAY_S is
forgotten, and at once when the node has failed or left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from guthi import MalformedMessage, NodeId
from guthi_whiteboard.shapes import is_author

__all__ = ["AWAY_S", "HERE_S", "People", "Person", "people_from_wire", "person_name"]

HERE_S: Final = 5.0
AWAY_S: Final = 16.0
LONGEST_NAME: Final = 40
MOST_OF_A_NODE: Final = 100
MOST_NODES: Final = 500


class Person(NamedTuple):
    """Somebody whose page shows the board."""

    page: str
    name: str


def person_name(value: Any) -> str:
    """A name without what cannot be shown in a line; raises MalformedMessage."""
    if type(value) is not str or len(value) > 4 * LONGEST_NAME:
        raise MalformedMessage(f"a person has a name of {LONGEST_NAME} characters at most")
    shown = "".join(each for each in value if each.isprintable()).strip()
    return shown[:LONGEST_NAME] or "somebody"


def people_from_wire(value: Any) -> list[Person]:
    """Read what a node says; raises MalformedMessage."""
    if type(value) is not list or len(value) > MOST_OF_A_NODE:
        raise MalformedMessage(f"a node tells of {MOST_OF_A_NODE} people at most")
    people = []
    for each in value:
        if type(each) is not list or len(each) != 2 or not is_author(each[0]):
            raise MalformedMessage("a person is a page and a name")
        people.append(Person(each[0], person_name(each[1])))
    return people


class People:
    """Those of one board on other nodes; times are loop time."""

    def __init__(self) -> None:
        self._told: dict[NodeId, tuple[float, tuple[Person, ...]]] = {}

    def told(self, node: NodeId, people: Sequence[Person], now: float) -> bool:
        """A node says who its people are; whether that is different from what was known."""
        before = self._told.get(node, (0.0, ()))[1]
        if people and (node in self._told or len(self._told) < MOST_NODES):
            self._told[node] = (now, tuple(people))
        elif not people:
            self._told.pop(node, None)
        return before != tuple(people)

    def gone(self, node: NodeId) -> bool:
        """A node is not there any more; whether anybody was on it."""
        return self._told.pop(node, None) is not None

    def expire(self, now: float) -> bool:
        """Forget nodes that have said nothing for long; whether there were any."""
        late = [node for node, (at, _) in self._told.items() if now - at > AWAY_S]
        for node in late:
            del self._told[node]
        return bool(late)

    @property
    def nodes(self) -> list[NodeId]:
        """Where people are, sorted."""
        return sorted(self._told)

    def all(self) -> list[tuple[Person, NodeId]]:
        """Everybody, each with the node, sorted."""
        return sorted((person, node) for node, (_, people) in self._told.items() for person in people)
