"""Every request ends: by the answer, by its deadline, by cancellation or by the loss of the peer.

Two ends are joined by a line that delivers at the next turn of the loop, or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.api import Buffer, NodeId
from guthi.errors import (
    DeadlineExceeded,
    MalformedMessage,
    NodeClosed,
    NotEncodable,
    PeerLost,
    RemoteError,
    UnknownTopic,
    UsageError,
)
from guthi.messages.requests import Incoming, Requests
from guthi.transport.endpoint import Posted
from guthi.values.codec import Codec

HERE, THERE = NodeId(bytes(16)), NodeId(bytes([1] * 16))


class End:
    """One end of the line: the Wire that its Requests leave by."""

    def __init__(self, me: NodeId, peer_name: str) -> None:
        self.me, self.peer_name = me, peer_name
        self.requests = Requests(asyncio.get_running_loop(), Codec(), self)
        self.other: End
        self.is_cut = False
        self.lost = False
        self.room = 0  # as without a session: each message by itself
        self.posts: list[Posted] = []
        self.abandoned: list[Posted] = []
        self.watched: set[NodeId] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def post(self, peer: NodeId, parts: list[Buffer], channel: int = 0) -> Posted:
        if self.lost:
            raise PeerLost(self.peer_name, "it failed")
        body = b"".join(parts)
        if not self.is_cut:
            asyncio.get_running_loop().call_soon(self.other.requests.received, self.me, body)
        self.posts.append(Posted(peer, parts, channel))
        return self.posts[-1]

    def check(self, peer: NodeId) -> None:
        if self.lost:
            raise PeerLost(self.peer_name, "it failed")

    def collect(self) -> None:
        asyncio.get_running_loop().call_soon(self.requests.flush)

    def room_bytes(self, peer: NodeId) -> int:
        return self.room

    def abandon(self, posted: Posted) -> None:
        self.abandoned.append(posted)

    def is_writable(self, peer: NodeId) -> bool:
        return True

    async def writable(self, peer: NodeId) -> None:
        pass

    def watch(self, peer: NodeId, watched: bool) -> None:
        (self.watched.add if watched else self.watched.remove)(peer)

    def name_of(self, peer: NodeId) -> str:
        return self.peer_name

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


@pytest.fixture
async def here() -> End:
    """Ours; the other end is `here.other`, which we call bob."""
    here, there = End(HERE, "bob"), End(THERE, "alice")
    here.other, there.other = there, here
    return here


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await condition.wait()


class Forever:
    """A handler that never answers, and tells whether it was stopped."""

    def __init__(self) -> None:
        self.started, self.stopped = asyncio.Event(), asyncio.Event()

    async def __call__(self, incoming: Incoming) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


async def test_a_plain_answer_and_one_that_takes_time(here: End) -> None:
    async def slowly(incoming: Incoming) -> str:
        await asyncio.sleep(0)
        return f"{incoming.value} later"

    here.other.requests.handle("now", lambda incoming: [incoming.peer == HERE, incoming.value, incoming.deadline])
    here.other.requests.handle("later", slowly)
    assert await here.requests.request(THERE, "now", {"x": 1}) == [True, {"x": 1}, None]
    assert await here.requests.request(THERE, "later", "much") == "much later"
    assert not here.other.tasks


async def test_answers_find_their_requests_whatever_their_order(here: End) -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def gated(incoming: Incoming) -> int:
        await gates[incoming.value].wait()
        return int(incoming.value)

    here.other.requests.handle("gated", gated)
    calls = [asyncio.create_task(here.requests.request(THERE, "gated", number)) for number in range(3)]
    for gate in reversed(gates):
        gate.set()
    assert await asyncio.gather(*calls) == [0, 1, 2]


async def test_the_handlers_exception_is_the_callers(here: End) -> None:
    class Peculiar(Exception):
        """Not known to the other side."""

    def fails(incoming: Incoming) -> None:
        raise (ValueError if incoming.value else Peculiar)("such a pity")

    here.other.requests.handle("fails", fails)
    with pytest.raises(ValueError, match="such a pity") as known:
        await here.requests.request(THERE, "fails", True)
    assert "remote traceback on bob" in known.value.__notes__[0]
    assert "in fails" in known.value.__notes__[0]
    with pytest.raises(RemoteError, match="such a pity") as unknown:
        await here.requests.request(THERE, "fails", False)
    assert unknown.value.class_name.endswith("Peculiar")


async def test_nobody_handles_the_topic(here: End) -> None:
    with pytest.raises(UnknownTopic, match="'x'"):
        await here.requests.request(THERE, "x", None)
    here.other.requests.handle("x", lambda incoming: 1)
    assert await here.requests.request(THERE, "x", None) == 1
    here.other.requests.forget("x")
    with pytest.raises(UnknownTopic):
        await here.requests.request(THERE, "x", None)


async def test_values_without_a_form(here: End) -> None:
    here.other.requests.handle("object", lambda incoming: object())
    with pytest.raises(NotEncodable):
        await here.requests.request(THERE, "object", None)
    before = len(here.posts)
    with pytest.raises(NotEncodable):
        await here.requests.request(THERE, "object", object())
    assert len(here.posts) == before


async def test_a_cast_gets_no_answer_and_its_failure_is_logged(here: End, caplog: pytest.LogCaptureFixture) -> None:
    seen = asyncio.Event()

    def fails(incoming: Incoming) -> None:
        seen.set()
        raise ValueError("not my day")

    here.other.requests.handle("word", fails)
    with caplog.at_level(logging.ERROR):
        here.requests.cast(THERE, "word", 1)
        await until(seen)
    assert "'word' failed on a message from alice" in caplog.text
    assert here.other.posts == []


async def test_cancelling_the_wait_cancels_the_handler(here: End) -> None:
    forever = Forever()
    here.other.requests.handle("forever", forever)
    call = asyncio.create_task(here.requests.request(THERE, "forever", None))
    await until(forever.started)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(forever.stopped)
    assert here.abandoned == here.posts[:1]
    assert here.other.posts == []


async def test_cancelled_while_the_peer_is_lost_is_cancelled(here: End) -> None:
    call = asyncio.create_task(here.requests.request(THERE, "x", None))
    await asyncio.sleep(0)
    here.lost = True
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_the_deadline_ends_both_sides(here: End) -> None:
    forever, now = Forever(), asyncio.get_running_loop().time()
    here.other.requests.handle("forever", forever)
    call = asyncio.create_task(here.requests.request(THERE, "forever", None, 5.0))
    await until(forever.started)
    for end in (here, here.other):
        assert end.requests.deadline is not None and end.requests.deadline == pytest.approx(now + 5, abs=1)
        end.requests.on_deadline(now + 4.9)
    here.is_cut = True  # the cancellation is lost: the other side must notice by itself
    await asyncio.sleep(0)
    assert not call.done() and not forever.stopped.is_set()
    here.requests.on_deadline(now + 6)
    with pytest.raises(DeadlineExceeded, match="no answer from bob within 5 s"):
        await call
    here.other.requests.on_deadline(now + 6)
    await until(forever.stopped)


async def test_the_deadline_of_a_request_that_is_over_does_nothing(here: End) -> None:
    here.other.requests.handle("now", lambda incoming: incoming.deadline is not None)
    assert await here.requests.request(THERE, "now", None, 5.0) is True
    assert here.requests.deadline is None
    here.requests.on_deadline(asyncio.get_running_loop().time() + 10)


async def test_the_loss_of_the_peer_ends_its_requests_and_its_work(here: End) -> None:
    forever = Forever()
    here.other.requests.handle("forever", forever)
    call = asyncio.create_task(here.requests.request(THERE, "forever", None))
    await until(forever.started)
    here.requests.peer_lost(NodeId(bytes([9] * 16)), "another one")
    assert not call.done()
    here.requests.peer_lost(THERE, "silence")
    with pytest.raises(PeerLost, match="lost bob: silence") as caught:
        await call
    assert (caught.value.peer, caught.value.reason) == ("bob", "silence")
    here.other.requests.peer_lost(HERE, "silence")
    await until(forever.stopped)


async def test_answering_a_caller_that_is_lost_does_no_harm(here: End) -> None:
    here.other.requests.handle("x", lambda incoming: 1)
    call = asyncio.create_task(here.requests.request(THERE, "x", None))
    await asyncio.sleep(0)
    here.requests.flush()
    here.other.lost = True
    here.other.requests.received(HERE, b"".join(here.posts[0].parts))
    here.other.requests.flush()
    call.cancel()


async def test_the_peer_is_watched_as_long_as_a_request_is_open(here: End) -> None:
    forever = Forever()
    here.other.requests.handle("forever", forever)
    calls = [asyncio.create_task(here.requests.request(THERE, "forever", None)) for _ in range(2)]
    await until(forever.started)
    for call in calls:
        assert (here.watched, here.other.watched) == ({THERE}, {HERE})
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await until(forever.stopped)
    await asyncio.gather(*here.other.tasks, return_exceptions=True)
    await asyncio.sleep(0)  # the callbacks of the tasks
    assert (here.watched, here.other.watched) == (set(), set())


class Unreadable(dict[str, int]):
    """A value that cannot be encoded, for a reason of its own."""

    def items(self) -> Any:
        raise RuntimeError("changed meanwhile")


def with_odd_attributes() -> ValueError:
    error = ValueError("odd")
    vars(error)[7] = 1  # type: ignore[index]
    vars(error)["\udc80"] = 2
    return error


@pytest.mark.parametrize("takes_time", [False, True])
@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: sys.exit(3), "SystemExit"),
        (lambda: (_ for _ in ()).throw(asyncio.CancelledError("by itself")), "CancelledError"),
        (lambda: (_ for _ in ()).throw(with_odd_attributes()), "odd"),
        (lambda: memory_that_is_gone(), "released"),
        (lambda: Unreadable(x=1), "meanwhile"),
    ],
    ids=["exit", "cancelled", "odd-attributes", "released-memory", "unreadable"],
)
async def test_whatever_a_handler_does_the_caller_is_answered(
    here: End, act: Callable[[], Any], told: str, takes_time: bool
) -> None:
    async def slowly(incoming: Incoming) -> Any:
        await asyncio.sleep(0)
        return act()

    here.other.requests.handle("odd", slowly if takes_time else lambda incoming: act())
    here.other.requests.handle("sane", lambda incoming: incoming.value)
    odd = asyncio.create_task(here.requests.request(THERE, "odd", None, 5.0))
    assert await asyncio.gather(*(here.requests.request(THERE, "sane", number, 5.0) for number in range(20))) == [
        *range(20)
    ]
    with pytest.raises(Exception, match=told):
        await odd
    assert not here.other.tasks


def memory_that_is_gone() -> memoryview:
    view = memoryview(b"x" * 10_000)
    view.release()
    return view


async def test_a_fault_that_the_peer_does_not_take_is_told_in_brief(here: End) -> None:
    def small_only(peer: NodeId, parts: list[Buffer], channel: int = 0, post: Any = here.other.post) -> Posted:
        if sum(map(len, parts)) > 1500:
            raise UsageError("longer than the peer's max_message")
        posted: Posted = post(peer, parts)
        return posted

    here.other.post = small_only  # type: ignore[method-assign]
    here.other.requests.handle("verbose", lambda incoming: 1 / 0 if incoming.value else "x" * 5000)

    def fail(incoming: Incoming) -> None:
        raise ValueError("much to say: " + "x" * 5000)

    here.other.requests.handle("failing", fail)
    with pytest.raises(ValueError, match="much to say"):
        await here.requests.request(THERE, "failing", None, 5.0)
    with pytest.raises(UsageError, match="max_message"):
        await here.requests.request(THERE, "verbose", None, 5.0)


async def test_a_timeout_and_a_topic_have_bounds(here: End) -> None:
    for timeout_s in (-1.0, float("nan")):
        with pytest.raises(UsageError, match="0 or more seconds"):
            await here.requests.request(THERE, "topic", None, timeout_s)
    with pytest.raises(UsageError, match="at most 255 bytes"):
        await here.requests.request(THERE, "x" * 70_000, None)
    assert not here.watched


async def test_a_refused_message_fails_its_request_alone(here: End) -> None:
    here.is_cut = True
    first, second = (asyncio.create_task(here.requests.request(THERE, "x", number)) for number in range(2))
    await asyncio.sleep(0)
    here.requests.refused(here.posts[0], "too long")
    with pytest.raises(UsageError, match="too long"):
        await first
    assert not second.done()
    second.cancel()


async def test_closing_ends_everything(here: End) -> None:
    forever = Forever()
    here.other.requests.handle("forever", forever)
    call = asyncio.create_task(here.requests.request(THERE, "forever", None))
    await until(forever.started)
    here.requests.close()
    here.other.requests.close()
    with pytest.raises(NodeClosed):
        await call
    await until(forever.stopped)
    with pytest.raises(NodeClosed):
        await here.requests.request(THERE, "forever", None)
    with pytest.raises(NodeClosed):
        here.requests.cast(THERE, "forever", None)


async def test_an_answer_counts_only_from_the_one_who_was_asked(here: End) -> None:
    here.is_cut = True
    call = asyncio.create_task(here.requests.request(THERE, "x", None))
    await asyncio.sleep(0)
    forged = bytes([3, 0, 0, 0, 0, 0, 0, 0]) + (1).to_bytes(8, "big") + b"".join(Codec().encode("forged"))
    here.requests.received(NodeId(bytes([9] * 16)), forged)
    assert not call.done()
    here.requests.received(THERE, forged)
    assert await call == "forged"


async def test_a_topic_has_one_handler_and_a_name_of_some_length(here: End) -> None:
    here.requests.handle("x", lambda incoming: None)
    for topic, message in (("x", "has a handler already"), ("", "not 1 to 255 bytes"), ("ä" * 128, "not 1 to 255")):
        with pytest.raises(UsageError, match=message):
            here.requests.handle(topic, lambda incoming: None)


@given(st.binary(max_size=64))
def test_whatever_comes_it_is_malformed_or_harmless(body: bytes) -> None:
    async def take() -> None:
        here, there = End(HERE, "bob"), End(THERE, "alice")
        here.other, there.other = there, here
        here.is_cut = True
        here.requests.handle("x", lambda incoming: None)
        try:
            here.requests.received(THERE, body)
        except MalformedMessage:
            pass

    logging.disable(logging.ERROR)  # garbage may well be a cast to nobody
    try:
        asyncio.run(take())
    finally:
        logging.disable(logging.NOTSET)
