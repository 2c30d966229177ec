"""Key files: replaced whole or not at all, for their owner's eyes, with what people wrote in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from guthi.errors import ConfigError
from guthi.security.keyfile import read_keys, replace_keys
from guthi.security.keyring import ClusterKey, Keyring

OLD, NEW = ClusterKey(b"o" * 32), ClusterKey(b"n" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.key"
    path.write_text(f"# the lab's network\n{OLD.text()}  # since 2025\n", encoding="utf-8")
    path.chmod(0o644)
    return path


def test_a_file_holds_the_keyring_in_its_order_and_keeps_remarks(path: Path) -> None:
    replace_keys(path, Keyring([NEW, OLD]), "draft")
    assert read_keys(path) == [NEW, OLD]
    assert path.read_text().splitlines() == ["# the lab's network", NEW.text(), f"{OLD.text()} # since 2025"]
    replace_keys(path, Keyring([NEW]), "draft")
    assert path.read_text().splitlines() == ["# the lab's network", NEW.text()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_owner_can_read_it_afterwards(path: Path) -> None:
    replace_keys(path, Keyring([NEW, OLD]), "draft")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["cluster.key"]


def test_a_failure_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for function in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(ConfigError, match=r"No space left on device; nothing was changed"):
                replace_keys(path, Keyring([NEW]), "draft")
        assert path.read_bytes() == before
        assert [each.name for each in path.parent.iterdir()] == ["cluster.key"]


def test_a_file_that_is_gone_is_made_anew(path: Path) -> None:
    path.unlink()
    replace_keys(path, Keyring([NEW, OLD]), "draft")
    assert read_keys(path) == [NEW, OLD]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_command_of_the_administrator_leaves_the_file_to_its_owner(path: Path) -> None:
    os.chown(path, 4321, 8765)
    replace_keys(path, Keyring([NEW, OLD]), "draft")
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 8765)


def test_a_symbolic_link_stays_one(path: Path) -> None:
    link = path.with_name("link.key")
    link.symlink_to(path)
    replace_keys(link, Keyring([NEW]), "draft")
    assert link.is_symlink() and read_keys(path) == [NEW]


def test_a_draft_of_somebody_else_is_not_written_over(path: Path) -> None:
    path.with_name("cluster.key.draft").write_text("a secret of somebody else")
    with pytest.raises(ConfigError, match="File exists"):
        replace_keys(path, Keyring([NEW]), "draft")
    assert read_keys(path) == [OLD]
