"""What one node sends another to have a function called, and what it may answer.

On `rpc.call` and `rpc.cast` a node sends `[name, arguments, named arguments, number]`, and a map of further words
where they are needed (`_WORDS`). The number counts the calls of one caller: with the caller's id it names the call, and
every attempt at it bears the same one. The answer is `[value, seconds, running]` (how long the function took, and how
many calls the node has in hand now), null where the node does not have the function, or not any more, the text
"overloaded" where it has too much to do, and "undecided" where it cannot find out whether a call with a key has run. An
exception is always the function's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from guthi.errors import MalformedMessage

__all__ = ["OVERLOADED", "UNDECIDED", "Answer", "Question", "read_question", "read_trace"]

OVERLOADED = "overloaded"
UNDECIDED = "undecided"
MAX_KEY_CHARACTERS = 255
MAX_PRIORITY = 1 << 31
MAX_TRACE_CHARACTERS = 64  # W3C's traceparent has 55


class Answer(NamedTuple):
    """What a function returned, and how many seconds it ran; the time that it waited for a worker is not counted."""

    value: Any
    seconds: float


@dataclass(slots=True)
class Question:
    """A call on its way to a node.

    `attempt` counts the earlier attempts, and `state` is the newest checkpoint of these; `idempotent` says that a call
    with a key, too, may run again where it is not known whether it has run. `relayed` counts the nodes that passed it
    on to what they took for the call's home. With `inputs` the caller streams values to the function. `trace` is what
    the caller's span is known by, where calls are traced.
    """

    name: str
    arguments: Sequence[Any]
    named: dict[str, Any]
    number: int
    key: str | None = None
    priority: int = 0
    attempt: int = 0
    state: Any = None
    idempotent: bool = False
    relayed: int = 0
    inputs: bool = False
    trace: str | None = None

    def to_wire(self) -> list[Any]:
        """The list that `read_question` reads."""
        wire = [self.name, list(self.arguments), self.named, self.number]
        words: dict[str, Any] = {}
        if self.key is not None:
            words["key"] = self.key
        if self.priority:
            words["priority"] = self.priority
        if self.attempt:
            words["attempt"] = self.attempt
        if self.state is not None:
            words["state"] = self.state
        if self.idempotent:
            words["idempotent"] = True
        if self.inputs:
            words["inputs"] = True
        if self.relayed:
            words["relayed"] = self.relayed
        if self.trace is not None:
            words["trace"] = self.trace
        return [*wire, words] if words else wire


def read_question(wire: object) -> Question:
    """Read what a peer sends; raises MalformedMessage."""
    if type(wire) is list and len(wire) == 4:  # the ordinary call; a pattern would cost a microsecond
        name, arguments, named, number = wire
        if type(name) is str and type(arguments) is list and type(named) is dict and type(number) is int:
            return Question(name, arguments, named, number)
    match wire:  # `str() as name`, because `str(name)` looks for attributes first, at half a microsecond each
        case [str() as name, list() as arguments, dict() as named, int() as number, dict() as words]:
            return _with_words(Question(name, arguments, named, number), words)
    raise MalformedMessage("a call is a name, a list of arguments, a map of named ones, a number, and perhaps words")


def _with_words(question: Question, words: dict[Any, Any]) -> Question:
    key, priority = words.get("key"), words.get("priority", 0)
    if key is not None and (not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_CHARACTERS):
        raise MalformedMessage(f"the key of a call is a text of 1 to {MAX_KEY_CHARACTERS} characters")
    if not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
        raise MalformedMessage("the priority of a call is a whole number")
    question.key, question.priority, question.state = key, priority, words.get("state")
    question.attempt = _count(words.get("attempt"))
    question.idempotent = words.get("idempotent") is True
    question.relayed = _count(words.get("relayed"))
    question.inputs = words.get("inputs") is True
    question.trace = read_trace(words.get("trace"))
    return question


def read_trace(word: Any) -> str | None:
    """What the caller's span is known by; raises MalformedMessage."""
    if word is None or (isinstance(word, str) and len(word) <= MAX_TRACE_CHARACTERS):
        return word
    raise MalformedMessage(f"the trace of a call is a text of {MAX_TRACE_CHARACTERS} characters at most")


def _count(word: Any) -> int:
    return max(word, 0) if isinstance(word, int) else 0
