"""The tree as an fsspec file system: `fsspec.open("gutfs://photos/cat.png", join=["10.0.0.5:6969"])`.

What reads through fsspec (pandas, dask, xarray, …) reads from the network's tree. The first use joins the network as a
client, on fsspec's own loop; file systems with the same options share that node. An app that has a node passes its
service instead, and stays on its own loop: `GutfsFileSystem(service=node.require(GUTFS), asynchronous=True)`.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from fsspec.asyn import AsyncFileSystem, sync  # type: ignore[import-untyped]
from fsspec.callbacks import DEFAULT_CALLBACK  # type: ignore[import-untyped]
from fsspec.spec import AbstractBufferedFile  # type: ignore[import-untyped]

from guthi import Address, GuthiError, Node
from guthi.cli.client import client_config
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.copying import pieces
from guthi_gutfs.errors import PathExists, WrongKind
from guthi_gutfs.handle import OpenFile
from guthi_gutfs.information import FileInfo
from guthi_gutfs.paths import parent_of, tree_path
from guthi_gutfs.service import GUTFS, Gutfs

__all__ = ["GutfsFile", "GutfsFileSystem"]

BLOCK_BYTES = 8 * CHUNK_BYTES
WAITING_CHUNKS = 4  # of a file that is being written, before its writer waits
LEAVING_S = 5.0


class GutfsFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The tree of a network. `join` are addresses of it, `config` a node file, as for the commands of `guthi`."""

    protocol = "gutfs"
    root_marker = "/"
    cachable = True

    def __init__(
        self,
        join: Sequence[str] = (),
        config: str | None = None,
        timeout_s: float = 10.0,
        service: Gutfs | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._join, self._config, self._timeout_s = tuple(join), config, timeout_s
        self._service = service
        self._node: Node | None = None
        self._joining = asyncio.Lock()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = os.fspath(path)
        for start in ("gutfs://", "gutfs::"):
            text = text.removeprefix(start)
        return "/" + text.strip("/")

    async def _gutfs(self) -> Gutfs:
        """The service; the first use joins the network."""
        if self._service is not None:
            return self._service
        async with self._joining:
            if self._node is None:
                node = Node(self._client_config())
                await node.__aenter__()
                self._node = node
                weakref.finalize(self, _leave, self.loop, node)
            service = self._node.require(GUTFS)
            await service.synced()
            return service

    def _client_config(self) -> Any:
        addresses = [Address.parse(each) for each in self._join]
        config = Path(self._config) if self._config is not None else None
        return client_config(addresses, config, self._timeout_s, plugins=["gutfs"])

    def invalidate_cache(self, path: str | None = None) -> None:
        """Nothing need be done: what is kept here is known to be valid, or asked for again."""

    # ---- looking

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        return _as_dict(await (await self._gutfs()).stat(self._strip_protocol(path)))

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        fs, path = await self._gutfs(), self._strip_protocol(path)
        try:
            found = await fs.list(path)
        except WrongKind:
            found = [await fs.stat(path)]
        infos = [_as_dict(each) for each in found]
        return infos if detail else [each["name"] for each in infos]

    async def _modified(self, path: str) -> float:
        return (await (await self._gutfs()).stat(self._strip_protocol(path))).modified_s

    # ---- reading

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        fs, path = await self._gutfs(), self._strip_protocol(path)
        if start is None and end is None:
            return await _as_file(fs.read(path))
        first, last = await self._process_limits_of(fs, path, start, end)
        return await _as_file(fs.open(path).read(first, max(last - first, 0)))

    async def _process_limits_of(self, fs: Gutfs, path: str, start: int | None, end: int | None) -> tuple[int, int]:
        size = (await fs.stat(path)).size_bytes
        first = 0 if start is None else start if start >= 0 else max(size + start, 0)
        last = size if end is None else end if end >= 0 else size + end
        return first, last

    async def _get_file(self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any) -> None:
        fs, rpath = await self._gutfs(), self._strip_protocol(rpath)
        info = await fs.stat(rpath)
        if info.is_folder:
            os.makedirs(lpath, exist_ok=True)
            return
        callback.set_size(info.size_bytes)
        os.makedirs(os.path.dirname(lpath) or ".", exist_ok=True)
        await fs.get(rpath, lpath, progress=callback.relative_update)

    # ---- writing

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        fs, path = await self._gutfs(), self._strip_protocol(path)
        await self._refuse_existing(fs, path, mode)
        await self._make_parents(fs, path)
        await fs.upload(path, pieces(value))

    async def _put_file(
        self, lpath: str, rpath: str, mode: str = "overwrite", callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        fs, rpath = await self._gutfs(), self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        await self._refuse_existing(fs, rpath, mode)
        await self._make_parents(fs, rpath)
        callback.set_size(os.path.getsize(lpath))
        await fs.put(lpath, rpath, progress=callback.relative_update)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        fs, path1, path2 = await self._gutfs(), self._strip_protocol(path1), self._strip_protocol(path2)
        if (await fs.stat(path1)).is_folder:
            await self._makedirs(path2, exist_ok=True)
            return
        await self._make_parents(fs, path2)
        await fs.upload(path2, fs.chunks(path1))

    async def _mv_file(self, path1: str, path2: str) -> None:
        fs = await self._gutfs()
        await fs.rename(self._strip_protocol(path1), self._strip_protocol(path2), replace=True)

    async def _refuse_existing(self, fs: Gutfs, path: str, mode: str) -> None:
        if mode == "create" and await fs.exists(path):
            raise PathExists(f"{path} is there already")

    async def _make_parents(self, fs: Gutfs, path: str) -> None:
        if not await fs.exists(parent_of(path)):
            await fs.mkdir(parent_of(path), parents=True)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        await (await self._gutfs()).mkdir(self._strip_protocol(path), parents=create_parents)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        fs, path = await self._gutfs(), self._strip_protocol(path)
        if await fs.exists(path):
            if not exist_ok:
                raise PathExists(f"{path} is there already")
            return
        await fs.mkdir(path, parents=True)

    async def _rm_file(self, path: str, **_: Any) -> None:
        await (await self._gutfs()).delete(self._strip_protocol(path))

    async def _rmdir(self, path: str) -> None:
        await (await self._gutfs()).delete(self._strip_protocol(path))

    async def _rm(self, path: Any, recursive: bool = False, batch_size: int | None = None, **_: Any) -> None:
        fs = await self._gutfs()
        for each in sorted(await self._expand_path(path, recursive=False)):
            await fs.delete(self._strip_protocol(each), recursive=recursive)

    def rmdir(self, path: str) -> None:
        """Delete an empty folder."""
        sync(self.loop, self._rmdir, path)

    def created(self, path: str) -> Any:
        """When the file was modified last: what it was before is not known."""
        return self.modified(path)

    def modified(self, path: str) -> Any:
        """In seconds since 1970."""
        return sync(self.loop, self._modified, path)

    # ---- files

    def _open(self, path: str, mode: str = "rb", block_size: int | str | None = None, **options: Any) -> GutfsFile:
        size = BLOCK_BYTES if block_size in (None, "default") else block_size
        if "x" in mode and self.exists(path):
            raise PathExists(f"{path} is there already")
        return GutfsFile(self, self._strip_protocol(path), mode.replace("x", "w"), size, **options)


class GutfsFile(AbstractBufferedFile):  # type: ignore[misc]
    """An open file of fsspec's synchronous face; what is written is seen when it is closed, all of it or nothing."""

    def __init__(self, fs: GutfsFileSystem, path: str, mode: str, block_size: Any, **options: Any) -> None:
        self._source: OpenFile | None = None
        self._sink: _Sink | None = None
        super().__init__(fs, path, mode, block_size, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = sync(self.fs.loop, self._read, start, end)
        return data

    async def _read(self, start: int, end: int) -> bytes:
        if self._source is None:
            self._source = (await self.fs._gutfs()).open(self.path)
        return await self._source.read(start, end - start)

    def _initiate_upload(self) -> None:
        self._sink = sync(self.fs.loop, self._begin)

    async def _begin(self) -> _Sink:
        fs = await self.fs._gutfs()
        if self.mode == "ab":
            return _Sink(partial(_append, fs, self.path))
        await self.fs._make_parents(fs, self.path)
        return _Sink(partial(fs.upload, self.path))

    def _upload_chunk(self, final: bool = False) -> bool:
        assert self._sink is not None
        self.buffer.seek(0)
        sync(self.fs.loop, self._sink.take, self.buffer.read())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Let what was written be the file."""
        if self._sink is not None:
            sync(self.fs.loop, self._sink.finish)

    def discard(self) -> None:
        """Let it be as if nothing had been written."""
        if self._sink is not None:
            sync(self.fs.loop, self._sink.abandon)


class _Sink:
    """What is written piece by piece, while it is being sent."""

    def __init__(self, send: Callable[[AsyncIterator[bytes]], Any]) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_CHUNKS)
        self._task = asyncio.ensure_future(send(self._all()))

    async def _all(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            async for each in pieces(piece):
                yield each

    async def take(self, piece: bytes) -> None:
        """One more; waits while enough are on their way. Raises what the sending raised."""
        await self._put(piece)

    async def _put(self, piece: bytes | None) -> None:
        putting = asyncio.ensure_future(self._pieces.put(piece))
        await asyncio.wait([putting, self._task], return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            putting.cancel()
            self._task.result()

    async def finish(self) -> None:
        """That was all; wait until it is on disk."""
        await self._put(None)
        await self._task

    async def abandon(self) -> None:
        """Nothing of it is to be kept."""
        self._task.cancel()
        await asyncio.wait([self._task])


async def _append(fs: Gutfs, path: str, chunks: AsyncIterator[bytes]) -> None:
    async for each in chunks:
        await fs.append(path, each)


async def _as_file(work: Any) -> bytes:
    try:
        data: bytes = await work
    except WrongKind as error:
        raise IsADirectoryError(str(error)) from error
    return data


def _as_dict(info: FileInfo) -> dict[str, Any]:
    return {
        "name": tree_path(info.path),
        "size": 0 if info.is_folder else info.size_bytes,
        "type": "directory" if info.is_folder else "file",
        "mtime": info.modified_s,
        "nodes": list(info.nodes),
        "timestamp": info.version.timestamp,
    }


def _leave(loop: asyncio.AbstractEventLoop, node: Node) -> None:
    """Leave the network when the file system is no more; at the end of the process the loop may be gone already."""
    if loop.is_running():
        with suppress(GuthiError, TimeoutError, RuntimeError):
            asyncio.run_coroutine_threadsafe(node.__aexit__(None, None, None), loop).result(LEAVING_S)
