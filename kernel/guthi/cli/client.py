"""How a command joins a network: as a client, which sees everything and is given no work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from guthi.api import Address
from guthi.cli.parameters import ADDRESS, DURATION
from guthi.configuration.config import Config
from guthi.errors import UsageError

__all__ = ["client_config", "client_options"]

C = TypeVar("C", bound=Callable[..., Any])

DEFAULT_CONFIG = Path("node.toml")


def client_options(command: C) -> C:
    """Give a command the options `join`, `config_file` and `timeout_s`, which `client_config` takes."""
    options = (
        click.option(
            "--join", type=ADDRESS, multiple=True, help="A node of the network; may be repeated, one has to answer."
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            help="A node file of the network, for its addresses and cluster key; node.toml, where there is one here.",
        ),
        click.option(
            "--timeout", "timeout_s", type=DURATION, default="5s", show_default=True, help="How long to wait for it."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def client_config(
    join: Sequence[Address], config_file: Path | None, timeout_s: float, plugins: Sequence[str] = ()
) -> Config:
    """The configuration of a client node that runs `plugins`.

    Without `join`, it joins the node that the file describes, or those that this one would join. Raises ConfigError,
    and UsageError when there is no address to join.
    """
    if config_file is None and DEFAULT_CONFIG.exists():
        config_file = DEFAULT_CONFIG
    own = Config.from_toml(config_file) if config_file is not None else Config.from_mapping({})
    addresses = tuple(join) or _entrances(own)
    if not addresses:
        raise UsageError("which network? name one of its nodes: --join HOST:PORT, or a node file: --config node.toml")
    return own.with_overrides(
        node={
            "name": "",
            "role": "client",
            "join": addresses,
            "join_timeout": timeout_s,
            "listen": _listen(addresses),
            "plugins": tuple(plugins),
            "advertise": (),
            "data_dir": None,
            "main": "",
            "discovery": "gossip",
        }
    )


def _entrances(config: Config) -> tuple[Address, ...]:
    """The node that a file describes, if its port is known, and those that it joins."""
    own = config.node.listen.from_here
    return tuple(dict.fromkeys((*([own] if own.port != 0 else []), *config.node.join)))  # a list that all nodes share


def _listen(addresses: Sequence[Address]) -> Address:
    """A port from which the addresses can be reached; without a cluster key only loopback is allowed to."""
    is_v6 = all(":" in address.host for address in addresses)
    if all(address.is_loopback for address in addresses):
        return Address("::1" if is_v6 else "127.0.0.1", 0)
    return Address("::" if is_v6 else "0.0.0.0", 0)
