"""Calls followed across nodes: what belongs to what, whichever way a function runs and however its call ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from guthi import Config, MalformedMessage, Node, PeerLost
from guthi.testing import World, simulated
from guthi_rpc import RPC, Rpc
from guthi_rpc.batches import Batch, Shape, read_batch
from guthi_rpc.questions import Question, read_question
from guthi_tracing import TracingPlugin

NAMES = ["alice", "bob", "carol"]


class Notebook:
    """The spans of all nodes of a test, in the order in which they ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource({}))  # it would look for one in threads
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")
        notebook = self

        class Noted(TracingPlugin):
            """The plugin with the test's provider."""

            @staticmethod
            def tracer_provider() -> TracerProvider:
                return notebook.provider

        self.plugin = Noted

    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def one(self, name: str, node: str) -> ReadableSpan:
        """The span of that name on that node."""
        found = [each for each in self.spans() if each.name == name and attribute(each, "guthi.node") == node]
        assert len(found) == 1, [each.name for each in self.spans()]
        return found[0]

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        if span.parent is None:
            return None
        return next(each for each in self.spans() if each.context.span_id == span.parent.span_id)

    def chain(self, span: ReadableSpan | None) -> list[str]:
        """Names and nodes, from a span up to the one that began it all."""
        found = []
        while span is not None:
            found.append(f"{span.name} ({attribute(span, 'guthi.node')})")
            span = self.parent(span)
        return found


def attribute(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {}).get(name)


async def a_network(world: World, notebook: Notebook, *names: str) -> list[Rpc]:
    for name in names:
        await world.start(name, plugins=["rpc", notebook.plugin], join=names[:1] if name != names[0] else [])
    await world.until(world.is_connected)
    return [world.nodes[name].node.require(RPC) for name in names]


@simulated
async def test_a_call_is_followed_through_three_nodes(world: World) -> None:
    notebook = Notebook()
    alice, bob, carol = await a_network(world, notebook, *NAMES)

    async def middle(number: int) -> int:
        return int(await bob.call("last", number, on="carol")) + 1

    bob.register(middle)
    carol.register(lambda number: number * 10, name="last", run="inline")
    with notebook.tracer.start_as_current_span("mine") as mine:
        assert await alice.call("middle", 7, on="bob") == 71
    run_last = notebook.one("run last", "carol")
    assert notebook.chain(run_last) == [
        "run last (carol)",
        "call last (bob)",
        "run middle (bob)",
        "call middle (alice)",
        "mine (None)",
    ]
    assert {each.context.trace_id for each in notebook.spans()} == {mine.get_span_context().trace_id}
    assert run_last.kind is SpanKind.SERVER and notebook.one("call last", "bob").kind is SpanKind.CLIENT
    assert attribute(run_last, "guthi.peer") == "bob" and attribute(run_last, "rpc.method") == "last"
    assert not any(each.status.status_code is StatusCode.ERROR for each in notebook.spans())


@simulated
async def test_two_calls_at_a_time_are_two_traces(world: World) -> None:
    notebook = Notebook()
    alice, bob = await a_network(world, notebook, *NAMES[:2])

    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    bob.register(wait)
    await asyncio.gather(alice.call("wait", 2.0, on="bob"), alice.call("wait", 1.0, on="bob"))
    first, second = (each for each in notebook.spans() if each.name == "run wait")
    assert first.context.trace_id != second.context.trace_id
    for each in (first, second):
        assert notebook.chain(each) == ["run wait (bob)", "call wait (alice)"]


@simulated
async def test_what_a_function_raises_is_noted_at_both_ends(world: World) -> None:
    notebook = Notebook()
    alice, bob = await a_network(world, notebook, *NAMES[:2])

    def fail() -> None:
        raise KeyError("no such picture")

    bob.register(fail, run="inline")
    bob.register(lambda: 1, name="one", run="inline")
    try:
        await alice.call("fail", on="bob")
    except KeyError:
        assert await alice.call("one", on="bob") == 1  # within the handling of another error, which is not its own
    for name, node in (("run fail", "bob"), ("call fail", "alice")):
        span = notebook.one(name, node)
        assert span.status.status_code is StatusCode.ERROR and "KeyError" in (span.status.description or "")
        assert [each.name for each in span.events] == ["exception"]
    for name, node in (("run one", "bob"), ("call one", "alice")):
        assert notebook.one(name, node).status.status_code is StatusCode.UNSET


@simulated
async def test_a_node_that_is_lost_ends_the_callers_span(world: World) -> None:
    notebook = Notebook()
    alice, bob = await a_network(world, notebook, *NAMES[:2])

    async def wait() -> None:
        await asyncio.sleep(600)

    bob.register(wait)
    calling = asyncio.ensure_future(alice.call("wait", on="bob"))
    await asyncio.sleep(1.0)
    world.nodes["bob"].crash()
    with pytest.raises(PeerLost):
        await calling
    assert notebook.one("call wait", "alice").status.status_code is StatusCode.ERROR


