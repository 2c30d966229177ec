"""Peers that lie, of contents, listings, times and versions: nobody believes them, waits for ever or breaks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.gutfs.entries import ALICE, a_file
from tests.plugins.gutfs.local import local_files
from tests.plugins.gutfs.network import a_network, folder_of

from guthi import GuthiError, Incoming, MalformedMessage
from guthi.testing import World, simulated
from guthi_gutfs.chunks import CHUNK_BYTES, digest_of, root_of
from guthi_gutfs.config import ExportTable
from guthi_gutfs.entries import Entry, Kind, Version
from guthi_gutfs.serving.answering import CHUNK, DO
from guthi_gutfs.timestamps import TIMESTAMP_LIMIT, ntp_from_unix
from guthi_gutfs.tree.catalogue import announcements_from_wire
from guthi_gutfs.tree.columns import entries_from_wire, entries_to_wire
from guthi_gutfs.vectors import VersionVector

TWO = {"alice": ["/p"], "bob": []}


def answering(world: World, name: str, topic: str, change: Any) -> None:
    """Let a node answer otherwise: `change` is given the question and the honest answer."""
    handlers = world.nodes[name].node.network.requests._serving._handlers
    honest = handlers[topic]

    async def answer(incoming: Incoming) -> Any:
        return change(incoming.value, await honest(incoming))

    handlers[topic] = answer


def of_operation(name: str, change: Any) -> Any:
    """As above, for the results of one operation of a request."""

    def changed(asked: list[Any], answer: list[Any]) -> list[Any]:
        for operation, result in zip(asked[1:], answer[2], strict=True):
            if operation[0] == name:
                result[1] = change(operation, result[1])
        return answer

    return changed


@simulated
async def test_a_chunk_has_the_size_that_it_should(world: World, tmp_path: Path) -> None:
    """Else a reader's memory would have no bound: what is asked for ahead is counted in chunks."""
    _, bob = await a_network(world, tmp_path, TWO)
    (folder_of(tmp_path, "alice", "/p") / "large").write_bytes(bytes(3 * CHUNK_BYTES))
    huge = bytes(5 * CHUNK_BYTES)
    answering(world, "alice", DO, of_operation("digests", lambda _, told: [digest_of(huge) * 3, told[1]]))
    answering(world, "alice", CHUNK, lambda asked, answer: [huge] * len(answer))
    with pytest.raises(GuthiError):
        await bob.read("/p/large")
    assert bob.cache().chunks == 0


@simulated
async def test_what_is_said_to_be_one_content_is_one(world: World, tmp_path: Path) -> None:
    """The one that is asked first says that its file is the same as the other's, which it is not."""
    *_, carol = await a_network(world, tmp_path, {"alice": ["/p"], "bob": ["/p"], "carol": []})
    liar, other = sorted(("alice", "bob"), key=lambda name: world.nodes[name].node.id)
    honest, false = bytes(2 * CHUNK_BYTES), b"x" * 2 * CHUNK_BYTES
    (folder_of(tmp_path, liar, "/p") / "a").write_bytes(false)
    (folder_of(tmp_path, other, "/p") / "a").write_bytes(honest)
    root = root_of(len(honest), [digest_of(bytes(CHUNK_BYTES))] * 2)
    answering(world, liar, DO, of_operation("root", lambda *_: root))
    answering(world, liar, DO, of_operation("stat", lambda _, told: [*told[:6], root]))
    assert (await carol.stat("/p/a")).nodes == (liar, other)
    with pytest.raises(MalformedMessage):
        await carol.open("/p/a").read()


@pytest.mark.parametrize("lie", ["nothing", "again"])
@simulated
async def test_a_walk_comes_to_an_end(world: World, tmp_path: Path, lie: str) -> None:
    alice, bob = await a_network(world, tmp_path, TWO)
    await alice.write("/p/a", b"a")

    def endless(_: list[Any], told: list[Any]) -> list[Any]:
        columns = [told[0][0], *(type(each)() for each in told[0][1:])] if lie == "nothing" else told[0]
        return [columns, True]

    answering(world, "alice", DO, of_operation("walk", endless))
    async with asyncio.timeout(60):
        with pytest.raises(MalformedMessage):
            async for _ in bob.walk("/node/alice/p"):
                pass


@simulated
async def test_a_listing_is_of_the_folder_that_was_asked_for(world: World, tmp_path: Path) -> None:
    alice, bob = await a_network(world, tmp_path, TWO)
    await alice.mkdir("/p/in")
    await alice.write("/p/in/a", b"a")

    def of_another(operation: list[Any], told: list[Any]) -> list[Any]:
        told[0][0] = "/p/other"
        return told

    answering(world, "alice", DO, of_operation("list", of_another))
    with pytest.raises(MalformedMessage):
        await bob.list("/p/in")


@pytest.mark.parametrize("moment", [1e18, -1e300])
def test_a_time_that_no_disk_can_keep_is_refused(moment: float) -> None:
    entry = a_file("/p/a")
    columns, wire = entries_to_wire("/p", [entry]), entry.to_wire()
    columns[4], wire[3] = [moment], moment
    with pytest.raises(MalformedMessage):
        entries_from_wire(columns)
    with pytest.raises(MalformedMessage):
        Entry.from_wire(wire)


@simulated
async def test_a_revision_that_is_the_last_one_does_not_silence_a_node(world: World, tmp_path: Path) -> None:
    await a_network(world, tmp_path, TWO)
    alice = world.nodes["alice"].node.id
    lie = [bytes(alice), TIMESTAMP_LIMIT - 1, []]
    await world.nodes["bob"].node.request("alice", "gutfs.announce", [lie], timeout_s=5)
    told = await world.nodes["bob"].node.request("alice", "gutfs.catalogue", b"", timeout_s=5)
    assert {each.node for each in announcements_from_wire(told)} == {each.node.id for each in world.nodes.values()}


def test_a_tombstone_more_does_not_fill_the_index(tmp_path: Path) -> None:
    """A replica tells of a great many files that are gone: no more of them are kept than there is room for."""

    async def told() -> None:
        (tmp_path / "data").mkdir()
        export = ExportTable(tmp_path / "data", "/d", sync=True)
        async with local_files([export], most_entries=20) as files:
            for number in range(100):
                version = Version(VersionVector(((ALICE, number + 1),)), ntp_from_unix(1e9 + number), "alice")
                gone = Entry(f"/d/{number}", Kind.GONE, 0, 1e9, version, number)
                await files.adopt(gone, expected=None)
            assert files._catalogue.index.count <= 20

    asyncio.run(told())
