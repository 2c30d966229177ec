"""Streams between whole nodes on loopback, and between two ends whose line can say anything."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.messages.test_requests import HERE, THERE, End
from tests.kernel.nodes import Line, a_node, until

import guthi
from guthi import Incoming, Node, Stream
from guthi.api import Buffer, NodeId
from guthi.errors import MalformedMessage
from guthi.messages.envelope import CREDIT, FAULT, FINISH, OPEN, VALUE, WAIT, pack
from guthi.messages.flow import INITIAL_WINDOW_BYTES, Credit
from guthi.messages.streams import Streams
from guthi.transport.endpoint import Posted
from guthi.values.codec import Codec

SMALL_WINDOW = {"transport": {"stream_window": "64 KiB", "timeout": "500ms", "keepalive": "100ms"}}


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes; nothing of a stream may be left when the test ends."""
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        yield alice, bob
        await until(lambda: is_clean(alice) and is_clean(bob))


def is_clean(node: Node) -> bool:
    """Nothing is left of any stream, or request."""
    requests, streams = node.network.requests, node.network.streams
    return not (len(streams) or streams._channels or streams._accepted or requests._serving or requests._waiting)


async def double(incoming: Incoming, stream: Stream) -> None:
    async for value in stream:
        await stream.send(value * incoming.value)


class Forever:
    """A handler that never returns, and tells whether it was stopped."""

    def __init__(self) -> None:
        self.started, self.stopped = asyncio.Event(), asyncio.Event()

    async def __call__(self, incoming: Incoming, stream: Stream) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


# ---- values


