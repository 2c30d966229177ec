"""Where a node can be reached: what it advertises, and how it notices that its machine's addresses have changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from guthi.api import Address, Host
from guthi.errors import ConfigError

__all__ = ["follow_addresses", "resolved"]

ADDRESS_CHECK_S = 10.0

log = logging.getLogger("guthi.network")


async def resolved(advertise: Sequence[Address], host: Host) -> list[Address]:
    """The literal addresses of those to advertise, because others look up no names for us. Raises ConfigError."""
    found: list[Address] = []
    for address in advertise:
        literal = await host.resolve(address)
        if not literal:
            raise ConfigError(f"advertise = {address}: no such host; write a name or address that others can reach")
        found += literal
    return list(dict.fromkeys(found))


async def follow_addresses(
    host: Host, bound: Address, current: Callable[[], tuple[Address, ...]], tell: Callable[[tuple[Address, ...]], None]
) -> None:
    """For a node that listens on every interface: tell when the machine gets another address; runs without end."""
    while True:
        await asyncio.sleep(ADDRESS_CHECK_S)
        addresses = tuple(host.interface_addresses(bound))
        if addresses and addresses != current():
            log.info("this node is now at %s", ", ".join(map(str, addresses)))
            tell(addresses)
