"""How a caller wants to be served: which node, how long, how often, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from guthi import Member, NodeId, UsageError
from guthi_rpc.questions import MAX_KEY_CHARACTERS, MAX_PRIORITY

__all__ = ["DEFAULT", "Options", "Where"]

Where: TypeAlias = str | NodeId | Member
"""A node: its name, its id, or its member record."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `rpc.options` takes.

    `on` is the node to ask; `timeout` in seconds. `idempotent` says that the function may run twice, so a call whose
    node is lost is given to another. `key` names the effect: within the retention that is configured, calls with one
    key run the function once, and all of them get its result. `affinity` is a text: calls with the same one go to the
    same node, for as long as it is there. A call with a higher `priority` goes before others that wait for a worker.
    With `state` the function finds that, as if an earlier attempt had passed it to `checkpoint`.
    """

    on: Where | None = None
    timeout: float | None = None
    idempotent: bool = False
    key: str | None = None
    affinity: str | None = None
    priority: int = 0
    state: Any = None

    def __post_init__(self) -> None:
        if self.timeout is not None and not (isinstance(self.timeout, int | float) and self.timeout >= 0):
            raise UsageError(f"a timeout is 0 or more seconds, not {self.timeout!r}")
        if self.key is not None and not (isinstance(self.key, str) and 0 < len(self.key) <= MAX_KEY_CHARACTERS):
            raise UsageError(f"a key is a text of 1 to {MAX_KEY_CHARACTERS} characters, not {_shown(self.key)}")
        if not (isinstance(self.priority, int) and abs(self.priority) <= MAX_PRIORITY):
            raise UsageError(f"a priority is a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}")
        if self.affinity is not None and not isinstance(self.affinity, str):
            raise UsageError(f"an affinity is a text that calls have in common, not {self.affinity!r}")
        if not isinstance(self.on, str | NodeId | Member | None):
            raise UsageError(f"on= is one node: its name, its id or its member record, not {self.on!r}")
        if self.on is not None and self.affinity is not None:
            raise UsageError("on= and affinity= both choose the node; leave one of them out")


def _shown(key: object) -> str:
    return str(len(key)) if isinstance(key, str) else repr(key)


DEFAULT = Options()
