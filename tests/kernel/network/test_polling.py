"""A node polls where its configuration says so: for the answer at the caller, and for what follows at the other end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest
from tests.kernel.nodes import a_node, names, until

from guthi.host.spin import Spin
from guthi.host.udp import UdpPort


@pytest.mark.parametrize(("busy_poll_us", "limits_s"), [(800, {0.0008}), (0, set())])
async def test_both_ends_poll_or_none(busy_poll_us: int, limits_s: set[float], monkeypatch: pytest.MonkeyPatch) -> None:
    polled, poll = defaultdict[int, set[float]](set), UdpPort.poll

    def noted(port: UdpPort, limit_s: float, ended: Callable[[bool], None]) -> None:
        polled[port.local_address.port].add(limit_s)
        poll(port, limit_s, ended)

    monkeypatch.setattr(UdpPort, "poll", noted)
    monkeypatch.setattr(Spin, "tried", lambda *_: None)  # on a busy machine it might rest by now
    transport = {"busy_poll_us": busy_poll_us}
    async with a_node("alice", tables={"transport": transport}) as alice:
        alice.handle("double", lambda incoming: 2 * incoming.value)
        async with a_node("bob", alice, tables={"transport": transport}) as bob:
            await until(lambda: "bob" in names(alice) and "alice" in names(bob))
            polled.clear()
            assert [await bob.request("alice", "double", number) for number in (1, 2)] == [2, 4]
            assert [polled[node.address.port] for node in (alice, bob)] == [limits_s, limits_s]
