"""`guthi keygen`: a fresh cluster key, and how it is put into a file that nobody else can read."""

from __future__ import annotations

import os
from pathlib import Path

import click

from guthi.errors import UsageError
from guthi.host.udp import SystemHost
from guthi.security.keyring import ClusterKey

__all__ = ["keygen", "write_secret"]


@click.command
@click.option("--output", type=click.Path(path_type=Path), help="Write a new file, readable by its owner only.")
def keygen(output: Path | None) -> None:
    """Make a cluster key.

    It admits to a network: give it to all its nodes, and to nobody else.

    \b
    Example:
      guthi keygen --output cluster.key
    """
    text = ClusterKey.generate(SystemHost().entropy).text()
    if output is None:
        click.echo(text)
    else:
        write_secret(output, f"{text}\n")


def write_secret(path: Path, text: str) -> None:
    """Make a file that only its owner can read; raises UsageError if there is one already, or none can be made."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; a new key would lock its nodes out: choose another name") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another place") from None
