"""A file of this node that is written part by part, as the rest of the plugin sees it; on disk it is a `DraftFile`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guthi.api import Buffer
from guthi_gutfs.entries import Version, Written
from guthi_gutfs.exports.drafts import DraftFile
from guthi_mutex import Fence

if TYPE_CHECKING:
    from guthi_gutfs.exports.files import LocalFiles

__all__ = ["Draft"]


class Draft:
    """A file that is being written, to be seen nowhere before `commit`. Leave none without `commit` or `abort`."""

    def __init__(self, files: LocalFiles, path: str, file: DraftFile) -> None:
        self._files, self._path, self.file = files, path, file

    @property
    def size_bytes(self) -> int:
        """What has been written."""
        return self.file.size_bytes

    async def write(self, data: Buffer) -> None:
        """Write what comes next."""
        await self._files.to_draft(self._path, self._files.write_draft, self.file, self._path, data)

    async def commit(self, *, writer: str, base: Version | None = None, fence: Fence | None = None) -> Written:
        """Let it be the file, as of `LocalFiles.write`; whatever comes of it, the draft is gone afterwards."""
        try:
            return await self._files.commit(self.file, self._path, writer, base, fence)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Leave nothing of it."""
        await self._files.discard(self.file, self._path)
