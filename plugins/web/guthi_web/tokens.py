"""Where the token comes from that opens a node's web server: a file, or the cluster key.

Who has the cluster key may do everything that the web server offers, and more. So unless a file says another, the
token is derived from the key: there is nothing to hand out, all nodes of a cluster take the same, and it tells nothing
about the key. While keys are rotated, those of all keys are good.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

from guthi import ConfigError
from guthi.security.keyring import ClusterKey, Keyring

__all__ = ["token_of", "tokens_of_file", "tokens_of_keyring"]

PURPOSE = b"guthi web token"
SHORTEST = 16
SIZE_BYTES = 20


def token_of(key: ClusterKey) -> str:
    """The token that goes with a cluster key."""
    return base64.b32encode(key.derive(PURPOSE)[:SIZE_BYTES]).decode().lower()


def tokens_of_keyring(keyring: Callable[[], Keyring]) -> Callable[[], Sequence[str]]:
    """Those of the keys that are held, whenever it is asked."""
    known: dict[bytes, str] = {}

    def tokens() -> Sequence[str]:
        keys = keyring().keys
        for gone in known.keys() - {key.key_id for key in keys}:
            del known[gone]
        return [known.setdefault(key.key_id, token_of(key)) for key in keys]

    return tokens


def tokens_of_file(path: Path) -> Callable[[], Sequence[str]]:
    """Those of a file, one a line; `#` begins a comment. Raises ConfigError."""
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token_file = {str(path)!r} cannot be read: {error}") from None
    tokens = [line for line in lines if line]
    if not tokens or any(len(token) < SHORTEST or not token.isascii() for token in tokens):
        raise ConfigError(
            f"token_file = {str(path)!r}: write a token of at least {SHORTEST} letters and digits a line; "
            "`openssl rand -hex 20` makes one"
        )
    return lambda: tokens
