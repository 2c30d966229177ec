"""Keeps the logs of one board in a replicated folder: this node appends to files of its own, and reads all the others.

A file is `NODE.NUMBER.log`, where NODE is the id of the node that writes it. Nobody else ever writes it, so there is
nothing to lock and nothing to conflict; a copy that gutfs makes all the same, after a disk was set back, is read as any
other. A file that has SEGMENT_BYTES is left as it is, and the next number begun: for a change, replicas fetch a file
from its last chunk on and write it anew, which must cost no more for a board with years behind it.

Rewriting (see `compaction`) makes a new file. Those that it replaces are deleted when every other node that is reached
has it too, so a node that dies in the middle takes nothing with it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeVar

from guthi import GuthiError, MalformedMessage
from guthi.calmlog import CalmLog
from guthi_gutfs import FileInfo, Gutfs, NotFound, Version
from guthi_whiteboard.board import Board
from guthi_whiteboard.compaction import SEGMENT_BYTES, is_due, is_worth, kept, left_bytes
from guthi_whiteboard.log import Key, Operation, as_lines, from_line

if TYPE_CHECKING:
    from guthi import Node

__all__ = ["Shelf"]

LINES_A_TURN: Final = 100
NAME = re.compile(r"([a-z2-7]{13})\.([0-9]{6})[^/]*\.log")

log = logging.getLogger("guthi_whiteboard")


class _File:
    """What is known of one file: how far it was read, and whose operations are in it."""

    def __init__(self) -> None:
        self.version: Version | None = None
        self.size_bytes = 0
        self.digest = blake2b()
        self.sizes: dict[Key, int] = {}

    def note(self, operations: Iterable[Operation]) -> None:
        """These are in it."""
        self.sizes.update((each.key, each.size) for each in operations)

    def add(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self.digest.update(data)

    def begins(self, data: bytes) -> bool:
        """Whether a content is this one, or goes on after it."""
        return len(data) >= self.size_bytes and blake2b(data[: self.size_bytes]).digest() == self.digest.digest()


Item = TypeVar("Item")


async def _in_turns(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """Some at a time, without keeping the loop."""
    for start in range(0, len(items), LINES_A_TURN):
        yield items[start : start + LINES_A_TURN]
        await asyncio.sleep(0)


class Shelf:
    """The files of one board. `folder` is its path in the merged tree."""

    def __init__(self, node: Node, fs: Gutfs, folder: str) -> None:
        self._node, self._fs, self._below = node, fs, folder
        self.path = f"/node/{node.id}{folder}"
        self._me = str(node.id)
        self._files: dict[str, _File] = {}
        self._current: str | None = None
        self._last_number = 0
        self._rewritten_bytes = 0
        self._replaced: dict[str, list[str]] = {}
        self._log = CalmLog(log, asyncio.get_running_loop().time)

    async def open(self) -> None:
        """Have the folder, and know which files are there; nothing is read yet."""
        for info in await self._list():
            self._meet(info.name)
            if self._is_own(info.name) and info.size_bytes > SEGMENT_BYTES:
                self._rewritten_bytes = max(self._rewritten_bytes, info.size_bytes)

    async def _list(self) -> Sequence[FileInfo]:
        """What is in the folder, which somebody may delete while the board is open."""
        try:
            return await self._fs.list(self.path)
        except NotFound:
            await self._fs.mkdir(self.path, parents=True)
            return await self._fs.list(self.path)

    def has(self, key: Key) -> bool:
        """Whether an operation is in some file here."""
        return any(key in file.sizes for file in self._files.values())

    # ---- reading

    async def look(self, names: Iterable[str] | None = None) -> AsyncIterator[list[Operation]]:
        """What has come into these files, or all, since they were looked at; some operations at a time."""
        if names is None:
            listed = {info.name for info in await self._list()}
            names = sorted(listed | self._files.keys())
        for name in names:
            if NAME.fullmatch(name):
                self._meet(name)
                async for some in self._read(name):
                    yield some

    async def _read(self, name: str) -> AsyncIterator[list[Operation]]:
        path = f"{self.path}/{name}"
        try:
            info = await self._fs.stat(path)
            file = self._files.setdefault(name, _File())
            if info.version == file.version or info.is_folder:
                return
            data = await self._fs.read(path)
        except NotFound:
            self._files.pop(name, None)
            return
        whole = data[: data.rfind(b"\n") + 1]
        if not file.begins(whole):
            file = self._files[name] = _File()
        new = whole[file.size_bytes :]
        async for some in self._decoded(name, new):
            file.note(some)
            yield some
        file.add(new)
        file.version = info.version

    async def _decoded(self, name: str, data: bytes) -> AsyncIterator[list[Operation]]:
        """Line by line, without keeping the loop; what cannot be read is left out, and told."""
        async for lines in _in_turns(data.splitlines()):
            some = []
            for line in lines:
                try:
                    some.append(from_line(line))
                except MalformedMessage as error:
                    self._log.warning("%s/%s has a line that is left out: %s", self._below, name, error)
            yield some

    # ---- writing

    async def append(self, operations: Sequence[Operation]) -> None:
        """Write them at the end of this node's file; when this returns they are on its disk."""
        data = as_lines(operations)
        name = await self._name_for(len(data))
        try:
            written = await self._fs.append(f"{self.path}/{name}", data)
        except BaseException:
            self._current = None  # nobody knows what is in it now; it is read like any other
            raise
        file = self._files.setdefault(name, _File())
        file.add(data)
        file.note(operations)
        file.version = written.entry.version

    async def _name_for(self, more_bytes: int) -> str:
        """The file that is written now, while it has room, and while nobody has deleted it."""
        name = self._current
        file = self._files.get(name) if name is not None else None
        if name is None or file is None or file.size_bytes + more_bytes > SEGMENT_BYTES:
            await self._fs.mkdir(self.path, parents=True)
            name = self._current = self._next_name()
        return name

    def _next_name(self) -> str:
        self._last_number += 1
        name = f"{self._me}.{self._last_number:06}.log"
        self._files[name] = _File()
        return name

    def _meet(self, name: str) -> None:
        match = NAME.fullmatch(name)
        if match is not None and match[1] == self._me:
            self._last_number = max(self._last_number, int(match[2]))

    def _is_own(self, name: str) -> bool:
        return name.startswith(f"{self._me}.")

    # ---- rewriting

    async def compact(self, board: Board, now_s: float) -> bool:
        """Rewrite this node's files, if that is worth it; `now_s` is wall time. Call it while nothing is appended."""
        own = sorted(name for name in self._files if self._is_own(name) and name not in self._all_replaced())
        sizes = [self._files[name].size_bytes for name in own]
        if not is_due(sizes, self._rewritten_bytes):
            return False
        self._rewritten_bytes = sum(sizes)
        in_files = await self._keys(list(self._files))
        before_us = await self._keys([name for name in self._files if name[: len(self._me)] < self._me])
        about = 0
        for name in own:
            async for keys in _in_turns(list(self._files[name].sizes.items())):
                about += left_bytes(keys, board, before_us, in_files, now_s)
        if not is_worth(sizes, about):
            return False
        left: dict[Key, Operation] = {}
        for name in own:
            data = await self._fs.read(f"{self.path}/{name}")
            async for some in self._decoded(name, data[: self._files[name].size_bytes]):
                left.update((each.key, each) for each in kept(some, board, in_files, before_us, now_s))
        lines = [as_lines(some) async for some in _in_turns(list(left.values()))]
        if not is_worth(sizes, sum(map(len, lines))):
            return False
        await self._replace(own, list(left.values()), b"".join(lines))
        return True

    async def _keys(self, names: Sequence[str]) -> set[Key]:
        found: set[Key] = set()
        for name in names:
            found.update(self._files[name].sizes)
            await asyncio.sleep(0)
        return found

    async def _replace(self, names: list[str], left: Sequence[Operation], data: bytes) -> None:
        name = self._next_name()
        self._current = None
        if data:
            written = await self._fs.write(f"{self.path}/{name}", data)
            file = self._files[name]
            file.add(data)
            async for some in _in_turns(left):
                file.note(some)
            file.version = written.entry.version
        else:
            del self._files[name]
        self._replaced[name if data else ""] = names
        self._rewritten_bytes = len(data)

    def _all_replaced(self) -> set[str]:
        return {name for names in self._replaced.values() for name in names}

    async def sweep(self) -> None:
        """Delete what was replaced, as far as the others have what replaces it; asking them may take its time."""
        for name, replaced in list(self._replaced.items()):
            if name and name not in self._files:  # somebody has deleted it: what it replaced is needed again
                del self._replaced[name]
                continue
            if name and not await self._others_have(name):
                continue
            for old in replaced:
                try:
                    await self._fs.delete(f"{self.path}/{old}")
                except NotFound:
                    pass
                self._files.pop(old, None)
            del self._replaced[name]

    async def _others_have(self, name: str) -> bool:
        mine = self._files[name].size_bytes
        for exporter in await self._fs.nodes():
            is_replica = any(words == "sync" and self._below.startswith(f"{at}/") for at, words in exporter.exports)
            if not is_replica or exporter.name == self._node.name:
                continue
            try:
                if (await self._fs.stat(f"/node/{exporter.name}{self._below}/{name}")).size_bytes != mine:
                    return False
            except GuthiError:  # it has it not yet, or is not reached
                return False
        return True
