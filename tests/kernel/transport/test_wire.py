"""The frames of a session: what is encoded is decoded, and bytes that do not fit raise MalformedMessage only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.errors import MalformedMessage
from guthi.transport.wire import (
    FRAGMENT_OVERHEAD_BYTES,
    MAX_ACK_RANGES,
    MESSAGE_OVERHEAD_BYTES,
    PING,
    Abandon,
    Ack,
    Close,
    Credit,
    EcnCounts,
    Fragment,
    Frame,
    Message,
    Ping,
    decode_frames,
    encode_abandon,
    encode_ack,
    encode_close,
    encode_credit,
    encode_padding,
    fragment_header,
    message_header,
)

u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
bodies = st.binary(max_size=40)


def ack_ranges(numbers: set[int]) -> tuple[tuple[int, int], ...]:
    bounds = sorted(numbers)
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
    return tuple(reversed(pairs))


acks = st.builds(
    Ack,
    st.sets(u64, min_size=2, max_size=2 * MAX_ACK_RANGES).map(ack_ranges).filter(bool),
    st.integers(0, 2**32 - 1),
    st.none() | st.builds(EcnCounts, u64, u64, u64),
)
messages = st.builds(Message, u32, u64, bodies.map(memoryview))


@st.composite
def fragments(draw: st.DrawFn) -> Fragment:
    body = draw(st.binary(min_size=1, max_size=40))
    offset = draw(st.integers(0, 2**63))
    total = offset + len(body) + draw(st.integers(0, 2**62))
    return Fragment(draw(u32), draw(u64), total, offset, memoryview(body))


frames = st.one_of(
    st.just(Ping()),
    acks,
    messages,
    fragments(),
    st.builds(Abandon, u32, u64, u64),
    st.builds(Credit, u64, u64),
    st.builds(Close, u16, st.text(max_size=100)),
)


def encoded(frame: Frame) -> bytes:
    match frame:
        case Ping():
            return PING
        case Ack():
            return encode_ack(frame.ranges, frame.delay_us, frame.counts)
        case Message():
            return message_header(frame.channel, frame.sequence, len(frame.body)) + bytes(frame.body)
        case Fragment(channel, sequence, total, offset, body):
            return fragment_header(channel, sequence, total, offset, len(body)) + bytes(body)
        case Abandon():
            return encode_abandon(frame.channel, frame.sequence, frame.total)
        case Credit():
            return encode_credit(frame.counted_bytes, frame.bulk_messages)
        case Close():
            return encode_close(frame.code, frame.reason)


def decodes_or_is_malformed(payload: bytes) -> None:
    try:
        decode_frames(payload)
    except MalformedMessage:
        pass


@given(st.lists(frames, max_size=8))
def test_round_trip(sent: list[Frame]) -> None:
    assert decode_frames(b"".join(map(encoded, sent))) == sent


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_decoded_or_malformed(payload: bytes) -> None:
    decodes_or_is_malformed(payload)


@given(st.lists(frames, min_size=1, max_size=5), st.randoms(use_true_random=False), st.integers(1, 4))
def test_mutated_frames_are_decoded_or_malformed(sent: list[Frame], random: object, changes: int) -> None:
    payload = bytearray(b"".join(map(encoded, sent)))
    for _ in range(changes):
        at = random.randrange(len(payload))  # type: ignore[attr-defined]
        payload[at] = random.randrange(256)  # type: ignore[attr-defined]
    decodes_or_is_malformed(bytes(payload))


@given(frames)
def test_every_frame_that_is_cut_short_is_malformed(frame: Frame) -> None:
    payload = encoded(frame)
    for length in range(1, len(payload)):
        with pytest.raises(MalformedMessage):
            decode_frames(payload[:length])


@pytest.mark.parametrize(
    "payload",
    [
        b"\x08",
        b"\xff" * 20,
        encode_ack([], 0),
        encode_ack([(5, 4)], 0),
        encode_ack([(1, 2), (3, 4)], 0),
        encode_ack([(3, 5), (1, 3)], 0),
        encode_ack([(2 * n, 2 * n) for n in range(MAX_ACK_RANGES, -1, -1)], 0),
        fragment_header(2, 0, 10, 0, 0),
        fragment_header(2, 0, 10, 8, 3) + b"abc",
        fragment_header(2, 0, 10, 2**64 - 1, 3) + b"abc",
        message_header(2, 0, 4) + b"abc",
    ],
)
def test_what_does_not_fit_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_frames(payload)


def test_one_bad_frame_spoils_the_payload() -> None:
    with pytest.raises(MalformedMessage):
        decode_frames(PING + message_header(2, 0, 1) + b"x" + b"\xee")


def test_bodies_are_views_of_the_payload() -> None:
    payload = bytearray(message_header(2, 0, 3) + b"abc")
    (frame,) = decode_frames(payload)
    assert isinstance(frame, Message)
    payload[-1:] = b"d"
    assert bytes(frame.body) == b"abd"


def test_a_long_close_reason_is_cut_and_an_odd_one_is_sent() -> None:
    (cut,) = decode_frames(encode_close(0, "é" * 1000))
    (odd,) = decode_frames(encode_close(0, "\ud800"))
    assert cut == Close(0, "é" * 256)
    assert odd == Close(0, "?")


def test_overheads_are_those_of_the_headers() -> None:
    assert len(message_header(0, 0, 0)) == MESSAGE_OVERHEAD_BYTES
    assert len(fragment_header(0, 0, 1, 0, 1)) == FRAGMENT_OVERHEAD_BYTES


def test_an_ack_delay_too_long_for_its_field_is_cut() -> None:
    assert decode_frames(encode_ack([(0, 0)], 2**40)) == [Ack(((0, 0),), 2**32 - 1)]


def test_padding_is_skipped_wherever_it_stands() -> None:
    payload = encode_padding(3) + PING + encode_padding(50_000) + message_header(2, 0, 2) + b"\0\0" + encode_padding(1)
    assert decode_frames(payload) == [Ping(), Message(2, 0, memoryview(b"\0\0"))]
