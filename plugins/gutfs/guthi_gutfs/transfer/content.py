"""The content of one version of a file, wherever it is: read from this node's disk, or fetched."""

from __future__ import annotations

from collections.abc import AsyncIterator

from guthi_gutfs.chunks import chunk_count
from guthi_gutfs.entries import Entry
from guthi_gutfs.exports.files import LocalFiles
from guthi_gutfs.transfer.fetching import Fetcher, Source

__all__ = ["Content"]


class Content:
    """The chunks of one version; `source` is None for a file of this node itself."""

    def __init__(self, entry: Entry, files: LocalFiles, fetcher: Fetcher, source: Source | None) -> None:
        self.entry = entry
        self._files, self._fetcher, self._source = files, fetcher, source

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return chunk_count(self.entry.size_bytes)

    async def chunks(self, first: int = 0, count: int | None = None) -> AsyncIterator[bytes]:
        """Chunks in order. Raises FileChanged, SourceGone."""
        some = min(self.count - first, self.count if count is None else count)
        if self._source is not None:
            async for data in self._fetcher.chunks(self._source, first, some):
                yield data
            return
        for index in range(first, first + some):
            yield await self._files.chunk(self.entry.path, self.entry.version.timestamp, index)
