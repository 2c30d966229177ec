"""Functions that are sent to nodes: refused where nobody allowed it, and as if they were called here where one did."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.plugins.rpc.peers import peer, peers

import guthi
from guthi_rpc import RPC, CodeRefused
from guthi_rpc.functions import Run
from guthi_rpc.shipping import capability, pack, run_code, unpack


class Moody(Exception):
    """Cannot be made again from its pickle, for it has two arguments and tells of one."""

    def __init__(self, mood: str, reason: str) -> None:
        super().__init__(f"{mood} because of {reason}")


class Calm(Exception):
    """Has nothing special."""


def raising(error: Exception) -> None:
    raise error


def round_trip(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return unpack(run_code(pack(function, arguments, named)))


@pytest.fixture
def rpc() -> Iterator[Any]:
    """The service of a client in a network of two nodes that accept code."""
    with peers("alice", "bob", threads=2, processes=1, ship_code=True) as (_, client):
        client.available(capability(Run.THREAD), nodes=2, timeout=60)
        yield client


# ---- the form in which it travels


def test_closures_keep_what_they_hold() -> None:
    offset = (1, 2)
    assert round_trip(lambda value, *, name: (value, name, offset), {3}, name="x") == ({3}, "x", (1, 2))


def test_exceptions_come_as_they_are_with_a_trace() -> None:
    with pytest.raises(Calm, match="still") as caught:
        round_trip(raising, Calm("still"))
    assert "in raising" in caught.value.__notes__[0]
    with pytest.raises(StopIteration):
        round_trip(raising, StopIteration())


def test_an_exception_that_pickle_breaks_is_raised_where_it_runs() -> None:
    with pytest.raises(Moody, match="sad because of rain"):
        run_code(pack(lambda: raising(Moody("sad", "rain")), (), {}))


def test_what_cannot_be_sent() -> None:
    async def later() -> None: ...

    with pytest.raises(guthi.UsageError, match="coroutine function"):
        pack(later, (), {})
    with pytest.raises(guthi.UsageError, match="is no function"):
        pack(7, (), {})
    with pytest.raises(guthi.NotEncodable, match="cannot be pickled"):
        pack(len, (sys._getframe(),), {})
    with pytest.raises(guthi.NotEncodable, match="cannot be pickled"):
        round_trip(sys._getframe)


def test_without_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(guthi.UsageError, match=r'pip install "guthi-rpc\[ship\]"; or register it'):
        pack(len, ("x",), {})
    with pytest.raises(guthi.ConfigError, match=r'ship_code = true .* pip install "guthi-rpc\[ship\]"'):
        peer("alice", ship_code=True)


# ---- over the network


def test_nobody_runs_code_unless_told_to() -> None:
    with peers("alice") as (nodes, client):
        nodes["alice"].require(RPC).register(len, name="size")
        with client.executor() as pool:
            assert pool.submit("size", "four").result(10) == 4
            for attempt in (lambda: pool.submit(len, "x").result(10), lambda: list(pool.map(len, ["x"])), pool.workers):
                with pytest.raises(CodeRefused, match=r"set ship_code = true under \[plugins.rpc\]"):
                    attempt()


def test_code_goes_only_to_nodes_that_accept_it() -> None:
    with peers("alice") as (nodes, client), peer("bob", str(nodes["alice"].address), ship_code=True) as bob:
        client.available(capability(Run.THREAD), timeout=60)
        (accepting,) = {each.providers for each in client.functions()}
        assert accepting == ("bob",)
        bob.require(RPC).register(lambda: "bob", name="who")
        with client.executor() as pool:
            assert list(pool.map(lambda number: -number, range(5))) == [0, -1, -2, -3, -4]
        with client.executor(on="alice") as pool, pytest.raises(CodeRefused) as caught:
            pool.submit(len, "x").result(10)
        assert "these nodes have it: bob" in str(caught.value.__cause__)


def test_a_function_that_this_node_has_is_called_by_its_name() -> None:
    with peers("alice") as (nodes, _):
        rpc = nodes["alice"].require(RPC)
        rpc.register(len, name="size")
        assert (rpc.name_of(len), rpc.name_of(max)) == ("size", None)
        with rpc.executor() as pool:
            assert pool.submit(len, "four").result(10) == 4


@pytest.mark.parametrize("style", ["thread", "process"])
def test_functions_and_values_of_any_kind(rpc: Any, style: str) -> None:
    """All that is local here goes by value; a worker process could not import this module."""
    secret = complex(1, 2)

    class Local(Exception):
        """Known nowhere else."""

    def fail(number: int) -> None:
        raise Local(number)

    with rpc.executor(run=style) as pool:
        assert pool.submit(lambda value: (value, secret), {1: ()}).result(30) == ({1: ()}, secret)
        assert list(pool.map(pow, range(6), range(6), chunksize=4)) == [pow(n, n) for n in range(6)]
        error = pool.submit(fail, 7).exception(10)
        assert isinstance(error, Local) and error.args == (7,)
        assert "in fail" in error.__notes__[0]


def test_an_exception_that_pickle_breaks_is_told_in_words(rpc: Any) -> None:
    with rpc.executor() as pool, pytest.raises(guthi.RemoteError, match="sad because of rain"):
        pool.submit(lambda: raising(Moody("sad", "rain"))).result(10)


def test_a_client_needs_no_setting_and_takes_no_code() -> None:
    with peers("alice") as (nodes, _):
        own = {"name": "carol", "role": "client", "listen": "127.0.0.1:0", "plugins": ["rpc"]}
        tables: dict[str, Any] = {
            "node": {**own, "join": [str(nodes["alice"].address)]},
            "plugins": {"rpc": {"ship_code": True}},
        }
        with guthi.BlockingNode(guthi.Config.from_mapping(tables, environment={})) as carol:
            assert carol.require(RPC).functions() == []
