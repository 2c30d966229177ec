"""Calls between real nodes: every node knows the store, any provider answers, and failures arrive as what they are."""

from __future__ import annotations

import asyncio
import math
import operator
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import guthi
from guthi_rpc import RPC, FunctionInfo, NoProvider, Rpc, Run, UnknownFunction, WorkerDied
from guthi_rpc.service import LOOKUP_GRACE_S

if TYPE_CHECKING:
    from .conftest import Network


@pytest.fixture
async def alice(network: Network) -> Rpc:
    return await network.rpc("alice", zone="here")


@pytest.fixture
async def bob(network: Network, alice: Rpc) -> Rpc:
    return await network.rpc("bob", zone="there")


def add(left: int, right: int = 1) -> int:
    """The sum."""
    return left + right


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    for _ in range(4000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never came to be so")


# ---- the store


async def test_every_node_knows_the_store_late_comers_too(network: Network, alice: Rpc, bob: Rpc) -> None:
    alice.register(add)
    bob.register(add)
    bob.register(math.factorial, run="process")
    carol = await network.rpc("carol")
    expected = [
        FunctionInfo("add", "(left: 'int', right: 'int' = 1) -> 'int'", "The sum.", Run.THREAD, ("alice", "bob")),
        FunctionInfo("factorial", "(n, /)", str(math.factorial.__doc__), Run.PROCESS, ("bob",)),
    ]
    for rpc in (alice, bob, carol):
        await rpc.available("add", nodes=2, timeout=10)
        await rpc.available("factorial", timeout=10)
        assert [(each.name, each.providers, each.run) for each in rpc.functions()] == [
            (each.name, each.providers, each.run) for each in expected
        ]
    assert carol.functions()[0] == expected[0]


async def test_providers_that_differ_are_listed_apart(alice: Rpc, bob: Rpc) -> None:
    alice.register(add)
    bob.register(lambda value: value, name="add")
    await alice.available("add", nodes=2, timeout=10)
    assert sorted(each.providers for each in alice.functions()) == [("alice",), ("bob",)]


async def test_what_is_unregistered_is_gone_everywhere(alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    assert await alice.call("add", 1) == 2
    bob.unregister("add")
    await until(lambda: not alice.functions())
    with pytest.raises(UnknownFunction, match="no node has a function 'add'"):
        await alice.call("add", 1)
    with pytest.raises(UnknownFunction, match="this node has no function 'add'; it has: none"):
        bob.unregister("add")


async def test_a_name_is_taken_once_a_node(alice: Rpc) -> None:
    alice.register(add)
    with pytest.raises(guthi.UsageError, match="has a function 'add' already; unregister it first"):
        alice.register(add)


async def test_decorators(alice: Rpc, bob: Rpc) -> None:
    @bob.function
    def double(value: int) -> int:
        return 2 * value

    @bob.function(name="thrice", run="inline")
    def triple(value: int) -> int:
        return 3 * value

    assert (double(1), triple(1)) == (2, 3)
    assert await alice.call("double", 4) == 8
    assert await alice.call("thrice", 4) == 12


async def test_a_client_sees_everything_and_is_given_no_work(network: Network, alice: Rpc) -> None:
    alice.register(add)
    client = await network.rpc("client", role="client")
    assert await client.call("add", 1) == 2
    with pytest.raises(guthi.UsageError, match="is a client, which is given no work"):
        client.register(add)
    assert [result.value async for result in client.map("add", [1])] == [2]


async def test_a_node_that_left_has_nothing(network: Network, alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    await alice.available("add", timeout=10)
    await network.stop("bob")
    await until(lambda: not alice.functions())


async def test_a_node_that_was_wrongly_given_up_is_heard_again(network: Network, alice: Rpc, bob: Rpc) -> None:
    """Bob never notices that alice forgot him, so she has to ask him."""
    bob.register(add)
    await alice.available("add", timeout=10)
    network.nodes["alice"].accuse(network.nodes["bob"].id, guthi.MemberState.FAILED)
    assert alice.functions() == []
    await alice.available("add", timeout=20)
    assert await alice.call("add", 1) == 2


# ---- who is called


async def test_an_idle_node_is_called_this_one_first_then_its_zone(network: Network, alice: Rpc, bob: Rpc) -> None:
    carol = await network.rpc("carol", zone="here")
    gate = asyncio.Event()
    entered: list[str] = []
    for name in ("alice", "bob", "carol"):

        async def wait(name: str = name) -> str:
            entered.append(name)
            await gate.wait()
            return name

        network.nodes[name].require(RPC).register(wait)
    await alice.available("wait", nodes=3, timeout=10)
    calls = [asyncio.create_task(alice.call("wait")) for _ in range(3)]
    await until(lambda: len(entered) == 3)
    gate.set()
    assert await asyncio.gather(*calls) == ["alice", "carol", "bob"]
    assert await carol.call("wait") == "carol"


async def test_on_chooses_the_node(network: Network, alice: Rpc, bob: Rpc) -> None:
    for name in ("alice", "bob"):
        network.nodes[name].require(RPC).register(lambda name=name: name, name="who")
    await alice.available("who", nodes=2, timeout=10)
    other = network.nodes["alice"].member("bob")
    assert [await alice.call("who", on=on) for on in ("alice", "bob", other, other.id)] == [
        "alice",
        "bob",
        "bob",
        "bob",
    ]
    with pytest.raises(guthi.UnknownMember, match="no member is called carol"):
        await alice.call("who", on="carol")


async def test_unknown_functions_are_told_with_a_mend(alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    await alice.available("add", timeout=10)
    with pytest.raises(UnknownFunction, match="no node has a function 'ad'; did you mean 'add'"):
        await alice.call("ad", 1)
    with pytest.raises(UnknownFunction, match="no node has a function 'zzz'; known are: add"):
        await alice.call("zzz")
    with pytest.raises(UnknownFunction, match="alice has no function 'add'; these nodes have it: bob"):
        await alice.call("add", 1, on="alice")
    with pytest.raises(UnknownFunction, match="did you mean 'add'"):
        [result async for result in alice.map("ad", [1])]


async def test_looking_for_a_function_takes_no_longer_than_the_timeout(alice: Rpc) -> None:
    with pytest.raises(guthi.DeadlineExceeded, match=r"nobody had a function 'f' within 0.01 s"):
        await alice.call("f", timeout=0.01)


async def test_a_function_that_is_on_its_way_is_found(alice: Rpc, bob: Rpc) -> None:
    call = asyncio.create_task(alice.call("add", 1, timeout=LOOKUP_GRACE_S))
    await asyncio.sleep(0)
    bob.register(add)
    assert await call == 2


async def test_waiting_for_a_function_has_an_end(alice: Rpc) -> None:
    with pytest.raises(guthi.DeadlineExceeded, match=r"0 of 3 nodes have 'f' after 0.01 s"):
        await alice.available("f", nodes=3, timeout=0.01)


async def test_a_function_that_has_just_gone(alice: Rpc, bob: Rpc) -> None:
    """Alice asks before she has heard that bob has it no more."""
    bob.register(add)
    await alice.available("add", timeout=10)
    bob.unregister("add")
    with pytest.raises(UnknownFunction, match="bob has no function 'add' any more"):
        await alice.call("add", 1)


# ---- values


async def test_arguments_by_place_and_by_name(alice: Rpc, bob: Rpc) -> None:
    bob.register(lambda *arguments, **named: [arguments, named], name="echo")
    assert await alice.call("echo", 1, "two", b"3", None, key=[4.5], name="n") == [
        [1, "two", b"3", None],
        {"key": [4.5], "name": "n"},
    ]


ARRAYS = {
    "float64": np.linspace(0, 1, 1000),
    "complex64": np.ones((3, 4), np.complex64) * 1j,
    "bool": np.array([True, False]),
    "int8": np.arange(-5, 5, dtype=np.int8),
    "uint64": np.array([2**64 - 1], np.uint64),
    "big endian": np.arange(5, dtype=">i4"),
    "float16": np.arange(3, dtype=np.float16),
    "no dimension": np.array(3.5),
    "empty": np.zeros((0, 3), np.int32),
    "not contiguous": np.arange(10_000).reshape(100, 100)[::3, ::-2],
    "by columns": np.asfortranarray(np.arange(20_000.0).reshape(100, 200)),
    "read only": np.broadcast_to(np.int16(7), (4, 5)),
}


@pytest.mark.parametrize("name", ARRAYS)
async def test_arrays_travel_both_ways_without_loss(name: str, alice: Rpc, bob: Rpc) -> None:
    array = ARRAYS[name]
    seen: list[Any] = []

    def echo(value: Any) -> Any:
        seen.append(value)
        return value

    bob.register(echo, run="inline")
    back = await alice.call("echo", array)
    for each in (seen[0], back):
        assert each.dtype == array.dtype
        assert each.shape == array.shape
        assert np.array_equal(each, array)


async def test_64_mib_there_and_back(alice: Rpc, bob: Rpc) -> None:
    bob.register(lambda value: value, name="echo")
    value = np.random.default_rng(1).integers(0, 256, 64 << 20, np.uint8)
    assert np.array_equal(await alice.call("echo", value, timeout=60), value)


async def test_an_argument_without_a_form_is_named(alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    with pytest.raises(guthi.NotEncodable, match="argument 2 of 'add': a object cannot travel"):
        await alice.call("add", 1, object())
    with pytest.raises(guthi.NotEncodable, match=r"argument right of 'add': value\[0\]\['key'\]"):
        await alice.call("add", 1, right=[{"key": add}])
    assert await alice.call("add", 1) == 2


@pytest.mark.parametrize("run", ["inline", "thread"])
async def test_a_result_without_a_form_is_told_to_the_caller(alice: Rpc, bob: Rpc, run: str) -> None:
    bob.register(lambda: [1, (each for each in "ab")], name="f", run=run)
    with pytest.raises(guthi.NotEncodable, match=r"'f' ran on bob, but its result\[1\]: a generator cannot travel"):
        await alice.call("f")


# ---- exceptions


class Registered(Exception):
    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"code {code}")
        self.code, self.detail = code, detail


class Unregistered(Exception):
    pass


@pytest.mark.parametrize("on", ["alice", "bob"])
async def test_exceptions_arrive_with_their_traceback(network: Network, alice: Rpc, bob: Rpc, on: str) -> None:
    def fail(kind: str) -> None:
        raise {"built in": KeyError("k"), "ours": Registered(7, detail="d"), "strange": Unregistered("u")}[kind]

    for node in network.nodes.values():
        node.codec.register(Registered)
        node.require(RPC).register(fail)
    await alice.available("fail", nodes=2, timeout=10)
    with pytest.raises(KeyError) as built_in:
        await alice.call("fail", "built in", on=on)
    assert built_in.value.args == ("k",)
    with pytest.raises(Registered, match="code 7") as ours:
        await alice.call("fail", "ours", on=on)
    assert (ours.value.code, ours.value.detail) == (7, "d")
    with pytest.raises(guthi.RemoteError, match="Unregistered: u") as strange:
        await alice.call("fail", "strange", on=on)
    for caught in (built_in, ours, strange):
        assert f"remote traceback on {on}" in caught.value.__notes__[0]
        assert "in fail" in caught.value.__notes__[0]


@pytest.mark.parametrize("run", ["inline", "thread"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError])
async def test_no_function_ends_its_node(alice: Rpc, bob: Rpc, run: str, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("out")

    bob.register(fail, run=run)
    bob.register(add)
    with pytest.raises(guthi.RemoteError, match=error.__name__) as caught:
        await alice.call("fail")
    assert "in fail" in caught.value.__notes__[0]
    assert await alice.call("add", 1) == 2


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, StopIteration])
async def test_nor_does_a_coroutine(alice: Rpc, bob: Rpc, error: type[BaseException]) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error("out")

    bob.register(fail)
    bob.register(add)
    with pytest.raises((guthi.RemoteError, RuntimeError), match=f"{error.__name__}"):
        await alice.call("fail")
    assert await alice.call("add", 1) == 2


async def test_wrong_arguments_are_a_type_error(alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    with pytest.raises(TypeError, match="unexpected keyword argument 'middle'"):
        await alice.call("add", middle=1)


async def test_an_error_of_rpc_travels_as_itself(alice: Rpc, bob: Rpc) -> None:
    async def relay(name: str) -> Any:
        return await bob.call(name)

    bob.register(relay)
    with pytest.raises(UnknownFunction, match="no node has a function 'nothing'"):
        await alice.call("relay", "nothing")
    with pytest.raises(UnknownFunction, match="no node has a function 'nothing'"):
        [result async for result in alice.map("relay", ["nothing"])]


# ---- deadlines and cancellation


async def test_a_timeout_cancels_the_remote_coroutine(alice: Rpc, bob: Rpc) -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    bob.register(wait)
    await alice.available("wait", timeout=10)
    with pytest.raises(guthi.DeadlineExceeded, match=r"no answer from bob within 0.05 s"):
        await alice.call("wait", timeout=0.05)
    await asyncio.wait_for(ended.wait(), 10)
    assert alice._dispatch.outstanding == 0


@pytest.mark.parametrize("on", ["alice", "bob"])
async def test_cancelling_the_call_cancels_the_remote_coroutine(
    network: Network, alice: Rpc, bob: Rpc, on: str
) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    network.nodes[on].require(RPC).register(wait)
    call = asyncio.create_task(alice.call("wait", on=on))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(ended.wait(), 10)
    assert alice._dispatch.outstanding == 0


@pytest.mark.parametrize("on", ["alice", "bob"])
async def test_a_call_that_is_cancelled_before_it_arrives(network: Network, alice: Rpc, bob: Rpc, on: str) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    network.nodes[on].require(RPC).register(wait)
    network.nodes[on].require(RPC).register(add)
    await alice.available("wait", timeout=10)
    call = asyncio.create_task(alice.call("wait", on=on))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await alice.call("add", 1, on=on) == 2
    assert alice._dispatch.outstanding == 0


async def test_a_blocking_function_does_not_block_its_node(alice: Rpc, bob: Rpc) -> None:
    go = threading.Event()
    order: list[str] = []

    def block() -> None:
        assert go.wait(30)
        order.append("blocking one")

    async def quick(number: int) -> None:
        order.append(f"quick {number}")

    bob.register(block)
    bob.register(quick)
    blocking = asyncio.create_task(alice.call("block"))
    for number in range(3):
        await alice.call("quick", number)
    go.set()
    await blocking
    assert order == ["quick 0", "quick 1", "quick 2", "blocking one"]


async def test_ten_thousand_calls_at_once(alice: Rpc, bob: Rpc) -> None:
    bob.register(operator.add, run="inline")
    await alice.available("add", timeout=10)
    answers = await asyncio.gather(*(alice.call("add", number, 1) for number in range(10_000)))
    assert answers == list(range(1, 10_001))
    assert alice._dispatch.outstanding == 0


async def test_a_thousand_calls_wait_for_two_threads(network: Network, alice: Rpc) -> None:
    carol = await network.rpc("carol", threads=2)
    carol.register(add)
    answers = await asyncio.gather(*(alice.call("add", number) for number in range(1000)))
    assert answers == list(range(1, 1001))
    assert carol._execution.running == 0


# ---- processes


async def test_worker_processes(network: Network, alice: Rpc) -> None:
    bob = await network.rpc("bob", processes=1)
    bob.register(math.factorial, run="process")
    bob.register(os._exit, name="die", run="process")
    bob.register(sys.exit, name="leave", run="process")
    assert await alice.call("factorial", 10) == 3_628_800
    with pytest.raises(ValueError, match="not defined for negative values") as caught:
        await alice.call("factorial", -1)
    assert "in the worker process" in caught.value.__notes__[0]
    with pytest.raises(guthi.RemoteError, match="SystemExit"):
        await alice.call("leave", 3)
    with pytest.raises(WorkerDied, match="a worker process of bob died"):
        await alice.call("die", 1)
    assert await alice.call("factorial", 5) == 120


# ---- map


async def test_map_over_three_nodes(network: Network, alice: Rpc, bob: Rpc) -> None:
    carol = await network.rpc("carol")
    gate = asyncio.Event()
    for rpc in (alice, bob, carol):

        async def square(value: int) -> int:
            await gate.wait()
            return value * value

        rpc.register(square)
    await alice.available("square", nodes=3, timeout=10)
    asyncio.get_running_loop().call_later(0.05, gate.set)
    results = [result async for result in alice.map("square", range(200))]
    assert sorted((result.index, result.item, result.value) for result in results) == [
        (number, number, number**2) for number in range(200)
    ]
    assert {result.node for result in results} == {"alice", "bob", "carol"}
    assert alice._dispatch.outstanding == 0


async def test_map_with_several_arguments_on_chosen_nodes(alice: Rpc, bob: Rpc) -> None:
    alice.register(add)
    bob.register(add)
    results = [each async for each in alice.map("add", [(1, 2), [3, 4], (5,)], star=True, on=["bob"])]
    assert sorted(each.value for each in results) == [3, 6, 7]
    assert {each.node for each in results} == {"bob"}
    with pytest.raises(guthi.UsageError, match="an item is a tuple or a list of arguments, not int"):
        [each async for each in alice.map("add", [1], star=True)]
    with pytest.raises(guthi.UsageError, match="names no node"):
        [each async for each in alice.map("add", [1], on=[])]


@pytest.mark.parametrize("how", ["leaves", "fails"])
async def test_a_node_that_goes_during_a_map_takes_nothing_with_it(
    network: Network, alice: Rpc, bob: Rpc, how: str
) -> None:
    held = asyncio.Event()
    await network.rpc("carol")
    for name in ("bob", "carol"):

        async def work(value: int, name: str = name) -> int:
            if name == "carol":
                await held.wait()
            return -value

        network.nodes[name].require(RPC).register(work)
    await alice.available("work", nodes=2, timeout=10)
    values = []
    async for result in alice.map("work", range(100)):
        values.append(result.value)
        if len(values) == 10 and how == "leaves":
            await network.stop("carol")
        elif len(values) == 10:
            network.nodes["alice"].accuse(network.nodes["carol"].id, guthi.MemberState.FAILED)
            held.set()
    assert sorted(values) == list(range(-99, 1))


async def test_a_function_that_is_registered_during_a_map_is_used(network: Network, alice: Rpc, bob: Rpc) -> None:
    gate = asyncio.Event()

    async def work(value: int) -> int:
        await gate.wait()
        return value

    async def helped(value: int) -> int:
        gate.set()
        return value

    alice.register(work)
    waiting = asyncio.create_task(_collected(alice.map("work", range(50))))
    await asyncio.sleep(0)
    bob.register(helped, name="work")
    results = await asyncio.wait_for(waiting, 20)
    assert {result.node for result in results} == {"alice", "bob"}


async def _collected(results: Any) -> list[Any]:
    return [result async for result in results]


async def test_leaving_a_map_early_cancels_what_is_under_way(alice: Rpc, bob: Rpc) -> None:
    cancelled: list[int] = []

    async def work(value: int) -> int:
        if value:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(value)
                raise
        return value

    bob.register(work)
    async for result in alice.map("work", range(1000)):
        assert result.value == 0
        break
    await until(lambda: len(cancelled) == alice._directory.workers(bob._node.id) + 1 - (0 in cancelled))
    assert alice._dispatch.outstanding == 0


async def test_an_exception_ends_a_map(alice: Rpc, bob: Rpc, caplog: pytest.LogCaptureFixture) -> None:
    bob.register(math.sqrt)
    with pytest.raises(ValueError, match="math domain error"):
        [result async for result in alice.map("sqrt", [4, 9, -1, 16])]
    assert alice._dispatch.outstanding == 0
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_map_whose_nodes_are_all_gone(
    network: Network, alice: Rpc, bob: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(value: int) -> None:
        await asyncio.Event().wait()

    bob.register(wait)
    await alice.available("wait", timeout=10)
    monkeypatch.setattr("guthi_rpc.service.PATIENCE_S", 0.05)
    task = asyncio.create_task(_collected(alice.map("wait", range(3))))
    await until(lambda: bob._execution.running > 0)
    await network.stop("bob")
    with pytest.raises(NoProvider, match=r"none came within 0.05 s; \d+ items were given out in vain"):
        await task


# ---- peers that talk nonsense


@pytest.mark.parametrize("value", [None, [], ["f"], ["f", [], []], [1, [], {}], "f"])
async def test_nonsense_is_answered_as_such(network: Network, alice: Rpc, bob: Rpc, value: Any) -> None:
    for topic in ("rpc.call", "rpc.announce"):
        with pytest.raises(guthi.MalformedMessage):
            await network.nodes["alice"].request("bob", topic, value)


async def test_an_answer_that_is_none_is_a_breach(network: Network, alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    await alice.available("add", timeout=10)
    requests = network.nodes["bob"].network.requests
    requests.forget("rpc.call")
    requests.handle("rpc.call", lambda _: "fine")
    with pytest.raises(guthi.MalformedMessage, match="bob answered a call with something that is no answer"):
        await alice.call("add", 1)
