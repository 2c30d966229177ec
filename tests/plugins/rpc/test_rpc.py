"""The store between real nodes: every node knows it, any provider is called, and what is unknown is told."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

import guthi
from guthi_rpc import RPC, FunctionInfo, Rpc, Run, UnknownFunction
from guthi_rpc.directory import Announcement
from guthi_rpc.finding import LOOKUP_GRACE_S
from guthi_rpc.settings import RpcConfig

if TYPE_CHECKING:
    from .conftest import Network


def add(left: int, right: int = 1) -> int:
    """The sum."""
    return left + right


# ---- the store


async def test_every_node_knows_the_store_late_comers_too(network: Network, alice: Rpc, bob: Rpc) -> None:
    alice.register(add)
    bob.register(add)
    bob.register(math.factorial, run="process")
    carol = await network.rpc("carol")
    expected = [
        FunctionInfo(
            "add", "(left: 'int', right: 'int' = 1) -> 'int'", "The sum.", Run.THREAD, False, ("alice", "bob")
        ),
        FunctionInfo("factorial", "(n, /)", str(math.factorial.__doc__), Run.PROCESS, False, ("bob",)),
    ]
    for rpc in (alice, bob, carol):
        await rpc.available("add", nodes=2, timeout=60)
        await rpc.available("factorial", timeout=60)
        assert [(each.name, each.providers, each.run) for each in rpc.functions()] == [
            (each.name, each.providers, each.run) for each in expected
        ]
    assert carol.functions()[0] == expected[0]


async def test_providers_that_differ_are_listed_apart(alice: Rpc, bob: Rpc) -> None:
    alice.register(add)
    bob.register(lambda value: value, name="add")
    await alice.available("add", nodes=2, timeout=60)
    assert sorted(each.providers for each in alice.functions()) == [("alice",), ("bob",)]


async def test_what_is_unregistered_is_gone_everywhere(network: Network, alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    assert await alice.call("add", 1) == 2
    bob.unregister("add")
    await network.until(lambda: not alice.functions())
    with pytest.raises(UnknownFunction, match="no node has a function 'add'"):
        await alice.call("add", 1)
    with pytest.raises(UnknownFunction, match="this node has no function 'add'; it has: none"):
        bob.unregister("add")


async def test_a_name_is_taken_once_a_node(alice: Rpc) -> None:
    alice.register(add)
    with pytest.raises(guthi.UsageError, match="has a function 'add' already; unregister it first"):
        alice.register(add)


async def test_many_functions_make_one_announcement(alice: Rpc, bob: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    init = Announcement.__init__

    def counted(announcement: Announcement, life: bytes, revision: int, workers: int, functions: Any) -> None:
        made.append(len(functions))
        init(announcement, life, revision, workers, functions)

    monkeypatch.setattr(Announcement, "__init__", counted)
    for number in range(1000):
        bob.register(add, name=f"add{number}")
    bob.unregister("add7")
    assert (len(bob.functions()), made) == (999, [])  # here they are known at once
    await alice.available("add999", timeout=60)
    assert len(alice.functions()) == 999
    assert set(made) <= {0, 999}


async def test_there_is_a_bound_to_functions(alice: Rpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi_rpc.service.MAX_FUNCTIONS", 1)
    alice.register(add)
    with pytest.raises(guthi.UsageError, match="may have no more"):
        alice.register(add, name="more")


def test_there_is_a_bound_to_workers() -> None:
    for key in ("threads", "processes"):
        for number in (-1, 100_000):
            with pytest.raises(ValueError, match=rf"{key} must be from 0 \(one a core\) to 65536"):
                RpcConfig(**{key: number})


async def test_what_cannot_be_told_is_logged_once(
    alice: Rpc, bob: Rpc, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[Announcement] = []

    def unsendable(announcement: Announcement) -> list[Any]:
        tries.append(announcement)
        return [object()]

    monkeypatch.setattr("guthi_rpc.announcing.RETRY_S", 0.01)
    monkeypatch.setattr(Announcement, "to_wire", unsendable)
    bob.register(add)
    while len(tries) < 3:
        await asyncio.sleep(0.01)
    assert caplog.text.count("alice does not learn what this node has: ") == 1


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
    await alice.available("add", timeout=60)
    await network.stop("bob")
    await network.until(lambda: not alice.functions())


async def test_a_node_that_was_wrongly_given_up_is_heard_again(network: Network, alice: Rpc, bob: Rpc) -> None:
    """Bob never notices that alice forgot him, so she has to ask him."""
    bob.register(add)
    await alice.available("add", timeout=60)
    network.nodes["alice"].accuse(network.nodes["bob"].id, guthi.MemberState.FAILED)
    assert alice.functions() == []
    await alice.available("add", timeout=60)
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
    await alice.available("wait", nodes=3, timeout=60)
    calls = [asyncio.create_task(alice.call("wait")) for _ in range(3)]
    await network.until(lambda: len(entered) == 3)
    gate.set()
    assert await asyncio.gather(*calls) == ["alice", "carol", "bob"]
    assert await carol.call("wait") == "carol"


async def test_on_chooses_the_node(network: Network, alice: Rpc, bob: Rpc) -> None:
    for name in ("alice", "bob"):
        network.nodes[name].require(RPC).register(lambda name=name: name, name="who")
    await alice.available("who", nodes=2, timeout=60)
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
    await alice.available("add", timeout=60)
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
    await alice.available("add", timeout=60)
    bob.unregister("add")
    with pytest.raises(UnknownFunction, match="bob has no function 'add' any more"):
        await alice.call("add", 1)


# ---- peers that talk nonsense


@pytest.mark.parametrize("value", [None, [], ["f"], ["f", [], []], [1, [], {}], "f"])
async def test_nonsense_is_answered_as_such(network: Network, alice: Rpc, bob: Rpc, value: Any) -> None:
    for topic in ("rpc.call", "rpc.announce"):
        with pytest.raises(guthi.MalformedMessage):
            await network.nodes["alice"].request("bob", topic, value)


async def test_an_answer_that_is_none_is_a_breach(network: Network, alice: Rpc, bob: Rpc) -> None:
    bob.register(add)
    await alice.available("add", timeout=60)
    requests = network.nodes["bob"].network.requests
    requests.forget("rpc.call")
    requests.handle("rpc.call", lambda _: "fine")
    with pytest.raises(guthi.MalformedMessage, match="bob answered a call with something that is no answer"):
        await alice.call("add", 1)
