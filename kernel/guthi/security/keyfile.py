"""How cluster keys stand in a file, and how a new keyring takes the place of the old one in it.

A key a line, the one that seals first; what follows `#` is for people. A file is replaced as a whole, by a rename: a
crash, or a full disk, leaves the old one or the new one. Comments that stand behind a key stay with it. A file keeps
its owner: a command of the administrator may write what the node's own user has to read. One that is gone is made anew.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from guthi.errors import ConfigError
from guthi.security.identity import sync_folder
from guthi.security.keyring import ClusterKey, Keyring

__all__ = ["read_keys", "replace_keys"]


def read_keys(path: Path) -> list[ClusterKey]:
    """The keys of a file, in its order; at least one. Raises ConfigError with the mend."""
    keys = [ClusterKey.parse(text) for line in _lines(path) if (text := line.partition("#")[0].strip())]
    if not keys:
        raise ConfigError(f"the key file has no key; make one with `guthi keygen > {path}`")
    return keys


def replace_keys(path: Path, keyring: Keyring, suffix: str) -> None:
    """Let the file hold this keyring, readable by its owner only, or raise ConfigError and leave it as it was.

    `suffix` names the draft, which lies beside the file for a moment: it must be one that nobody else chooses.
    """
    path = path.resolve()  # a symbolic link stays one
    remarks = _remarks(path) if path.exists() else {}
    lines = [*remarks.get(None, []), *(" ".join([key.text(), *remarks.get(key, [])]) for key in keyring.keys)]
    draft = path.with_name(f"{path.name}.{suffix}")
    try:
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            _keep_owner(path, draft)
            os.replace(draft, path)
            sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be replaced: {error.strerror}; nothing was changed") from None


def _keep_owner(path: Path, draft: Path) -> None:
    """Give the draft the owner of the file, where the system has owners and lets us."""
    if hasattr(os, "chown") and path.exists():
        before = path.stat()
        with suppress(PermissionError):
            os.chown(draft, before.st_uid, before.st_gid)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"no such key file; make one with `guthi keygen > {path}`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the key file cannot be read: {error}") from None


def _remarks(path: Path) -> dict[ClusterKey | None, list[str]]:
    """What people have written: behind each key, and under None on lines of their own."""
    remarks: dict[ClusterKey | None, list[str]] = {}
    for line in _lines(path):
        text, mark, remark = line.partition("#")
        if mark:
            key = ClusterKey.parse(text) if text.strip() else None
            remarks.setdefault(key, []).append(mark + remark)
    return remarks
