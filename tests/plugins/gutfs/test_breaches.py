"""What a peer may send in bad faith: it is refused as malformed, and files and promises stay as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plugins.gutfs.network import a_network, folder_of

import guthi
from guthi.testing import World, simulated
from guthi_gutfs.chunks import MOST_ASKED
from guthi_gutfs.serving.operations import MOST_INLINE_BYTES, MOST_OPERATIONS
from guthi_gutfs.serving.promises import MOST_WATCHES

NODE = bytes(16)
UP = "/p/../../etc/passwd"

BAD: list[tuple[str, Any]] = [
    *((topic, odd) for topic in ("gutfs.do", "gutfs.chunk", "gutfs.changes") for odd in (None, 1, ["x"], {"a": 1}, [])),
    *(
        ("gutfs.cached", odd)
        for odd in (None, b"x" * 32, "text", ["x"], [], [b"short"], [b"x" * 32] * (MOST_ASKED + 1))
    ),
    *(("gutfs.announce", odd) for odd in (None, [None], [[NODE, 1]], [[NODE, 1, [[UP, True, True]]]])),
    ("gutfs.do", [False, ["stat"]]),
    ("gutfs.do", [False, ["stat", 1]]),
    ("gutfs.do", [False, ["stat", UP]]),
    ("gutfs.do", [False, ["stat", "/p", "more"]]),
    ("gutfs.do", [False, ["none", "/p"]]),
    ("gutfs.do", [False, [["stat"], "/p"]]),
    ("gutfs.do", [1, ["stat", "/p"]]),
    ("gutfs.do", [False, *([["stat", "/p"]] * MOST_OPERATIONS)]),
    ("gutfs.do", [False, ["read", "/p/a", -1, 1]]),
    ("gutfs.do", [False, ["read", "/p/a", 0, MOST_INLINE_BYTES + 1]]),
    ("gutfs.do", [False, ["digests", "/p/a", 0, 0, 1 << 40]]),
    ("gutfs.do", [False, ["digests", "/p/a", True, 0, 1]]),
    ("gutfs.do", [False, ["write", "/p/a", "text", None, None]]),
    ("gutfs.do", [False, ["write", "/p/a", b"x", ["base"], None]]),
    ("gutfs.do", [False, ["write", "/p/a", b"x", None, ["lock", -1]]]),
    ("gutfs.do", [False, ["write", "/p/a", b"x", None, ["lock", 1 << 70]]]),
    ("gutfs.do", [False, ["rename", "/p/a", UP, False, None]]),
    ("gutfs.do", [False, ["delete", "/p", 1, None]]),
    *(("gutfs.replica", odd) for odd in (None, [], ["/p", b"", -1], ["/p", b"", True], ["/p", 1, 0])),
    ("gutfs.replica", ["/p", b"", 1 << 70]),
    ("gutfs.chunk", [UP, 0, [0]]),
    *(("gutfs.chunk", ["/p/a", 0, odd]) for odd in (0, [], [-1], [True], ["0"], [0] * (MOST_ASKED + 1))),
    ("gutfs.changes", [None, 0, [UP]]),
    ("gutfs.changes", [None, 0, ["/p"] * (MOST_WATCHES + 1)]),
]


@simulated
async def test_what_is_malformed_is_refused(world: World, tmp_path: Path) -> None:
    await a_network(world, tmp_path, {"alice": ["/p"], "bob": []})
    (folder_of(tmp_path, "alice", "/p") / "a").write_bytes(b"as it was")
    bob = world.nodes["bob"].node
    for topic, value in BAD:
        with pytest.raises(guthi.MalformedMessage):
            await bob.request("alice", topic, value, timeout_s=5)
            pytest.fail(f"{topic} took {value!r:.200}")
    assert (folder_of(tmp_path, "alice", "/p") / "a").read_bytes() == b"as it was"
    assert [each.name for each in folder_of(tmp_path, "alice", "/p").iterdir()] == ["a"]


UPLOADS: list[Any] = [None, ["/p/a"], [UP, None, None], ["/p/a", ["base"], None], ["/p/a", None, [1, 2]]]


@simulated
async def test_bad_uploads_leave_nothing(world: World, tmp_path: Path) -> None:
    await a_network(world, tmp_path, {"alice": ["/p"], "bob": []})
    bob = world.nodes["bob"].node
    for opening in UPLOADS:
        with pytest.raises(guthi.MalformedMessage):
            async with bob.open_stream("alice", "gutfs.upload", opening, timeout_s=5) as stream:
                async for _ in stream:
                    pass
    with pytest.raises(guthi.MalformedMessage):
        async with bob.open_stream("alice", "gutfs.upload", ["/p/a", None, None], timeout_s=5) as stream:
            await stream.send("text")
            async for _ in stream:
                pass
    async with bob.open_stream("alice", "gutfs.upload", ["/p/a", None, None], timeout_s=5) as stream:
        await stream.send(b"half of it, and then it leaves")
    await world.sleep(1.0)
    assert list(folder_of(tmp_path, "alice", "/p").iterdir()) == []


ANSWERS: list[Any] = [
    None,
    [],
    [b"life", 1, []],
    [b"life", 1, [[True]]],
    [b"life", 1, [[True, None]]],
    [b"life", 1, [[True, ["/p/a"]]]],
    [b"life", 1, [[False, "text"]]],
    [b"life", -1, [[True, [[], False]]]],
    ["life", 1, [[True, [["/", []], False]]]],
]


@pytest.mark.parametrize("answer", ANSWERS)
@simulated
async def test_odd_answers_are_not_believed(world: World, tmp_path: Path, answer: Any) -> None:
    alice, bob = await a_network(world, tmp_path, {"alice": ["/p"], "bob": []})
    await alice.write("/p/a", b"x")
    handlers = world.nodes["alice"].node.network.requests._serving._handlers
    honest, handlers["gutfs.do"] = handlers["gutfs.do"], lambda _: answer
    with pytest.raises(guthi.MalformedMessage):
        await bob.stat("/node/alice/p/a")
    handlers["gutfs.do"] = honest
    assert (await bob.stat("/node/alice/p/a")).size_bytes == 1


@simulated
async def test_odd_notices_harm_nobody(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, {"alice": ["/p"], "bob": []})
    await alice.write("/p/a", b"x")
    assert await bob.read("/p/a") == b"x"
    for odd in (None, [], [b"other life", 0, 1, []], [b"life", 1 << 70, 1, []], [b"life", 0, 1, [["x"]]]):
        await world.nodes["alice"].node.cast("bob", "gutfs.changed", odd)
    await world.sleep(3.0)
    assert await bob.read("/p/a") == b"x"
