"""Who a node is: an X25519 key pair, the node id that follows from it, and the file that keeps it for one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from guthi.api import NodeId
from guthi.errors import ConfigError, MalformedMessage

if sys.platform != "win32":
    import fcntl

__all__ = ["KEY_SIZE", "Identity", "hold_identity", "node_id_of", "sync_folder"]

KEY_SIZE = 32
"""Bytes of an X25519 key, private or public (RFC 7748)."""

_FILE_NAME = "identity.key"


def node_id_of(public_key: bytes) -> NodeId:
    """The node id that belongs to an X25519 public key; raises MalformedMessage unless it has 32 bytes."""
    if len(public_key) != KEY_SIZE:
        raise MalformedMessage(f"a public key has {KEY_SIZE} bytes, not {len(public_key)}")
    return NodeId(blake2b(public_key, digest_size=NodeId.SIZE).digest())


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's static key pair; whoever has the private key is the node, so `repr` does not show it."""

    private_key: bytes = field(repr=False)
    public_key: bytes
    node_id: NodeId

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> Identity:
        """A new identity from 32 unpredictable bytes."""
        return cls.from_private(entropy(KEY_SIZE))

    @classmethod
    def from_private(cls, private_key: bytes) -> Identity:
        """The identity of a raw X25519 private key; raises ConfigError unless it has 32 bytes."""
        if len(private_key) != KEY_SIZE:
            raise ConfigError(f"an X25519 private key has {KEY_SIZE} bytes, not {len(private_key)}")
        public_key = X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
        return cls(bytes(private_key), public_key, node_id_of(public_key))

    @classmethod
    def load_or_create(cls, data_dir: Path, entropy: Callable[[int], bytes]) -> Identity:
        """The identity kept in `data_dir/identity.key`, made on the first start.

        The file holds the private key as 64 hexadecimal digits and is readable by its owner only. Two
        processes that start at once in one folder agree on one identity. Raises ConfigError when the file
        cannot be used.
        """
        path = data_dir / _FILE_NAME
        try:
            if not path.exists():
                data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                _create_once(path, f"{entropy(KEY_SIZE).hex()}\n".encode(), suffix=entropy(8).hex())
            return cls.from_private(_parse(path.read_bytes(), path))
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"cannot use {path}: {reason}; let node.data_dir be a writable folder") from error


@contextmanager
def hold_identity(data_dir: Path) -> Iterator[None]:
    """Keep others from being the node whose identity is in `data_dir`, until the context or this process ends.

    Two nodes of one identity would talk each other out of the network. Raises ConfigError when the identity is held
    already, be it by this process. On Windows, and on file systems that know no locks, nobody is kept out.
    """
    path = data_dir / _FILE_NAME
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"cannot use {path}: {error.strerror}; let node.data_dir be a writable folder") from error
    with file:
        if not _locks(file):
            raise ConfigError(
                f"a node that runs already has the identity {path}; wait until it has ended, "
                "or let node.data_dir be a folder of this node's own"
            )
        yield


def _locks(file: BinaryIO) -> bool:
    """Lock a file as long as it is open; False when somebody else has it locked."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks
    return True


def _parse(content: bytes, path: Path) -> bytes:
    digits = content.strip()
    try:
        private_key = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        private_key = b""
    if len(digits) != 2 * KEY_SIZE or len(private_key) != KEY_SIZE:
        raise ConfigError(
            f"{path} is not an identity file (64 hexadecimal digits); "
            "restore it from a backup, or delete it and the node starts with a new identity"
        )
    return private_key


def _create_once(path: Path, content: bytes, suffix: str) -> None:
    """Write whole or not at all; a file that another process put there meanwhile stays."""
    draft = path.with_name(f"{path.name}.{suffix}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # as atomic as a rename, but never replaces the identity of a running node
        except FileExistsError:
            return
        except OSError:
            os.replace(draft, path)  # a file system without hard links
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a file that was put into the folder just now outlast a power failure."""
    if os.name == "nt":
        return  # Windows cannot open a folder, and makes a rename durable without it
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
