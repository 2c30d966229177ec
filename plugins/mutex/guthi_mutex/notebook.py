"""Where a node keeps what it must not forget (see `memory`): `mutex.cbor` in its `data_dir`, or nowhere.

Without a `data_dir` a restarted node has another id. Then it is another node, which has voted on nothing.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from guthi import ConfigError, MalformedMessage
from guthi.values.codec import Codec
from guthi_mutex.memory import Memory

__all__ = ["Notebook"]

FILE = "mutex.cbor"


class Notebook:
    """The file of one node."""

    def __init__(self, data_dir: Path | None, codec: Codec) -> None:
        self._path = data_dir / FILE if data_dir is not None else None
        self._codec = codec

    def begin(self) -> Memory:
        """What is remembered, for a new life; raises ConfigError when the file cannot be read."""
        if self._path is None or not self._path.exists():
            memory = Memory(life=0)
        else:
            memory = self._read(self._path)
            memory = replace(memory, life=memory.life + 1)
        self.write(memory)
        return memory

    def _read(self, path: Path) -> Memory:
        try:
            return Memory.from_wire(self._codec.decode(path.read_bytes()))
        except (OSError, MalformedMessage) as error:
            raise ConfigError(
                f"{path} cannot be read: {error}; it says how this node voted on who decides about locks, so restore "
                "it, or remove it and let the node have another identity"
            ) from error

    def write(self, memory: Memory) -> None:
        """Keep this; it is on the disk when the call returns."""
        if self._path is None:
            return
        new = self._path.with_suffix(".new")
        with open(new, "wb") as file:
            for part in self._codec.encode(memory.to_wire()):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._path)
        _sync_folder(self._path.parent)


def _sync_folder(folder: Path) -> None:
    """That a file has another name is on the disk when its folder is; Windows has no such call."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
