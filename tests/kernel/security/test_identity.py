"""Identity: the id follows from the key, and the key survives restarts, races, crashes and damage."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import pytest

from guthi.errors import ConfigError, MalformedMessage
from guthi.security.identity import Identity, hold_identity, node_id_of

# A key pair of the published Noise test vectors (cacophony).
PRIVATE_KEY = bytes.fromhex("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893")
PUBLIC_KEY = bytes.fromhex("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62")


def test_public_key_and_id_follow_from_the_private_key() -> None:
    identity = Identity.from_private(PRIVATE_KEY)
    assert identity.public_key == PUBLIC_KEY
    assert identity.node_id == blake2b(PUBLIC_KEY, digest_size=16).digest() == node_id_of(PUBLIC_KEY)


def test_repr_does_not_show_the_private_key() -> None:
    shown = repr(Identity.from_private(PRIVATE_KEY))
    assert PRIVATE_KEY.hex() not in shown
    assert repr(PRIVATE_KEY) not in shown
    assert repr(PUBLIC_KEY) in shown


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_of_a_wrong_size_are_refused(size: int) -> None:
    with pytest.raises(ConfigError):
        Identity.from_private(bytes(size))
    with pytest.raises(MalformedMessage):
        node_id_of(bytes(size))


def test_two_generated_identities_differ() -> None:
    assert Identity.generate(os.urandom) != Identity.generate(os.urandom)


def test_the_second_start_finds_the_first_ones_identity(tmp_path: Path) -> None:
    data_dir = tmp_path / "not" / "yet" / "there"
    first = Identity.load_or_create(data_dir, os.urandom)

    def no_entropy(size_bytes: int) -> bytes:
        raise AssertionError("a stored identity needs no entropy")

    assert Identity.load_or_create(data_dir, no_entropy) == first
    assert [path.name for path in data_dir.iterdir()] == ["identity.key"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_only_the_owner_can_read_the_file_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        Identity.load_or_create(tmp_path, os.urandom)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", PRIVATE_KEY, PRIVATE_KEY.hex().encode()[:-1], PRIVATE_KEY.hex().encode() + b"0", b"g" * 64,
     b"\xff" * 64, b"0 " * 32, b"00 " * 21 + b"0"],
)  # fmt: skip
def test_a_malformed_file_is_refused_with_the_mend_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="delete it and the node starts with a new identity") as caught:
        Identity.load_or_create(tmp_path, os.urandom)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_data_dir_that_cannot_be_used_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"identity\.key.*data_dir"):
        Identity.load_or_create(tmp_path / "file", os.urandom)


def test_of_two_racing_starts_both_get_the_identity_that_was_stored_first(tmp_path: Path) -> None:
    winner: list[Identity] = []

    def beaten(size_bytes: int) -> bytes:
        """Entropy that is drawn while another process creates the file."""
        if not winner:
            winner.append(Identity.from_private(PRIVATE_KEY))
            (tmp_path / "identity.key").write_text(PRIVATE_KEY.hex())
        return os.urandom(size_bytes)

    assert Identity.load_or_create(tmp_path, beaten) == winner[0]
    assert [path.name for path in tmp_path.iterdir()] == ["identity.key"]


def test_a_crash_before_the_file_is_durable_leaves_no_half_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", crash)
        with pytest.raises(ConfigError, match="Input/output error"):
            Identity.load_or_create(tmp_path, os.urandom)
    assert list(tmp_path.iterdir()) == []
    Identity.load_or_create(tmp_path, os.urandom)


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first = Identity.load_or_create(tmp_path, os.urandom)
    assert Identity.load_or_create(tmp_path, os.urandom) == first
    assert [path.name for path in tmp_path.iterdir()] == ["identity.key"]


# ---- one process at a time

needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="no flock")
HOLDER = """
import sys
from pathlib import Path
from guthi.security.identity import hold_identity
with hold_identity(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@needs_locks
def test_a_held_identity_is_refused_with_the_mend_until_it_is_released(tmp_path: Path) -> None:
    Identity.load_or_create(tmp_path, os.urandom)
    with hold_identity(tmp_path):
        with pytest.raises(ConfigError, match=r"runs already.*data_dir"), hold_identity(tmp_path):
            pass
        Identity.load_or_create(tmp_path, os.urandom)  # to read it is no harm
    with hold_identity(tmp_path):
        pass


@needs_locks
def test_an_identity_is_held_against_other_processes_and_no_longer_than_its_process_lives(tmp_path: Path) -> None:
    Identity.load_or_create(tmp_path, os.urandom)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="runs already"), hold_identity(tmp_path):
            pass
        holder.kill()
    with hold_identity(tmp_path):
        pass


def test_identities_of_different_folders_are_held_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Identity.load_or_create(tmp_path / name, os.urandom)
    with hold_identity(tmp_path / "one"), hold_identity(tmp_path / "two"):
        pass


def test_what_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data_dir"), hold_identity(tmp_path / "nowhere"):
        pass


@needs_locks
def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    Identity.load_or_create(tmp_path, os.urandom)
    monkeypatch.setattr("fcntl.flock", refuse)
    with hold_identity(tmp_path), hold_identity(tmp_path):
        pass
