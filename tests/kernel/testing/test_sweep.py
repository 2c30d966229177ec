"""A thousand worlds of five nodes, with loss, copies, reordering, one partition and one crash in each.

In every one of them: each request ends in time, by an answer or a typed error; no piece of work is done twice; what was
answered was done; all are connected at the end; nothing fails unseen, and nobody leaves a task behind.
"""

from __future__ import annotations

import pytest
from tests.kernel.testing.sweep import TROUBLE_S, Ledger, nothing, swarm, sweep

import guthi.transport.dialing
from guthi.testing import World, simulated
from guthi.transport.outbox import Carried, Outgoing, Piece
from guthi.transport.recovery import SentPacket
from guthi.transport.session import Session

LONG_BYTES = 6000  # several datagrams
DRIFT_S = 0.25  # what a clock that runs at nine tenths makes of the patience


@pytest.mark.guthi_seeds(1000)
@simulated
async def test_what_holds_in_every_world(world):
    ledger = await sweep(world)
    assert ledger.ends["answered"] > 0


@pytest.mark.guthi_seeds(50)
@simulated
async def test_it_holds_under_every_kind_of_fault(world):
    await sweep(world, swarm, late_s=TROUBLE_S + DRIFT_S)  # a paused node ends its questions when it goes on


async def all_is_answered(world: World) -> Ledger:
    """With nothing worse than loss, every question is answered, long ones too.

    A handshake is given time for a fourth try: of three, all are lost in one world of some hundreds.
    """
    ledger = await sweep(world, nothing, body_bytes=LONG_BYTES, handshake_timeout="2s")
    assert ledger.ends == {"answered": ledger.asked}, f"seed {world.seed}: not all was answered"
    return ledger


@pytest.mark.guthi_seeds(100)
@simulated
async def test_where_there_is_only_loss_all_is_answered(world):
    await all_is_answered(world)


class ForgetsTheLastPiece(Session):
    """Deliberately broken: of a lost packet that carried several pieces, the last is not sent again."""

    def _resend(self, packet: SentPacket[Carried]) -> None:
        pieces = [carried for carried in packet.carried if isinstance(carried, Piece | Outgoing)]
        if len(pieces) > 1:
            packet.carried.remove(pieces[-1])
        super()._resend(packet)


def test_a_session_that_forgets_a_retransmission_is_caught(monkeypatch):
    monkeypatch.setattr(guthi.transport.dialing, "Session", ForgetsTheLastPiece)
    with pytest.raises(AssertionError, match=r"seed \d+: not all was answered"):
        for seed in range(100):
            World(seed).run(all_is_answered)
