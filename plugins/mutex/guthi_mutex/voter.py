"""Decides to whom a node of Maekawa's algorithm gives its one vote, and when it asks for it back.

A voter has one vote. It gives it to the earliest request that it knows; when an earlier one comes, it inquires whether
the holder of the vote can spare it. What it says to a request:

    GRANT      you have my vote
    FAILED     you do not have it, and I do not ask for it back on your behalf
    INQUIRE    you have it, and an earlier request is here: yield it unless you are sure to get in

Invariant, after every event: of those who wait at most one has not been told FAILED, namely the first if it is earlier
than the request with the vote, which then has an INQUIRE. B. Sanders ("The information structure of distributed mutual
exclusion algorithms", ACM Transactions on Computer Systems 5(3), 1987) found that Maekawa's text lacks a half of this,
and can deadlock: it does not tell the former first when an earlier request comes and takes its place.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from guthi import MalformedMessage, NodeId

__all__ = ["Answer", "Request", "Voter"]


class Request(NamedTuple):
    """Requests are ordered by stamp, then by node."""

    stamp: int
    node: NodeId


class Answer(IntEnum):
    """What a voter says; numbered apart from what a candidate says."""

    GRANT = 3
    FAILED = 4
    INQUIRE = 5


class Voter:
    """The vote of one node. `favoured` has it from the start; what the methods return is to be told, in order."""

    def __init__(self, favoured: Request | None) -> None:
        self._favoured = favoured  # the request that has the vote
        self._inquired = False  # whether it was asked to yield it
        self._waiting: list[Request] = []  # sorted
        self._told: set[Request] = set()  # which of those waiting know that they failed

    def requested(self, request: Request) -> list[tuple[Answer, Request]]:
        """A candidate asks for the vote; raises MalformedMessage if it has asked already."""
        if any(request.node == each.node for each in self._all()):
            raise MalformedMessage("a candidate asks for a vote twice")
        insort(self._waiting, request)
        return list(self._settle())

    def yielded(self, request: Request) -> list[tuple[Answer, Request]]:
        """The candidate gives the vote back for now; it has failed, and knows it."""
        if request != self._favoured:
            raise MalformedMessage("a candidate yields a vote that it does not have")
        self._favoured = None
        self._told.add(request)
        insort(self._waiting, request)
        return list(self._settle())

    def released(self, request: Request) -> list[tuple[Answer, Request]]:
        """The candidate has no request any more, whether it had the vote or not."""
        if request == self._favoured:
            self._favoured = None
        elif request in self._waiting:
            self._waiting.remove(request)
            self._told.discard(request)
        else:
            raise MalformedMessage("a candidate releases what it has not requested")
        return list(self._settle())

    def _settle(self) -> Iterator[tuple[Answer, Request]]:
        """Do what is due until the invariant holds again."""
        if self._favoured is None and self._waiting:
            self._favoured = self._waiting.pop(0)
            self._told.discard(self._favoured)
            self._inquired = False
            yield Answer.GRANT, self._favoured
        if self._favoured is None or not self._waiting:
            return
        urgent = self._waiting[0] < self._favoured
        for late in self._waiting[1 if urgent else 0 :]:
            if late not in self._told:
                self._told.add(late)
                yield Answer.FAILED, late
        if urgent and not self._inquired:
            self._inquired = True
            yield Answer.INQUIRE, self._favoured

    @property
    def queue(self) -> tuple[NodeId, ...]:
        """Who waits for the vote, the earliest first."""
        return tuple(each.node for each in self._waiting)

    def _all(self) -> list[Request]:
        return [*self._waiting, *([self._favoured] if self._favoured is not None else [])]
