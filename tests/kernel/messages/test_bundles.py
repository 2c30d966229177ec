"""Small messages of one turn travel as one, and are handled as if each had come by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.messages.test_requests import HERE, THERE, End, Forever, until
from tests.kernel.messages.test_serving import pair

from guthi.errors import DeadlineExceeded, MalformedMessage, PeerLost, UnknownTopic, UsageError
from guthi.messages.bundles import BUNDLED_BYTES, MAX_BUNDLED, read_bundle
from guthi.messages.envelope import CANCEL, CAST, FAULT, REPLIES, REPLY, REQUEST, REQUESTS, pack
from guthi.messages.exchange import Incoming
from guthi.messages.holding import _Behind
from guthi.testing import World, simulated
from guthi.values.codec import Codec


@pytest.fixture
async def here() -> End:
    """Ours, with a session to the other end, whose handler of "double" doubles."""
    here, there = End(HERE, "bob"), End(THERE, "alice")
    here.other, there.other = there, here
    here.room = there.room = 1200
    there.requests.handle("double", lambda incoming: incoming.value * 2)
    return here


def kinds(end: End) -> list[int]:
    return [bytes(posted.parts[0])[0] for posted in end.posts]


def asked(here: End, values: list[Any], topic: str = "double", timeout_s: float | None = None) -> list[Any]:
    return [here.requests.ask(THERE, topic, value, timeout_s).future for value in values]


async def test_requests_and_answers_of_one_turn_are_one_message_each(here: End) -> None:
    assert await asyncio.gather(*asked(here, list(range(50)))) == [2 * number for number in range(50)]
    assert kinds(here) == [REQUESTS]
    assert kinds(here.other) == [REPLIES]


async def test_one_alone_travels_as_ever(here: End) -> None:
    assert await here.requests.request(THERE, "double", 4) == 8
    assert (kinds(here), kinds(here.other)) == ([REQUEST], [REPLY])


async def test_without_a_session_each_is_alone_and_can_be_abandoned(here: End) -> None:
    here.room = 0
    first, second = (here.requests.ask(THERE, "double", value, None) for value in (1, 2))
    here.requests.flush()
    assert kinds(here) == [REQUEST, REQUEST]
    here.requests.withdraw(second)
    assert here.abandoned == [here.posts[1]]
    assert await first.future == 2


@given(st.lists(st.binary(max_size=BUNDLED_BYTES // 2), min_size=2, max_size=40), st.integers(600, 3000))
def test_none_is_longer_than_the_room_there_is(values: list[bytes], room: int) -> None:
    async def run() -> None:
        here, there = End(HERE, "bob"), End(THERE, "alice")
        here.other, there.other = there, here
        here.room = there.room = room
        there.requests.handle("echo", lambda incoming: incoming.value)
        assert await asyncio.gather(*asked(here, values, "echo")) == values
        for posted in here.posts + there.posts:
            assert posted.size_bytes <= room

    asyncio.run(run())


async def test_there_is_a_bound_on_how_many(here: End) -> None:
    here.room = here.other.room = 65_536
    await asyncio.gather(*asked(here, [0] * (MAX_BUNDLED + 10)))
    assert kinds(here) == [REQUESTS, REQUESTS]


async def test_topics_do_not_mix(here: End) -> None:
    here.other.requests.handle("negate", lambda incoming: -incoming.value)
    calls = [call for value in (1, 2) for topic in ("double", "negate") for call in asked(here, [value], topic)]
    assert await asyncio.gather(*calls) == [2, -1, 4, -2]
    assert kinds(here) == [REQUESTS, REQUESTS]
    assert kinds(here.other) == [REPLIES]


async def test_what_is_said_later_does_not_overtake(here: End) -> None:
    seen: list[Any] = []
    here.other.requests.handle("note", lambda incoming: seen.append(incoming.value))
    long = "x" * BUNDLED_BYTES
    calls = asked(here, [1, 2], "note")
    here.requests.cast(THERE, "note", 3)
    calls += asked(here, [4, 5, long, 6], "note")
    await asyncio.gather(*calls)
    assert seen == [1, 2, 3, 4, 5, long, 6]
    assert kinds(here) == [REQUESTS, CAST, REQUESTS, REQUEST, REQUEST]


async def test_answers_that_take_time_or_fail_spoil_none(here: End) -> None:
    async def slowly(value: int) -> int:
        await asyncio.sleep(0)
        return value

    def odd(incoming: Incoming) -> Any:
        if incoming.value == 1:
            raise ValueError("not that")
        return slowly(7) if incoming.value == 2 else incoming.value

    here.other.requests.handle("odd", odd)
    outcomes = await asyncio.gather(*asked(here, [0, 1, 2, 3], "odd"), return_exceptions=True)
    assert [outcomes[0], *outcomes[2:]] == [0, 7, 3]
    assert isinstance(outcomes[1], ValueError)
    assert kinds(here.other) == [FAULT, REPLIES, REPLY]  # the slow one is alone
    unknown = await asyncio.gather(*asked(here, [1, 2], "nothing"), return_exceptions=True)
    assert [type(each) for each in unknown] == [UnknownTopic, UnknownTopic]


async def test_each_has_its_own_deadline(here: End) -> None:
    left: list[float | None] = []
    now = asyncio.get_running_loop().time()
    here.other.requests.handle(
        "left", lambda incoming: left.append(incoming.deadline and round(incoming.deadline - now, -1))
    )
    await asyncio.gather(*asked(here, [0], "left"), *asked(here, [0], "left", 60.0), *asked(here, [0], "left", 0.001))
    assert left == [None, 60.0, 0.0]
    assert here.requests.deadline is None or here.requests.deadline > now


async def test_a_request_that_has_not_left_never_does(here: End) -> None:
    requests = here.requests
    first, second = (requests.ask(THERE, "double", value, 5.0) for value in (1, 2))
    requests.withdraw(first)
    requests.let_go(first)
    requests.flush()
    assert await second.future == 4
    assert kinds(here) == [REQUEST]
    only = requests.ask(THERE, "double", 3, 5.0)
    requests.on_deadline(asyncio.get_running_loop().time() + 6)
    requests.flush()
    assert kinds(here) == [REQUEST]
    with pytest.raises(DeadlineExceeded):
        await only.future


async def test_one_that_has_left_is_cancelled_by_itself(here: End) -> None:
    forever = Forever()
    here.other.requests.handle("forever", lambda incoming: forever(incoming) if incoming.value else 0)
    waits, quick = (here.requests.ask(THERE, "forever", value, None) for value in (1, 0))
    assert await quick.future == 0
    await until(forever.started)
    here.requests.withdraw(waits)
    await until(forever.stopped)
    assert kinds(here) == [REQUESTS, CANCEL]


async def test_a_peer_that_is_gone_by_the_end_of_the_turn(here: End) -> None:
    calls = asked(here, [1, 2])
    here.lost = True
    here.requests.flush()
    assert [str(each) for each in await asyncio.gather(*calls, return_exceptions=True)] == ["lost bob: it failed"] * 2
    here.requests.received(THERE, b"".join([pack(REQUEST, "none", 1), *Codec().encode(1)]))
    here.requests.handle("here", lambda incoming: incoming.value)
    here.requests.received(THERE, b"".join([pack(REQUEST, "here", 2), *Codec().encode(1)]))
    here.requests.flush()
    assert not here.posts
    assert all(isinstance(call.exception(), PeerLost) for call in calls)


async def test_a_topic_that_cannot_be_sent_is_the_callers_error(here: End) -> None:
    for topic in ("x" * 256, "\ud800"):
        with pytest.raises(UsageError):
            here.requests.ask(THERE, topic, 1, None)
    assert not here.requests.expects_more() and not here.watched


async def test_more_is_expected_while_an_answer_is_awaited_and_once_after_one_was_given(here: End) -> None:
    assert not here.requests.expects_more()
    calls = asked(here, [1, 2])
    assert here.requests.expects_more() and here.requests.expects_more()
    here.requests.flush()
    here.other.requests.received(HERE, b"".join(here.posts[0].parts))
    here.other.requests.flush()
    assert here.other.requests.expects_more()
    assert not here.other.requests.expects_more()
    here.requests.received(THERE, b"".join(here.other.posts[0].parts))
    await asyncio.gather(*calls)
    for call in list(here.requests._waiting.values()):
        here.requests.let_go(call)
    assert not here.requests.expects_more()


async def test_the_last_answers_leave_before_the_end(here: End) -> None:
    calls = asked(here, [1, 2])
    here.requests.flush()
    here.other.requests.received(HERE, b"".join(here.posts[0].parts))
    here.other.requests.close()
    assert kinds(here.other) == [REPLIES]
    assert await asyncio.gather(*calls) == [2, 4]


async def test_what_a_peer_asks_that_does_not_read_is_held_one_by_one(here: End) -> None:
    held = here.other.requests._serving._holding.behind[HERE] = _Behind()
    calls = [*asked(here, [1, 2]), *asked(here, [3], timeout_s=0.001)]
    while len(held.requests) < 3:
        await asyncio.sleep(0)
    assert held.size_bytes == 3 * BUNDLED_BYTES
    await asyncio.sleep(0.01)
    for each in held.requests.values():
        each.serve()
    here.other.requests.flush()
    assert await asyncio.gather(*calls[:2]) == [2, 4]
    assert not calls[2].done(), "its time was over before its turn"


@simulated
async def test_a_crowd_of_calls_takes_a_datagram_there_and_one_back(world: World) -> None:
    alice, bob = await pair(world)
    alice.handle("double", lambda incoming: incoming.value * 2)
    assert await bob.request("alice", "double", 0) == 0
    session = bob.network.endpoint._links[alice.id].session
    assert session is not None
    before = session._recovery.next_number
    calls = (bob.request("alice", "double", number, timeout_s=5.0) for number in range(60))
    assert await asyncio.gather(*calls) == [2 * number for number in range(60)]
    assert session._recovery.next_number - before <= 2


def bundled(kind: int, count: int, content: bytes, topic: str = "double") -> bytes:
    return pack(kind, topic if kind == REQUESTS else "", count) + content


@pytest.mark.parametrize(
    ("kind", "count", "content"),
    [
        (REPLIES, 0, b"\x80"),
        (REPLIES, MAX_BUNDLED + 1, bytes(8 * MAX_BUNDLED + 8) + b"\x80"),
        (REPLIES, 1 << 63, b"\x80"),
        (REPLIES, 1, bytes(7)),
        (REPLIES, 1, bytes(8)),
        (REPLIES, 1, bytes(8) + b"\x01"),
        (REPLIES, 1, bytes(8) + b"\x82\x01\x02"),
        (REPLIES, 1, bytes(8) + b"\x81\x01\x02"),
        (REPLIES, 1, bytes(8) + b"\x81\xd8\x1c\x01"),
        (REQUESTS, 1, bytes(11)),
        (REQUESTS, 2, bytes(24) + b"\x81\x01"),
    ],
)
async def test_a_bundle_is_good_as_a_whole_or_not_at_all(here: End, kind: int, count: int, content: bytes) -> None:
    with pytest.raises(MalformedMessage):
        here.other.requests.received(HERE, bundled(kind, count, content))
    here.other.requests.flush()
    assert not here.other.posts


@given(st.sampled_from([REQUESTS, REPLIES]), st.integers(0, 5), st.binary(max_size=80))
def test_whatever_comes_is_malformed_or_read(kind: int, count: int, content: bytes) -> None:
    try:
        entries = list(read_bundle(kind, count, memoryview(content), Codec()))
    except MalformedMessage:
        return
    assert len(entries) == count


async def test_an_answer_of_another_peer_or_to_nothing_is_ignored(here: End) -> None:
    call = here.requests.ask(THERE, "double", 1, None)
    answer = bundled(REPLIES, 2, (1).to_bytes(8, "big") + (99).to_bytes(8, "big") + b"\x82\x05\x06")
    here.requests.received(HERE, answer)
    assert not call.future.done()
    here.requests.received(THERE, answer)
    here.requests.received(THERE, answer)
    assert await call.future == 5
