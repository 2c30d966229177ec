"""What a node does when it is told to add, to use or to remove a cluster key, and by whom it lets itself be told.

A change is kept first, where the node's keys are kept, and then comes into force: a node that starts again has the keys
that it had. Each change may be asked for twice: the second time it is done already.

Who may: whoever proves to hold the key that this node seals with. The proof is a MAC, under a key derived from that
one, of who asks whom for what. It travels inside the session of the two, which nobody can replay.

| action | code | subject    | meaning                                         |
|--------|------|------------|-------------------------------------------------|
| ADD    | 1    | the secret | accept this key as well                         |
| USE    | 2    | a key id   | seal with this key; the one until now is kept   |
| REMOVE | 3    | a key id   | accept this key no more; not the one in use     |
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path

from guthi.api import NodeId
from guthi.errors import MalformedMessage, UsageError
from guthi.security.keyfile import replace_keys
from guthi.security.keyring import ClusterKey, Keyring

__all__ = ["Action", "Change", "KeyFile", "Rotation", "applied", "proof"]

PURPOSE = b"rotation"


class Action(IntEnum):
    """What is done with a key."""

    ADD = 1
    USE = 2
    REMOVE = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a rotation: the subject is a secret to add, or the id of a key to use or to remove."""

    action: Action
    subject: bytes

    def __repr__(self) -> str:
        subject = ClusterKey(self.subject).fingerprint if self.action is Action.ADD else self.subject.hex()
        return f"Change({self.action.name}, {subject})"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where a node keeps its keys; `draft_suffix` gives a new name each time."""

    path: Path
    draft_suffix: Callable[[], str]

    def keep(self, keyring: Keyring) -> None:
        """Raises ConfigError, and then the file is as it was."""
        replace_keys(self.path, keyring, self.draft_suffix())


class Rotation:
    """The keys of one node while it runs; `me` is its id.

    `apply` brings a keyring into force. Without a file no change outlasts the node.
    """

    def __init__(self, me: NodeId, keyring: Keyring, apply: Callable[[Keyring], None], file: KeyFile | None) -> None:
        self._me, self._apply, self._file = me, apply, file
        self.keyring = keyring

    @property
    def is_kept(self) -> bool:
        """Whether changes outlast the node."""
        return self._file is not None

    def carry_out(self, change: Change, peer: NodeId, shown: bytes) -> None:
        """Do what a peer asks for, who shows this proof. Raises UsageError, ConfigError; then nothing has changed."""
        expected = proof(self.keyring.primary, asker=peer, asked=self._me, change=change)
        if not hmac.compare_digest(expected, shown):
            raise UsageError(
                f"whoever changes the keys here must hold {self.keyring.primary.fingerprint}, the one in use"
            )
        keyring = applied(change, self.keyring)
        if keyring.keys == self.keyring.keys:
            return
        if self._file is not None:
            self._file.keep(keyring)
        self.keyring = keyring
        self._apply(keyring)


def applied(change: Change, keyring: Keyring) -> Keyring:
    """The keyring after a change. Raises UsageError, ConfigError; MalformedMessage for a subject of a wrong size."""
    size = ClusterKey.SIZE if change.action is Action.ADD else ClusterKey.ID_SIZE
    if len(change.subject) != size:
        raise MalformedMessage(f"what a key is named by has {size} bytes here, not {len(change.subject)}")
    match change.action:
        case Action.ADD:
            return keyring.adding(ClusterKey(change.subject))
        case Action.USE:
            return keyring.using(change.subject)
        case Action.REMOVE:
            return keyring.removing(change.subject)


def proof(key: ClusterKey, *, asker: NodeId, asked: NodeId, change: Change) -> bytes:
    """32 bytes that only a holder of the key can make for this change, between these two nodes."""
    text = asker + asked + bytes([change.action]) + change.subject
    return blake2b(text, digest_size=32, key=key.derive(PURPOSE)).digest()
