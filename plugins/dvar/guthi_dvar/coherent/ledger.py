"""Decides whether an operation that is asked for a second time has been done: each is done once.

Who has asked an owner and got no answer asks again, perhaps another owner, under the same token. The last tokens that
have changed a variable are kept with it, by all who keep it. Of one that is not among them, and might have been, one
cannot tell.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from guthi import MalformedMessage

__all__ = ["Ledger", "Untraceable"]

MOST_TOKENS = 128
MOST_TOKEN_BYTES = 64


class Untraceable(Exception):
    """It cannot be told any more whether an operation has been done."""


@dataclass(slots=True)
class Ledger:
    """The tokens of the last operations, each with the epoch in which it was done; the oldest first."""

    tokens: OrderedDict[bytes, int] = field(default_factory=OrderedDict)
    forgot_in: int = 0
    """The newest epoch in which one was done that is not known any more."""

    def done(self, token: bytes, epoch: int) -> None:
        """An operation changes the variable."""
        self.tokens[token] = epoch
        while len(self.tokens) > MOST_TOKENS:
            _, oldest = self.tokens.popitem(last=False)
            self.forgot_in = max(self.forgot_in, oldest)

    def has(self, token: bytes, tried_in: int | None) -> bool:
        """Whether an operation was done; `tried_in` is the epoch in which it was first tried, None if it never was.

        Raises Untraceable.
        """
        if token in self.tokens:
            return True
        if tried_in is not None and self.forgot_in >= tried_in:
            raise Untraceable
        return False

    def add(self, other: Ledger) -> None:
        """Know what another keeper knows."""
        for token, epoch in other.tokens.items():
            if token not in self.tokens:
                self.tokens[token] = epoch
        self.forgot_in = max(self.forgot_in, other.forgot_in)

    def copy(self) -> Ledger:
        """Another one that knows the same."""
        return Ledger(self.tokens.copy(), self.forgot_in)

    def to_wire(self) -> list[Any]:
        """What `from_wire` reads."""
        return [[[token, epoch] for token, epoch in self.tokens.items()], self.forgot_in]

    @classmethod
    def from_wire(cls, wire: object) -> Ledger:
        """Read what a peer says; raises MalformedMessage."""
        match wire:
            case [list(tokens), int(forgot_in)] if len(tokens) <= 2 * MOST_TOKENS:
                return cls(OrderedDict(_token(each) for each in tokens), forgot_in)
        raise MalformedMessage("a ledger is tokens and an epoch")


def _token(wire: object) -> tuple[bytes, int]:
    match wire:
        case [bytes(token), int(epoch)] if len(token) <= MOST_TOKEN_BYTES:
            return token, epoch
    raise MalformedMessage("an entry of a ledger is a token and its epoch")