@simulated
async def test_maps_streams_and_casts_are_followed_too(world: World) -> None:
    notebook = Notebook()
    alice, bob = await a_network(world, notebook, *NAMES[:2])

    async def count(most: int) -> AsyncIterator[int]:
        for number in range(most):
            await bob.call("note", number, on="alice")
            yield number

    bob.register(count)
    bob.register(lambda item: item, name="same", run="inline")
    noted: list[int] = []
    alice.register(noted.append, name="note", run="inline")
    with notebook.tracer.start_as_current_span("mine"):
        assert [value async for value in alice.stream("count", 2, on="bob")] == [0, 1]
        assert sorted([result.value async for result in alice.map("same", range(50))]) == list(range(50))
        await alice.cast("note", 7, on="alice")
    await world.until(lambda: len(noted) == 3)
    notes = [notebook.chain(each) for each in notebook.spans() if each.name == "run note"]
    nested = ["run note (alice)", "call note (bob)", "run count (bob)", "call count (alice)", "mine (None)"]
    assert notes == [nested, nested, ["run note (alice)", "call note (alice)", "mine (None)"]]
    batches = [notebook.chain(each) for each in notebook.spans() if each.name == "run same"]
    assert batches and all(each == ["run same (bob)", "call same (alice)", "mine (None)"] for each in batches)


@simulated
async def test_who_does_not_follow_calls_and_who_does_work_together(world: World) -> None:
    notebook = Notebook()
    await a_network(world, notebook, "alice")
    await world.start("bob", plugins=["rpc"], join=["alice"])
    await world.until(world.is_connected)
    alice, bob = (world.nodes[name].node.require(RPC) for name in ("alice", "bob"))
    bob.register(lambda: 1, name="one", run="inline")
    alice.register(lambda: 2, name="two", run="inline")
    assert await alice.call("one", on="bob") == 1 and await bob.call("two", on="alice") == 2
    assert notebook.chain(notebook.one("call one", "alice")) == ["call one (alice)"]
    assert notebook.chain(notebook.one("run two", "alice")) == ["run two (alice)"]


async def test_threads_are_within_their_span_and_processes_have_one() -> None:
    notebook = Notebook()
    tables = {"node": {"name": "alice", "plugins": ["rpc"]}, "plugins": {"rpc": {"processes": 1}}}
    async with Node(Config.from_mapping(tables, environment={}), plugins=[notebook.plugin]) as node:
        rpc = node.require(RPC)

        def in_a_thread() -> int:
            return trace.get_current_span().get_span_context().span_id

        rpc.register(in_a_thread, run="thread")
        rpc.register(math.factorial, name="in_a_process", run="process")
        assert await rpc.call("in_a_thread") == notebook.one("run in_a_thread", "alice").context.span_id
        assert await rpc.call("in_a_process", 4) == 24
        assert notebook.chain(notebook.one("run in_a_process", "alice"))[1:] == ["call in_a_process (alice)"]


async def test_without_a_library_that_makes_spans_nothing_travels() -> None:
    """The API alone, which is what the plugin needs, makes spans that are nothing."""
    told: list[Any] = []
    config = Config.from_mapping({"node": {"name": "alice", "plugins": ["rpc", "tracing"]}}, environment={})
    async with Node(config) as node:
        rpc = node.require(RPC)
        rpc.register(lambda: told.append(1), name="tell", run="inline")
        await rpc.call("tell")
        span = rpc._calls._asking.span(question := Question("tell", (), {}, 1), node.id)
    assert told == [1] and span is not None and question.trace is None and len(question.to_wire()) == 4


def test_what_travels_is_read_with_care() -> None:
    question = Question("f", [], {}, 1, trace="00-1-2-01")
    assert read_question(question.to_wire()).trace == "00-1-2-01"
    batch = Batch("f", [1], Shape.ITEM, 1, trace="00-1-2-01")
    assert read_batch(batch.to_wire()).trace == "00-1-2-01"
    assert read_batch(Batch("f", [1], Shape.ITEM, 1).to_wire()).trace is None
    for bad in (7, "x" * 65, b"00", []):
        with pytest.raises(MalformedMessage):
            read_question([*question.to_wire()[:4], {"trace": bad}])
        with pytest.raises(MalformedMessage):
            read_batch([*batch.to_wire()[:5], bad])
    with pytest.raises(MalformedMessage):
        read_batch([*batch.to_wire(), None])


@simulated
async def test_nonsense_for_a_trace_begins_a_new_one(world: World) -> None:
    notebook = Notebook()
    alice, bob = await a_network(world, notebook, *NAMES[:2])
    bob.register(lambda: 1, name="one", run="inline")
    await alice.available("one", timeout=60)
    question = Question("one", (), {}, 1, trace="nonsense")
    assert (await world.nodes["alice"].node.request("bob", "rpc.call", question.to_wire()))[0] == 1
    assert notebook.chain(notebook.one("run one", "bob")) == ["run one (bob)"]
