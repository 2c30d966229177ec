"""What a node lets itself be told about its keys: by holders of the key in use only, and kept before it is in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from guthi.api import NodeId
from guthi.errors import ConfigError, GuthiError, MalformedMessage, UsageError
from guthi.security.keyfile import read_keys
from guthi.security.keyring import MAX_KEYS, OPEN_KEY, ClusterKey, Keyring
from guthi.security.rotation import Action, Change, KeyFile, Rotation, proof

OLD, NEW, OTHER = (ClusterKey(letter * 32) for letter in (b"o", b"n", b"x"))
ME, PEER, THIRD = (NodeId(bytes([number]) * 16) for number in (1, 2, 3))

ADD_NEW = Change(Action.ADD, NEW.secret)
USE_NEW = Change(Action.USE, NEW.key_id)
REMOVE_OLD = Change(Action.REMOVE, OLD.key_id)


class Told:
    """A node's rotation, and all keyrings that it brought into force."""

    def __init__(self, *keys: ClusterKey, file: KeyFile | None = None) -> None:
        self.in_force: list[Keyring] = []
        self.rotation = Rotation(ME, Keyring(keys), self.in_force.append, file)

    def tell(self, change: Change, key: ClusterKey) -> None:
        self.rotation.carry_out(change, PEER, proof(key, asker=PEER, asked=ME, change=change))

    @property
    def keys(self) -> tuple[ClusterKey, ...]:
        return self.rotation.keyring.keys


def test_three_steps_change_the_key() -> None:
    told = Told(OLD)
    told.tell(ADD_NEW, OLD)
    assert told.keys == (OLD, NEW)
    told.tell(USE_NEW, OLD)
    assert told.keys == (NEW, OLD)
    told.tell(REMOVE_OLD, NEW)
    assert told.keys == (NEW,)
    assert [ring.keys for ring in told.in_force] == [(OLD, NEW), (NEW, OLD), (NEW,)]


def test_a_step_that_was_done_already_changes_nothing() -> None:
    told = Told(NEW, OLD)
    for change in (Change(Action.ADD, OLD.secret), USE_NEW, Change(Action.REMOVE, OTHER.key_id)):
        told.tell(change, NEW)
    assert told.in_force == []


@pytest.mark.parametrize(
    ("asker", "asked", "change", "key"),
    [
        (PEER, ME, ADD_NEW, OTHER),
        (THIRD, ME, ADD_NEW, OLD),
        (PEER, THIRD, ADD_NEW, OLD),
        (PEER, ME, Change(Action.ADD, OTHER.secret), OLD),
        (PEER, ME, Change(Action.USE, OLD.key_id), OLD),
    ],
)
def test_the_proof_is_of_the_key_the_two_nodes_and_the_change(
    asker: NodeId, asked: NodeId, change: Change, key: ClusterKey
) -> None:
    told = Told(OLD)
    with pytest.raises(UsageError, match=OLD.fingerprint):
        told.rotation.carry_out(ADD_NEW, PEER, proof(key, asker=asker, asked=asked, change=change))
    assert told.keys == (OLD,)


def test_who_holds_only_a_key_that_is_not_in_use_may_not() -> None:
    told = Told(NEW, OLD)
    with pytest.raises(UsageError, match="must hold"):
        told.tell(Change(Action.ADD, OTHER.secret), OLD)


@pytest.mark.parametrize(
    ("keys", "change", "error", "mend"),
    [
        ((OLD,), USE_NEW, UsageError, "add it first"),
        ((OLD, NEW), REMOVE_OLD, UsageError, "use another one first"),
        ((OPEN_KEY,), ADD_NEW, UsageError, "start its nodes with one"),
        ((OLD,), Change(Action.ADD, OPEN_KEY.secret), ConfigError, "admits everybody"),
        ((OLD,), Change(Action.ADD, b"short"), MalformedMessage, "32 bytes"),
        ((OLD,), Change(Action.USE, b"too long"), MalformedMessage, "4 bytes"),
    ],
)
def test_what_is_refused(keys: tuple[ClusterKey, ...], change: Change, error: type[GuthiError], mend: str) -> None:
    told = Told(*keys)
    with pytest.raises(error, match=mend):
        told.tell(change, keys[0])
    assert told.keys == keys and told.in_force == []


def test_the_keyring_is_bounded() -> None:
    told = Told(*(ClusterKey(bytes([number]) * 32) for number in range(MAX_KEYS)))
    with pytest.raises(ConfigError, match=f"at most {MAX_KEYS}"):
        told.tell(ADD_NEW, told.keys[0])


def test_a_change_is_in_the_file_before_it_is_in_force(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    path.write_text(OLD.text())
    told = Told(OLD, file=KeyFile(path, lambda: "draft"))
    told.rotation._apply = lambda ring: told.in_force.append(Keyring(read_keys(path)))
    told.tell(ADD_NEW, OLD)
    assert [ring.keys for ring in told.in_force] == [(OLD, NEW)]


def test_what_cannot_be_kept_does_not_come_into_force(tmp_path: Path) -> None:
    told = Told(OLD, file=KeyFile(tmp_path / "no such folder" / "cluster.key", lambda: "draft"))
    with pytest.raises(ConfigError):
        told.tell(ADD_NEW, OLD)
    assert told.keys == (OLD,) and told.in_force == []


def test_a_change_does_not_show_the_key() -> None:
    assert NEW.secret.hex() not in repr(ADD_NEW) and repr(NEW.secret) not in repr(ADD_NEW)
    assert NEW.fingerprint in repr(ADD_NEW)
