"""ECN: which counts of marks are believed, what a mark does to the window, and that nothing is marked in vain."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kernel.bottleneck import Bottleneck
from tests.kernel.pipe import Pipe

from guthi.api import Ecn
from guthi.transport.acknowledgements import Acknowledgements
from guthi.transport.ecn import TEST_DATAGRAMS, Marking, MarkingState
from guthi.transport.outbox import Carried
from guthi.transport.path import Path
from guthi.transport.recovery import AckOutcome, SentPacket
from guthi.transport.session import Session
from guthi.transport.wire import Ack, EcnCounts, decode_frames

BANDWIDTH_BYTES_S = 2_500_000.0  # a window of 42 datagrams, which shows what one of 208 does, and sooner
BUFFER_BYTES = 200_000.0  # four bandwidth-delay products


def waiting() -> Marking:
    """A marking whose test datagrams have left."""
    marking = Marking()
    for _ in range(TEST_DATAGRAMS):
        assert marking.mark is Ecn.ECT0
        marking.sent()
    assert (marking.state, marking.mark) == (MarkingState.WAITING, Ecn.NOT_ECT)
    return marking


def capable() -> Marking:
    marking = waiting()
    assert not marking.acknowledged(TEST_DATAGRAMS, EcnCounts(TEST_DATAGRAMS, 0, 0))
    return marking


def test_counts_that_fit_make_it_capable() -> None:
    marking = capable()
    assert (marking.state, marking.mark) == (MarkingState.CAPABLE, Ecn.ECT0)


@pytest.mark.parametrize(
    ("marked", "counts"),
    [
        (5, None),  # the peer reads no marks
        (5, EcnCounts(0, 0, 0)),  # somebody clears them
        (5, EcnCounts(4, 0, 0)),
        (5, EcnCounts(0, 5, 0)),  # somebody changes them
        (5, EcnCounts(5, 1, 0)),
        (5, EcnCounts(11, 0, 0)),  # more than were sent
    ],
)
def test_counts_that_do_not_fit_end_it(marked: int, counts: EcnCounts | None) -> None:
    marking = waiting()
    assert not marking.acknowledged(marked, counts)
    assert (marking.state, marking.mark) == (MarkingState.FAILED, Ecn.NOT_ECT)
    assert not marking.acknowledged(5, EcnCounts(0, 0, 10))


def test_each_growth_of_ce_is_news_once() -> None:
    marking = capable()
    for _ in range(5):
        marking.sent()
    assert marking.acknowledged(3, EcnCounts(12, 0, 1))
    assert not marking.acknowledged(2, EcnCounts(14, 0, 1))
    assert marking.state is MarkingState.CAPABLE


def test_an_acknowledgement_that_was_overtaken_says_nothing() -> None:
    marking = capable()
    for _ in range(4):
        marking.sent()
    marking.acknowledged(4, EcnCounts(14, 0, 0))
    assert not marking.acknowledged(0, EcnCounts(12, 0, 0))
    assert marking.state is MarkingState.CAPABLE


def test_where_all_that_is_marked_vanishes_marks_end_and_a_new_path_is_tested() -> None:
    marking = waiting()
    marking.lost(TEST_DATAGRAMS - 1)
    assert marking.state is MarkingState.WAITING
    marking.lost(1)
    assert marking.state is MarkingState.FAILED
    marking.new_path()
    assert (marking.state, marking.mark) == (MarkingState.TESTING, Ecn.ECT0)


def ack_of(acknowledgements: Acknowledgements) -> Ack:
    (frame,) = decode_frames(acknowledgements.take(0.0))
    assert isinstance(frame, Ack)
    return frame


def test_marks_are_counted_and_a_mark_of_congestion_is_told_at_once() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.received(0, True, 0.0)
    assert acknowledgements.deadline != 0.0
    assert ack_of(acknowledgements).counts is None
    acknowledgements.received(1, True, 0.0, Ecn.CE)
    assert acknowledgements.deadline == 0.0
    acknowledgements.received(2, True, 0.0, Ecn.ECT0)
    assert ack_of(acknowledgements).counts == EcnCounts(1, 0, 1)


# ---- on a path


def narrow(**conditions: Any) -> Bottleneck:
    """A path with one flow and a long buffer; the conditions are those of a Bottleneck."""
    return Bottleneck(bandwidth_bytes_s=BANDWIDTH_BYTES_S, queue_bytes=BUFFER_BYTES, **conditions)


def test_a_marking_queue_stays_short_loses_nothing_and_the_path_full() -> None:
    """A buffer of four bandwidth-delay products, which marks from half of one on."""
    plain, marking = (narrow(mark_bytes=mark) for mark in (None, BUFFER_BYTES / 8))
    for path in (plain, marking):
        path.run(5.0)
        assert path.flows[0].delivered_bytes / 5.0 >= 0.85 * BANDWIDTH_BYTES_S
    assert marking.marked > 0 and marking.dropped == 0
    assert marking.mean_queue_bytes < 0.6 * plain.mean_queue_bytes


def test_marks_act_once_in_a_round_trip() -> None:
    path = Path(1200, 0.0, first_round_trip_s=0.1)
    packets: list[SentPacket[Carried]] = [SentPacket(number, 1.0, 1200, [], marked=True) for number in range(4)]
    for packet in packets:
        path.sent(packet)
    before = path.congestion.window_bytes
    for ce, packet in enumerate(packets, 1):
        counts = EcnCounts(0, 0, ce)
        path.acknowledged(Ack(((0, packet.number),), 0, counts), AckOutcome([packet]), 4, 1.1 + ce / 1000)
        assert path.congestion.window_bytes == pytest.approx(0.7 * before)


def test_a_network_that_clears_marks_is_found_out() -> None:
    path = narrow(clears_marks=True)
    path.run(2.0)
    assert path.flows[0].sender._path.marking.state is MarkingState.FAILED
    assert TEST_DATAGRAMS <= path.flows[0].sent_marked < 4 * TEST_DATAGRAMS, "no more than the turn in which they left"


def test_a_network_that_drops_what_is_marked_costs_the_test_datagrams() -> None:
    path = narrow(drops_marks=True)
    path.run(5.0)
    assert path.flows[0].sender._path.marking.state is MarkingState.FAILED
    assert TEST_DATAGRAMS <= path.flows[0].sent_marked < 4 * TEST_DATAGRAMS, "no more than the turn in which they left"
    assert path.flows[0].delivered_bytes / 5.0 >= 0.5 * BANDWIDTH_BYTES_S


def test_small_messages_now_and_then_are_not_marked() -> None:
    pipe = Pipe(0)
    marks = set()

    def note(end: Session) -> None:
        marks.add(end.mark)

    pipe.intercept = lambda to, datagram: (note(pipe.other(to).session), datagram)[1]
    for _ in range(50):
        pipe.a.session.send([bytes(100)])
        pipe.flush()
        pipe.run(1.0)
    assert marks == {Ecn.NOT_ECT}
