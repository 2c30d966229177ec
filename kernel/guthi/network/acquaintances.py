"""Decides which members' addresses a node keeps on disk, so that it finds its network again after a crash.

A node that others joined has no `join` list to come back by: it would wait until one of them happens to speak to it. So
the file `peers` in its `data_dir` has the addresses of up to COUNT members, one a line. If `join` names nobody else,
they are said hello to at the next start as those of a join list are, but without waiting for an answer. Those that
follow this node in the order of ids are taken, so that not all of a large network remember the same few. Whoever failed
is kept until others can take its place, for it may be this node that is cut off; whoever left is not kept. What the
file said before fills the lines that are free. Losing the file loses nothing but time.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from guthi.api import Address, NodeId
from guthi.errors import ConfigError
from guthi.membership.members import Member, MemberEvent, MemberLeft, Role

__all__ = ["Acquaintances"]

COUNT = 8
FILE_NAME = "peers"
_MAX_BYTES = 4096

log = logging.getLogger("guthi.network")


class Acquaintances:
    """Those of the node `me`; `folder` is its data_dir, None: none are kept.

    `present` gives all others that are present, sorted by id, and `address_of` where one of them is reached. `former`
    is what the file said at the start.
    """

    def __init__(
        self,
        folder: Path | None,
        me: NodeId,
        present: Callable[[], Sequence[Member]],
        address_of: Callable[[Member], Address],
    ) -> None:
        self._path = folder / FILE_NAME if folder is not None else None
        self._me, self._present, self._address_of = me, present, address_of
        self._kept: dict[NodeId, Address] = {}
        self._is_full = False
        self.former = self._written = _read(self._path) if self._path is not None else ()

    def member_changed(self, event: MemberEvent) -> None:
        """It came, moved or went."""
        member = event.member
        if self._path is None:
            return
        is_welcome = member.is_present and not self._is_full
        if member.id in self._kept or is_welcome:
            if isinstance(event, MemberLeft):
                del self._kept[member.id]
            self._choose()
            self._write(self._path)

    def _choose(self) -> None:
        others = [member for member in self._present() if member.role is Role.PEER]
        after_me = bisect(others, self._me, key=lambda member: member.id)
        reached = {member.id: member for member in (*others[after_me:], *others[:after_me])}
        stay = [id for id in self._kept if id in reached]
        new = [id for id in reached if id not in self._kept]
        lost = [id for id in self._kept if id not in reached]
        self._is_full = len(stay) + len(new) >= COUNT
        self._kept = {
            id: self._address_of(reached[id]) if id in reached else self._kept[id]
            for id in (*stay, *new, *lost)[:COUNT]
        }

    def _write(self, path: Path) -> None:
        addresses = tuple(dict.fromkeys((*self._kept.values(), *self.former)))[:COUNT]
        if addresses == self._written:
            return
        self._written = addresses
        draft = path.with_name(f"{path.name}.new")
        try:
            draft.write_text("".join(f"{address}\n" for address in addresses), encoding="utf-8")
            os.replace(draft, path)
        except OSError as error:
            log.warning("%s cannot be written: %s; after a crash this node is found later", path, error.strerror)


def _read(path: Path) -> tuple[Address, ...]:
    """The addresses in the file; lines that hold none are passed over, for nothing depends on them."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    return tuple(address for line in lines[:COUNT] if (address := _address(line)) is not None)


def _address(line: str) -> Address | None:
    try:
        address = Address.parse(line)
        ip_address(address.host)
    except (ConfigError, ValueError):
        return None
    return address
