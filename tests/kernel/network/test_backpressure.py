"""Senders wait while too much is buffered for their own peer, and all of them end."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from guthi.api import NodeId
from guthi.errors import NodeClosed
from guthi.network.backpressure import SEND_BUFFER_BYTES, Backpressure

BOB, CAROL = NodeId(bytes(16)), NodeId(bytes([1] * 16))
TOO_MUCH = SEND_BUFFER_BYTES + 1


class Senders:
    """Tasks that each want to send one message, and who of them was let through."""

    def __init__(self) -> None:
        self.buffered: Counter[NodeId] = Counter()
        self.gate = Backpressure(self.buffered.__getitem__)
        self.through: list[str] = []

    def start(self, name: str, peer: NodeId) -> asyncio.Task[None]:
        return asyncio.create_task(self._send(name, peer))

    async def _send(self, name: str, peer: NodeId) -> None:
        await self.gate.writable(peer)
        self.through.append(name)

    async def wake(self) -> None:
        """Wake, and let everybody run who can."""
        self.gate.wake()
        await self.turns()

    async def turns(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


async def test_up_to_the_limit_nobody_waits() -> None:
    senders = Senders()
    senders.buffered[BOB] = SEND_BUFFER_BYTES
    await senders.gate.writable(BOB)


async def test_beyond_it_a_sender_waits_until_its_own_peer_takes_more() -> None:
    senders = Senders()
    senders.buffered[BOB] = senders.buffered[CAROL] = TOO_MUCH
    tasks = [senders.start("to bob", BOB), senders.start("to carol", CAROL)]
    await senders.turns()
    await senders.wake()
    assert senders.through == []
    senders.buffered[CAROL] = 0
    await senders.wake()
    assert senders.through == ["to carol"]
    senders.buffered[BOB] = SEND_BUFFER_BYTES
    await senders.wake()
    assert senders.through == ["to carol", "to bob"]
    await asyncio.gather(*tasks)


async def test_they_go_on_in_the_order_in_which_they_came() -> None:
    senders = Senders()
    senders.buffered[BOB] = TOO_MUCH
    tasks = [senders.start(str(number), BOB) for number in range(5)]
    await senders.turns()
    await senders.wake()
    senders.buffered[BOB] = 0
    await senders.wake()
    assert senders.through == ["0", "1", "2", "3", "4"]
    await asyncio.gather(*tasks)


async def test_one_that_finds_the_buffer_full_again_waits_again() -> None:
    senders = Senders()
    senders.buffered[BOB] = TOO_MUCH
    task = senders.start("late", BOB)
    await senders.turns()
    senders.buffered[BOB] = 0
    senders.gate.wake()
    senders.buffered[BOB] = TOO_MUCH  # somebody else was quicker
    await senders.turns()
    assert senders.through == []
    senders.buffered[BOB] = 0
    await senders.wake()
    assert task.done() and senders.through == ["late"]


async def test_a_sender_that_gave_up_holds_nobody_up() -> None:
    senders = Senders()
    senders.buffered[BOB] = TOO_MUCH
    impatient, patient = senders.start("impatient", BOB), senders.start("patient", BOB)
    await senders.turns()
    impatient.cancel()
    await senders.turns()
    senders.buffered[BOB] = 0
    await senders.wake()
    assert senders.through == ["patient"]
    assert impatient.cancelled() and patient.done()


async def test_closing_ends_the_waiting() -> None:
    senders = Senders()
    senders.buffered[BOB] = TOO_MUCH
    impatient, patient = senders.start("impatient", BOB), senders.start("patient", BOB)
    await senders.turns()
    impatient.cancel()
    senders.gate.close()
    with pytest.raises(NodeClosed, match="before the message could leave"):
        await patient
    assert senders.through == []