async def test_values_pass_both_ways_in_order(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    bob.handle_stream("double", double)
    async with asyncio.timeout(10), alice.open_stream("bob", "double", 2) as stream:
        assert stream.peer == bob.id
        for number in range(300):
            await stream.send(number)
        stream.finish()
        assert [value async for value in stream] == [number * 2 for number in range(300)]
        assert [value async for value in stream] == []


async def test_values_of_all_sizes_stay_in_order(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    sizes = [0, 10, 200_000, 1, 3_000_000, 70_000, 5, 65_536]
    bob.handle_stream("double", double)
    async with asyncio.timeout(10), alice.open_stream("bob", "double", 1) as stream:
        await stream.send(np.arange(100_000.0))
        for size in sizes:
            await stream.send(b"x" * size)
        stream.finish()
        array, *rest = [value async for value in stream]
        assert np.array_equal(array, np.arange(100_000.0))
        assert [len(value) for value in rest] == sizes


async def test_one_side_may_be_silent(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    sums: list[int] = []

    async def add_up(incoming: Incoming, stream: Stream) -> None:
        sums.append(sum([value async for value in stream]))

    async def count(incoming: Incoming, stream: Stream) -> None:
        for number in range(incoming.value):
            await stream.send(number)

    bob.handle_stream("add", add_up)
    bob.handle_stream("count", count)
    async with asyncio.timeout(10):
        async with alice.open_stream("bob", "add") as stream:
            for number in range(10):
                await stream.send(number)
            stream.finish()
            assert [value async for value in stream] == []  # waits until the handler has returned
        assert sums == [45]
        async with alice.open_stream(bob.me, "count", 5) as stream:
            assert [value async for value in stream] == [0, 1, 2, 3, 4]


async def test_many_streams_at_once_and_both_ways(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    for node in pair:
        node.handle_stream("double", double)

    async def one(here: Node, there: Node, factor: int) -> None:
        async with here.open_stream(there.id, "double", factor) as stream:
            for number in range(50):
                await stream.send(number)
                assert await anext(stream) == number * factor

    async with asyncio.timeout(20):
        await asyncio.gather(*(one(*ends, factor) for factor in range(30) for ends in ((alice, bob), (bob, alice))))


async def test_a_node_streams_to_itself() -> None:
    forever = Forever()
    async with asyncio.timeout(10), a_node("alice", tables=SMALL_WINDOW) as alice:
        alice.handle_stream("double", double)
        alice.handle_stream("forever", forever)
        async with alice.open_stream("alice", "double", 3) as stream:
            sender = alice.start(send_all(stream, [b"x" * 10_000] * 100))
            assert [len(value) async for value in stream] == [30_000] * 100
            await sender
        async with alice.open_stream("alice", "forever"):
            await forever.started.wait()
        await forever.stopped.wait()
        await until(lambda: is_clean(alice))


async def send_all(stream: Stream, values: list[Any]) -> None:
    for value in values:
        await stream.send(value)
    stream.finish()


async def test_those_who_send_at_once_wait_for_one_another() -> None:
    async with a_node("alice") as alice, a_node("bob", alice, tables=SMALL_WINDOW) as bob:
        bob.handle_stream("double", double)
        async with asyncio.timeout(10), alice.open_stream("bob", "double", 1) as stream:
            groups = [
                asyncio.gather(*(stream.send([who, number, b"x" * 5000]) for number in range(50))) for who in "abc"
            ]
            seen: dict[str, list[int]] = {"a": [], "b": [], "c": []}
            for _ in range(150):
                who, number, _ = await anext(stream)
                seen[who].append(number)
            await asyncio.gather(*groups)
        assert seen == {who: [*range(50)] for who in "abc"}


# ---- back-pressure


async def test_a_stalled_reader_stops_the_sender_and_nobody_else() -> None:
    goes_on = asyncio.Event()
    held: list[Stream] = []

    async def lazy(incoming: Incoming, stream: Stream) -> None:
        held.append(stream)
        await goes_on.wait()
        async for value in stream:
            await stream.send(value[:2])

    async with asyncio.timeout(20), a_node("alice") as alice, a_node("bob", alice, tables=SMALL_WINDOW) as bob:
        bob.handle_stream("lazy", lazy)
        bob.handle_stream("double", double)
        bob.handle("echo", lambda incoming: incoming.value)
        values = [bytes([number]) * 1000 for number in range(200)]
        async with alice.open_stream("bob", "lazy") as stream:
            sender = asyncio.create_task(send_all(stream, values))
            await until(lambda: bool(held) and held[0]._inflow.held_bytes > 60_000)
            for number in range(20):
                assert await alice.request("bob", "echo", number) == number
            async with alice.open_stream("bob", "double", 2) as other:
                await other.send(21)
                assert await anext(other) == 42
            assert not sender.done()
            assert held[0]._inflow.held_bytes <= INITIAL_WINDOW_BYTES
            assert sum(map(len, held[0]._arrived)) <= INITIAL_WINDOW_BYTES
            goes_on.set()
            assert [value async for value in stream] == [value[:2] for value in values]
            await sender


async def test_the_handler_waits_for_a_slow_opener() -> None:
    sent: list[int] = []

    async def eager(incoming: Incoming, stream: Stream) -> None:
        for number in range(100):
            await stream.send(bytes([number]) * 10_000)
            sent.append(number)

    async with a_node("alice", tables=SMALL_WINDOW) as alice, a_node("bob", alice) as bob:
        bob.handle_stream("eager", eager)
        async with asyncio.timeout(20), alice.open_stream("bob", "eager") as stream:
            await until(lambda: len(sent) == 6)  # what a window takes
            assert [value[0] async for value in stream] == [*range(100)]


async def test_cancelled_while_it_waits_a_value_is_not_sent() -> None:
    goes_on = asyncio.Event()

    async def lazy(incoming: Incoming, stream: Stream) -> None:
        await goes_on.wait()
        async for value in stream:
            await stream.send(value[0])

    async with a_node("alice") as alice, a_node("bob", alice, tables=SMALL_WINDOW) as bob:
        bob.handle_stream("lazy", lazy)
        async with asyncio.timeout(10), alice.open_stream("bob", "lazy") as stream:
            for number in range(6):
                await stream.send(bytes([number]) * 10_000)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.send(b"\xff" * 10_000), 0.05)
            goes_on.set()
            await stream.send(bytes([6]) * 10_000)
            stream.finish()
            assert [value async for value in stream] == [*range(7)]


# ---- ends


async def test_what_the_handler_raises_is_raised_after_its_values(pair: tuple[Node, Node]) -> None:
    alice, bob = pair

    async def fails(incoming: Incoming, stream: Stream) -> None:
        for number in range(3):
            await stream.send(number)
        raise ValueError("no more")

    bob.handle_stream("fails", fails)
    async with asyncio.timeout(10), alice.open_stream("bob", "fails") as stream:
        assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="no more") as caught:
            await anext(stream)
        assert "remote traceback on bob" in caught.value.__notes__[0]
        with pytest.raises(ValueError, match="no more"):
            await stream.send(1)


async def test_a_handler_that_returns_early_takes_no_more(pair: tuple[Node, Node]) -> None:
    alice, bob = pair

    async def takes_one(incoming: Incoming, stream: Stream) -> None:
        await stream.send(await anext(stream))

    bob.handle_stream("one", takes_one)
    async with asyncio.timeout(10), alice.open_stream("bob", "one") as stream:
        with pytest.raises(guthi.StreamEnded, match="bob has returned"):
            while True:
                await stream.send("x" * 1000)
        assert [value async for value in stream] == ["x" * 1000]


async def test_unknown_topics_and_values_without_a_form(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    bob.handle("plain", lambda incoming: None)
    bob.handle_stream("double", double)
    for topic in ("nothing", "plain"):
        async with asyncio.timeout(10), alice.open_stream("bob", topic) as stream:
            with pytest.raises(guthi.UnknownTopic, match=topic):
                await anext(stream)
    with pytest.raises(guthi.UnknownTopic):
        await alice.request("bob", "double", 2)
    with pytest.raises(guthi.NotEncodable):
        async with alice.open_stream("bob", "double", object()):
            pass
    async with alice.open_stream("bob", "double", 1) as stream:
        with pytest.raises(guthi.NotEncodable):
            await stream.send(object())
        await stream.send(1)
        assert await anext(stream) == 1


async def test_a_handler_that_cleans_up_does_not_wait_for_an_opener_that_is_gone(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    errors: list[Exception] = []

    async def says_goodbye(incoming: Incoming, stream: Stream) -> None:
        try:
            await stream.send("welcome")
            await anext(stream)
        finally:
            try:
                while True:  # sooner or later there is no credit
                    await stream.send(b"goodbye" * 1000)
            except guthi.GuthiError as error:
                errors.append(error)

    async def never_gives_up(incoming: Incoming, stream: Stream) -> None:
        await stream.send("welcome")
        while True:
            try:
                await anext(stream)
            except asyncio.CancelledError:
                continue

    bob.handle_stream("goodbye", says_goodbye)
    bob.handle_stream("stubborn", never_gives_up)
    for topic in ("goodbye", "stubborn"):
        async with asyncio.timeout(10), alice.open_stream("bob", topic) as stream:
            assert await anext(stream) == "welcome"
        async with asyncio.timeout(10):
            await until(lambda: is_clean(bob))
    assert isinstance(errors[0], guthi.StreamEnded) and "opener of the stream is gone" in str(errors[0])


async def test_leaving_early_cancels_the_handler(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    forever = Forever()
    bob.handle_stream("forever", forever)
    async with asyncio.timeout(10):
        async with alice.open_stream("bob", "forever") as stream:
            await stream.send(b"x" * 500_000)
            await forever.started.wait()
        await forever.stopped.wait()
        with pytest.raises(guthi.UsageError, match="was left"):
            await stream.send(1)
        with pytest.raises(guthi.UsageError, match="was left"):
            await anext(stream)


async def test_leaving_before_the_handler_has_begun() -> None:
    async with a_node("alice") as alice, a_node("bob", alice) as bob:
        forever = Forever()
        bob.handle_stream("forever", forever)
        for _ in range(50):
            async with alice.open_stream("bob", "forever"):
                await asyncio.sleep(0)
        bob.handle("echo", lambda incoming: incoming.value)
        assert await alice.request("bob", "echo", 1) == 1
        await until(lambda: is_clean(alice) and is_clean(bob))


async def test_cancelling_the_opener_cancels_the_handler(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    forever = Forever()
    bob.handle_stream("forever", forever)

    async def listen() -> None:
        async with alice.open_stream("bob", "forever") as stream:
            await anext(stream)

    task = asyncio.create_task(listen())
    async with asyncio.timeout(10):
        await forever.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await forever.stopped.wait()


async def test_the_deadline_ends_both_sides(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    forever, deadlines = Forever(), []

    async def watched(incoming: Incoming, stream: Stream) -> None:
        deadlines.append(incoming.deadline)
        await stream.send("first")
        await stream.send("second")
        await forever(incoming, stream)

    bob.handle_stream("watched", watched)
    async with asyncio.timeout(10), alice.open_stream("bob", "watched", timeout_s=0.1) as stream:
        assert await anext(stream) == "first"
        await forever.started.wait()
        await forever.stopped.wait()
        await until(lambda: stream._state is not guthi.messages.stream.StreamState.OPEN)
        for attempt in (anext(stream), stream.send(b"x")):
            with pytest.raises(guthi.DeadlineExceeded, match=r"no answer from bob within 0\.1 s"):
                await attempt
        stream.finish()
    assert deadlines[0] is not None


async def test_the_loss_of_the_peer_ends_both_sides() -> None:
    line, forever = Line(), Forever()
    async with asyncio.timeout(15), a_node("alice", line=line) as alice, a_node("bob", alice) as bob:
        bob.handle_stream("forever", forever)
        async with alice.open_stream("bob", "forever") as stream:
            await forever.started.wait()
            line.is_cut = True
            with pytest.raises(guthi.PeerLost, match="lost bob"):
                await anext(stream)
            with pytest.raises(guthi.PeerLost, match="lost bob"):
                await stream.send(1)
        await forever.stopped.wait()
        await until(lambda: is_clean(alice) and is_clean(bob))


@pytest.mark.parametrize("who", ["opener", "answerer"])
async def test_the_end_of_a_node_ends_its_streams(who: str) -> None:
    forever = Forever()
    async with asyncio.timeout(15), a_node("alice") as stays:
        goes = a_node("bob", stays)
        async with goes:
            opener, answerer = (goes, stays) if who == "opener" else (stays, goes)
            answerer.handle_stream("forever", forever)
            streaming = asyncio.create_task(pump(opener, answerer.name))
            await forever.started.wait()
        with pytest.raises(guthi.NodeClosed if who == "opener" else guthi.PeerLost):
            await streaming
        await forever.stopped.wait()
        await until(lambda: is_clean(stays))


async def pump(node: Node, peer: str) -> None:
    async with node.open_stream(peer, "forever") as stream:
        while True:
            await stream.send(b"x" * 10_000)


# ---- misuse


async def test_what_cannot_be_done_is_refused(pair: tuple[Node, Node]) -> None:
    alice, bob = pair
    bob.handle_stream("double", double)
    with pytest.raises(guthi.UsageError, match="have a handler already"):
        bob.handle_stream("double", double)
    with pytest.raises(guthi.UsageError, match="not 1 to 255 bytes"):
        bob.handle_stream("", double)
    bob.handle_stream("plain", lambda incoming, stream: None)  # type: ignore[arg-type, return-value]
    async with alice.open_stream("bob", "plain") as stream:
        with pytest.raises(guthi.UsageError, match="no coroutine function"):
            await anext(stream)
    async with alice.open_stream("bob", "double", 2) as stream:
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(guthi.UsageError, match="another task reads"):
            await anext(stream)
        await stream.send(1)
        assert await reading == 2
        stream.finish()
        stream.finish()
        with pytest.raises(guthi.UsageError, match="is finished"):
            await stream.send(1)


async def test_finishing_while_a_value_waits_is_refused() -> None:
    async with a_node("alice") as alice, a_node("bob", alice, tables=SMALL_WINDOW) as bob:
        bob.handle_stream("forever", Forever())
        async with alice.open_stream("bob", "forever") as stream:
            sending = asyncio.create_task(send_all(stream, [b"x" * 60_000] * 2))
            await asyncio.sleep(0.01)
            with pytest.raises(guthi.UsageError, match="still waits"):
                stream.finish()
        with pytest.raises(guthi.UsageError, match="was left"):
            await sending


async def test_a_value_that_the_peer_does_not_accept() -> None:
    short = {"transport": {"max_message": "100 KiB"}}
    async with a_node("alice", tables=short) as alice, a_node("bob", alice) as bob:
        alice.handle_stream("double", double)
        async with asyncio.timeout(10), bob.open_stream("alice", "double", 1) as stream:
            await stream.send(1)
            assert await anext(stream) == 1
            with pytest.raises(guthi.UsageError, match="max_message"):
                await stream.send(b"x" * 200_000)
            await stream.send(2)
            assert await anext(stream) == 2


async def test_one_peer_has_so_many_streams_at_most(monkeypatch: pytest.MonkeyPatch, pair: tuple[Node, Node]) -> None:
    monkeypatch.setattr("guthi.messages.streams.MAX_ACCEPTED", 1)
    alice, bob = pair
    bob.handle_stream("double", double)
    async with asyncio.timeout(10), alice.open_stream("bob", "double", 1) as first:
        await first.send(1)
        assert await anext(first) == 1
        async with alice.open_stream("bob", "double", 1) as second:
            with pytest.raises(guthi.UsageError, match="1 streams to this node are open"):
                await anext(second)
        await first.send(2)
        assert await anext(first) == 2


# ---- what may come


class StreamEnd(End):
    """One end of a line, with streams."""

    def __init__(self, me: NodeId, peer_name: str) -> None:
        super().__init__(me, peer_name)
        self.streams = Streams(self.requests, Codec(), self, INITIAL_WINDOW_BYTES)


@pytest.fixture
async def here() -> StreamEnd:
    """Ours; the other end is `here.other`, which we call bob."""
    return joined()


def joined() -> StreamEnd:
    here, there = StreamEnd(HERE, "bob"), StreamEnd(THERE, "alice")
    here.other, there.other = there, here
    return here


def kinds(end: End) -> list[int]:
    return [bytes(posted.parts[0])[0] for posted in end.posts]


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


BREACHES: dict[str, list[list[Buffer]]] = {
    "overrun": [[pack(VALUE, "", 1), bytes(40_000)]] * 2,
    "after-the-end": [[pack(FINISH, "", 1)], [pack(VALUE, "", 1), b"x"]],
    "credit-for-nothing": [[pack(CREDIT, "", 1), Credit(1, 1 << 20).pack()]],
    "short-credit": [[pack(CREDIT, "", 1), b"123"]],
}


@pytest.mark.parametrize("breach", BREACHES)
async def test_a_breach_of_the_opener_fails_its_stream_alone(
    here: StreamEnd, breach: str, caplog: pytest.LogCaptureFixture
) -> None:
    there, forever = here.other, Forever()
    assert isinstance(there, StreamEnd)
    there.streams.handle("forever", forever)
    with here.streams.open(THERE, "forever", None) as stream, here.streams.open(THERE, "forever", None):
        await forever.started.wait()
        first = there.streams._streams[HERE, 1, 0]
        for parts in BREACHES[breach]:
            there.requests.received(HERE, b"".join(parts))
        with pytest.raises(MalformedMessage):
            await anext(stream)
        await forever.stopped.wait()
        for _ in range(100):
            there.requests.received(HERE, b"".join([pack(VALUE, "", 1), bytes(1000)]))
        assert not first._arrived
        assert len(there.streams) == 1
    assert "a stream with alice has failed" in caplog.text
    await turns()
    assert not (len(there.streams) or len(here.streams) or here.watched or there.watched)


async def test_a_breach_of_the_handlers_side_fails_the_stream(
    here: StreamEnd, caplog: pytest.LogCaptureFixture
) -> None:
    there, forever = here.other, Forever()
    assert isinstance(there, StreamEnd)
    there.streams.handle("forever", forever)
    with here.streams.open(THERE, "forever", None) as stream:
        await forever.started.wait()
        for _ in range(2):
            here.requests.received(THERE, pack(VALUE, "", 1, side=1) + bytes(40_000))
        assert not stream._arrived
        with pytest.raises(MalformedMessage, match="overran"):
            await anext(stream)
        await forever.stopped.wait()
    assert "a stream with bob has failed" in caplog.text
    await turns()
    assert not (len(there.streams) or here.watched or there.watched)


async def test_each_open_stream_has_a_channel_of_its_own(here: StreamEnd) -> None:
    there = here.other
    assert isinstance(there, StreamEnd)
    there.streams.handle("forever", Forever())
    with here.streams.open(THERE, "forever", None) as first:
        await first.send(1)
        with here.streams.open(THERE, "forever", None):
            await turns()
        channels = {2: {OPEN, CREDIT, VALUE}, 3: {OPEN, CREDIT, 5}}
        for channel, expected in channels.items():
            sent = [posted for posted in here.posts if posted.channel == channel]
            assert {bytes(posted.parts[0])[0] for posted in sent} == expected
        with here.streams.open(THERE, "forever", None):
            assert here.posts[-1].channel == 3
    assert {posted.channel for posted in here.posts} == {2, 3}


async def test_what_is_not_consumed_is_given_up_with_the_stream(here: StreamEnd) -> None:
    there, forever = here.other, Forever()
    assert isinstance(there, StreamEnd)
    there.streams.handle("forever", forever)
    with here.streams.open(THERE, "forever", None) as stream:
        await stream.send(b"x" * 1000)
        await forever.started.wait()
    values = [posted for posted in here.posts if bytes(posted.parts[0])[0] == VALUE]
    assert values and values[0] in here.abandoned
    await turns()
    assert FAULT not in kinds(there)


async def test_a_value_that_waits_holds_no_more_than_itself(here: StreamEnd) -> None:
    here.is_cut = True
    with here.streams.open(THERE, "x", None) as stream:
        datagram = b"".join([pack(VALUE, "", 1, side=1), *Codec().encode("short")]) + bytes(60_000)
        here.requests.received(THERE, memoryview(datagram)[:-60_000])
        assert stream._arrived == deque([b"".join(Codec().encode("short"))])
        assert isinstance(stream._arrived[0], bytes)  # no view
        assert await anext(stream) == "short"


async def test_a_value_that_a_late_session_refuses_fails_its_stream(here: StreamEnd) -> None:
    here.is_cut = True
    with here.streams.open(THERE, "x", None) as first, here.streams.open(THERE, "x", None) as second:
        await second.send(1)
        await first.send(1)
        value = next(posted for posted in here.posts if bytes(posted.parts[0])[0] == VALUE)
        here.requests.refused(value, "too long")
        with pytest.raises(guthi.UsageError, match="too long"):
            await anext(second)
        assert first._error is None
        here.requests.refused(Posted(THERE, [], 0), "of nobody")
        assert first._error is None


async def test_an_id_in_use_is_refused(here: StreamEnd) -> None:
    there, forever = here.other, Forever()
    assert isinstance(there, StreamEnd)
    there.streams.handle("forever", forever)
    with here.streams.open(THERE, "forever", None):
        await forever.started.wait()
        there.requests.received(HERE, b"".join([pack(OPEN, "forever", 1), *Codec().encode(None)]))
        assert kinds(there)[-1] == FAULT
        assert len(there.streams) == 1


async def test_a_wait_is_said_once(here: StreamEnd) -> None:
    there, forever = here.other, Forever()
    assert isinstance(there, StreamEnd)
    there.streams.handle("forever", forever)
    with here.streams.open(THERE, "forever", None) as stream:
        sending = asyncio.create_task(send_all(stream, [b"x" * 40_000] * 5))
        await turns(30)
        assert kinds(here).count(VALUE) == 1
        assert kinds(here).count(WAIT) == 1
    with pytest.raises(guthi.UsageError):
        await sending


MESSAGES = st.builds(
    lambda kind, side, stream_id, body: pack(kind, "x" if kind == OPEN else "", stream_id, side=side) + body,
    st.integers(OPEN, WAIT + 2),
    st.integers(0, 2),
    st.integers(0, 3),
    st.one_of(st.binary(max_size=40), st.just(b"".join(Codec().encode("a value"))), st.just(Credit(0, 70_000).pack())),
)


@given(st.lists(MESSAGES, max_size=20))
def test_whatever_comes_it_is_malformed_or_harmless(messages: list[bytes]) -> None:
    async def take() -> None:
        here = joined()
        here.is_cut = True
        here.streams.handle("x", double)
        with here.streams.open(THERE, "x", None):
            for message in messages:
                try:
                    here.requests.received(THERE, message)
                except MalformedMessage:
                    pass
                await asyncio.sleep(0)
        here.requests.close()
        await turns(5)
        assert not len(here.streams)

    logging.disable(logging.ERROR)
    try:
        asyncio.run(take())
    finally:
        logging.disable(logging.NOTSET)
