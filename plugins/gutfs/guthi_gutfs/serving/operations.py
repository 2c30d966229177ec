"""Decides what an operation that a peer asks for is: a name and arguments, what is done for it, and what is answered.

| operation                                   | answer                                                                 |
|---------------------------------------------|------------------------------------------------------------------------|
| `stat path`                                 | an entry                                                               |
| `list path`                                 | entries in columns, at most 10,000, and whether there are more         |
| `walk path after`                           | the same of all below a path, from the one after `after` on            |
| `root path`                                 | the root digest of the file as it is now                               |
| `digests path timestamp first count`        | the digests one after another, and who else may have the chunks        |
| `fetch path`                                | an entry, and the content of that version if it is one chunk or none  |
| `read path offset size`                     | bytes                                                                  |
| `write path data base fence`                | what was written (`Written`)                                           |
| `append path data fence`                    | what was written                                                       |
| `rename path to replace fence`              | the entry                                                              |
| `delete path recursive fence`               | null                                                                   |
| `mkdir path parents fence`                  | the entry                                                              |

Operations of one request are done one after the other. When one fails, the rest are not tried, unless the request says
so (NFS version 4 calls it COMPOUND). A write with a fence is refused when a newer one has been here (see the plugin
mutex; `exports.fencing`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType, NoneType
from typing import Any, NamedTuple, TypeAlias

from guthi import GuthiError, MalformedMessage, NodeId, UsageError
from guthi_gutfs.chunks import CHUNK_BYTES
from guthi_gutfs.entries import Kind, Version
from guthi_gutfs.errors import BadPath, FileChanged, NotTried
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.paths import tree_path
from guthi_gutfs.serving.holders import Holders
from guthi_gutfs.serving.promises import Promises
from guthi_gutfs.tree.columns import MOST_ENTRIES, entries_to_wire
from guthi_mutex import Fence

__all__ = ["MOST_INLINE_BYTES", "MOST_OPERATIONS", "Caller", "Operations", "fence_of", "fence_to_wire"]

MOST_OPERATIONS = 4096
MOST_DIGESTS = 1024
MOST_INLINE_BYTES = 8 * CHUNK_BYTES
"""What is read or written in one operation; more goes in chunks, or as a stream."""
MOST_ANSWERED_BYTES = 8 * MOST_INLINE_BYTES
"""What one request may have read, all its operations together."""
ENTRY_BYTES = 128  # about so much memory an entry of a listing takes
MOST_TRIES = 5


class Caller(NamedTuple):
    """Who asks, and what people call it."""

    peer: NodeId
    name: str


Handler: TypeAlias = Callable[..., Awaitable[Any]]


class Operations:
    """What this node does for others with the files that it exports."""

    def __init__(self, own: NodeId, files: LocalFiles, promises: Promises, holders: Holders) -> None:
        self._own, self._files, self._promises, self._holders = own, files, promises, holders

    async def several(self, caller: Caller, wire: object) -> list[tuple[bool, Any]]:
        """Do what a request asks for: `[whether to go on after a failure, operation…]`; raises MalformedMessage.

        Of each operation whether it is done, and the result, or the error.
        """
        if not isinstance(wire, list) or not wire or type(wire[0]) is not bool or len(wire) > MOST_OPERATIONS:
            raise MalformedMessage("a request has operations, not too many")
        results: list[tuple[bool, Any]] = []
        has_failed, answered_bytes = False, 0
        for operation in wire[1:]:
            if has_failed and not wire[0]:
                results.append((False, NotTried("an operation before this one failed")))
            elif answered_bytes > MOST_ANSWERED_BYTES:
                results.append((False, UsageError(f"a batch reads at most {MOST_ANSWERED_BYTES} bytes; make several")))
            else:
                results.append(await self._one(caller, operation))
            has_failed = has_failed or not results[-1][0]
            answered_bytes += _size_of(results[-1][1])
        return results

    async def _one(self, caller: Caller, operation: object) -> tuple[bool, Any]:
        handler, arguments = _parsed(operation)
        try:
            return True, await handler(self, caller, *arguments)
        except MalformedMessage:
            raise
        except BadPath as error:
            raise MalformedMessage(str(error)) from None  # who asks has checked it
        except GuthiError as error:
            return False, error

    # ---- reading

    async def _stat(self, caller: Caller, path: str) -> Any:
        self._promise(caller.peer, path)
        return (await self._files.stat(path)).to_wire()

    def _promise(self, peer: NodeId, path: str, *, is_listing: bool = False) -> None:
        if peer != self._own:
            self._promises.promise(peer, path, self._files.sequence, is_listing=is_listing)

    async def _list(self, caller: Caller, path: str) -> Any:
        self._promise(caller.peer, path, is_listing=True)
        entries = await self._files.list(path)
        return [entries_to_wire(path, entries[:MOST_ENTRIES]), len(entries) > MOST_ENTRIES]

    async def _walk(self, _: Caller, path: str, after: str) -> Any:
        entries = await self._files.walk(path, after=after, limit=MOST_ENTRIES)
        return [entries_to_wire(path, entries), len(entries) == MOST_ENTRIES]

    async def _root(self, _: Caller, path: str) -> Any:
        return await self._files.root(path)

    async def _digests(self, caller: Caller, path: str, timestamp: int, first: int, count: int) -> Any:
        if not 0 <= count <= MOST_DIGESTS or first < 0:
            raise MalformedMessage(f"at most {MOST_DIGESTS} digests are told at a time")
        digests = await self._files.digests(path, timestamp, first, count)
        others = self._holders.others(path, timestamp, caller.peer)
        self._holders.note(path, timestamp, caller.peer)
        return [b"".join(digests), others]

    async def _fetch(self, caller: Caller, path: str) -> Any:
        for _ in range(MOST_TRIES):
            self._promise(caller.peer, path)
            entry = await self._files.stat(path)
            if entry.kind is not Kind.FILE or entry.size_bytes > CHUNK_BYTES:
                return [entry.to_wire(), None]
            try:
                timestamp = entry.version.timestamp
                data = await self._files.chunk(path, timestamp, 0) if entry.size_bytes else b""
            except FileChanged:
                continue
            return [entry.to_wire(), data]
        raise FileChanged(f"{path} is being written all the time; try again")

    async def _read(self, _: Caller, path: str, offset: int, size_bytes: int) -> Any:
        if not 0 <= size_bytes <= MOST_INLINE_BYTES or offset < 0:
            raise MalformedMessage(f"at most {MOST_INLINE_BYTES} bytes are read at a time")
        return await self._files.read(path, offset, size_bytes)

    # ---- writing

    async def _write(self, caller: Caller, path: str, data: bytes, base: Any, fence: Any) -> Any:
        known = Version.from_wire(base) if base is not None else None
        written = await self._files.write(path, data, writer=caller.name, base=known, fence=fence_of(fence))
        return written.to_wire()

    async def _append(self, caller: Caller, path: str, data: bytes, fence: Any) -> Any:
        return (await self._files.append(path, data, writer=caller.name, fence=fence_of(fence))).to_wire()

    async def _rename(self, caller: Caller, path: str, to: str, replace: bool, fence: Any) -> Any:
        goal, known = tree_path(to), fence_of(fence)
        entry = await self._files.rename(path, goal, writer=caller.name, replace=replace, fence=known)
        return entry.to_wire()

    async def _delete(self, caller: Caller, path: str, recursive: bool, fence: Any) -> None:
        await self._files.delete(path, writer=caller.name, recursive=recursive, fence=fence_of(fence))

    async def _mkdir(self, caller: Caller, path: str, parents: bool, fence: Any) -> Any:
        entry = await self._files.make_folder(path, writer=caller.name, parents=parents, fence=fence_of(fence))
        return entry.to_wire()


def _size_of(result: Any) -> int:
    """About how much memory a result takes, if that is much: bytes, with an entry or alone, or a listing."""
    if isinstance(result, bytes):
        return len(result)
    if isinstance(result, list) and len(result) == 2:
        return sum(map(_size_of, result))
    return len(result[1]) * ENTRY_BYTES if isinstance(result, list) and len(result) == 10 else 0


def fence_of(wire: object) -> Fence | None:
    """Read what a peer says; raises MalformedMessage."""
    match wire:
        case None:
            return None
        case [str(lock), int(number)] if len(lock) <= 1024 and 0 <= number < 2**63:
            return Fence(lock, number)
    raise MalformedMessage("a fence is a lock and a number")


def fence_to_wire(fence: Fence | None) -> list[Any] | None:
    """As `fence_of` reads it."""
    return [fence.lock, fence.number] if fence is not None else None


FENCE = (list, NoneType)
_OPERATIONS: Mapping[str, tuple[Handler, tuple[tuple[type, ...], ...]]] = MappingProxyType(
    {
        "stat": (Operations._stat, ()),
        "list": (Operations._list, ()),
        "walk": (Operations._walk, ((str,),)),
        "root": (Operations._root, ()),
        "digests": (Operations._digests, ((int,), (int,), (int,))),
        "fetch": (Operations._fetch, ()),
        "read": (Operations._read, ((int,), (int,))),
        "write": (Operations._write, ((bytes,), (list, NoneType), FENCE)),
        "append": (Operations._append, ((bytes,), FENCE)),
        "rename": (Operations._rename, ((str,), (bool,), FENCE)),
        "delete": (Operations._delete, ((bool,), FENCE)),
        "mkdir": (Operations._mkdir, ((bool,), FENCE)),
    }
)


def _parsed(operation: object) -> tuple[Handler, list[Any]]:
    """The handler and its arguments, the first of which is a path; raises MalformedMessage."""
    if not isinstance(operation, list) or len(operation) < 2 or type(operation[0]) is not str:
        raise MalformedMessage("an operation is a name, a path, and more")
    if operation[0] not in _OPERATIONS:
        raise MalformedMessage(f"there is no operation {operation[0]!r:.40}")
    handler, types = _OPERATIONS[operation[0]]
    _, path, *arguments = operation
    if len(arguments) != len(types) or any(type(each) not in kind for each, kind in zip(arguments, types, strict=True)):
        raise MalformedMessage(f"the operation {operation[0]} has other arguments")
    try:
        return handler, [tree_path(path), *arguments]
    except BadPath as error:
        raise MalformedMessage(str(error)) from None
