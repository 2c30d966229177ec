"""Decides how the content of a file is cut and named: chunks of one size, each named by the digest of its bytes.

The digest is SHA-256 (FIPS 180-4), for which processors have instructions: docs/decisions/0024 has the figures. All but
the last chunk of a file have `CHUNK_BYTES`. The root digest of a file is the digest of its size and of the digests of
its chunks, so two files of one root have the same content.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from guthi.api import Buffer

__all__ = ["CHUNK_BYTES", "DIGEST_BYTES", "MOST_ASKED", "chunk_count", "chunk_span", "digest_of", "root_of"]

CHUNK_BYTES = 1 << 20
DIGEST_BYTES = 32
MOST_ASKED = 4
"""How many chunks one request asks for at most: from there on what a request costs by itself hardly counts."""


def digest_of(data: Buffer) -> bytes:
    """The name of a chunk."""
    return sha256(data).digest()


def root_of(size_bytes: int, digests: Iterable[bytes]) -> bytes:
    """The name of a whole content."""
    root = sha256(b"gutfs root" + size_bytes.to_bytes(8, "big"))
    for each in digests:
        root.update(each)
    return root.digest()


def chunk_count(size_bytes: int) -> int:
    """How many chunks a content of that size has; an empty one has none."""
    return -(-size_bytes // CHUNK_BYTES)


def chunk_span(index: int, size_bytes: int) -> tuple[int, int]:
    """Where a chunk begins in its file, and its length, in bytes."""
    offset = index * CHUNK_BYTES
    return offset, max(min(CHUNK_BYTES, size_bytes - offset), 0)
