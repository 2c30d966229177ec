"""Which addresses a node advertises, and when it tells that they have changed."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from guthi.api import Address, Host
from guthi.errors import ConfigError
from guthi.network import addressing
from guthi.network.addressing import follow_addresses, resolved

HERE, THERE = Address("10.0.0.1", 1), Address("10.0.0.2", 1)


class Machine:
    """As much of a Host as is asked here."""

    def __init__(self) -> None:
        self.names = {"both": [HERE, THERE], "one": [HERE]}
        self.interfaces = [HERE]
        self.looks = 0

    async def resolve(self, address: Address) -> list[Address]:
        return self.names.get(address.host, [])

    def interface_addresses(self, bound: Address) -> list[Address]:
        self.looks += 1
        return self.interfaces


async def test_names_are_looked_up_and_each_address_is_told_once() -> None:
    host = cast("Host", Machine())
    assert await resolved([Address("one", 1), Address("both", 1)], host) == [HERE, THERE]
    with pytest.raises(ConfigError, match="advertise = nowhere:1: no such host; write"):
        await resolved([Address("nowhere", 1)], host)


async def test_a_change_is_told_once_and_a_machine_without_addresses_keeps_its_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addressing, "ADDRESS_CHECK_S", 0.0)
    machine = Machine()
    told: list[tuple[Address, ...]] = [(HERE,)]
    following = asyncio.ensure_future(
        follow_addresses(cast("Host", machine), HERE, lambda: told[-1], lambda addresses: told.append(addresses))
    )
    for interfaces in ([HERE], [THERE], [], [THERE]):
        machine.interfaces, seen = interfaces, machine.looks
        while machine.looks < seen + 2:
            await asyncio.sleep(0)
    following.cancel()
    assert told == [(HERE,), (THERE,)]
