"""Decides whether what somebody wants to write fits the variable, and which version it becomes."""

from __future__ import annotations

from collections.abc import Iterable

from guthi import MalformedMessage, NodeId
from guthi_dvar.bodies import Write, value_of
from guthi_dvar.coherence import AtVersion
from guthi_dvar.coherent.items import Item, zeros
from guthi_dvar.coherent.messages import Prepared, version
from guthi_dvar.coherent.operations import Compare
from guthi_dvar.coherent.shelf import Shelf
from guthi_dvar.errors import UnknownVariable, ValueUnavailable
from guthi_dvar.holding import Holding
from guthi_dvar.patches import Patch
from guthi_dvar.same import is_same
from guthi_dvar.table import Copy
from guthi_mutex import Fence, StaleFence

__all__ = ["Checker"]


class Checker:
    """What the owner of variables asks of its own shelf before it writes; nothing is changed here."""

    def __init__(self, holding: Holding, shelf: Shelf) -> None:
        self._holding, self._shelf = holding, shelf

    def item(self, name: str) -> Item:
        """What is here of a variable; raises UnknownVariable."""
        item = self._shelf.item(name)
        if item is None:
            raise UnknownVariable(f"there is no variable {name!r:.80} any more")
        return item

    def checked(self, write: Write) -> Write:
        """The write, if it fits; raises MalformedMessage, ValueUnavailable for a part of a chunk that is lost."""
        item = self.item(write.name)
        declaration = item.variable.declaration
        if declaration is None or declaration.is_constant:
            raise MalformedMessage("a constant is not written")
        if not isinstance(write.change, Patch):
            return Write(write.name, write.index, value_of(declaration, write.index, write.change))
        if declaration.grid is None or not 0 <= write.index < declaration.count:
            raise MalformedMessage("a patch is of a chunk of an array")
        self.latest(item, write.index)
        return write

    def latest(self, item: Item, index: int) -> Copy:
        """The newest version; raises ValueUnavailable."""
        copy = item.latest(index) or (zeros(item.variable, index) if not item.is_damaged else None)
        if copy is None:
            raise ValueUnavailable(
                f"all nodes that kept {item.variable.name!r} failed at once, and its value is lost; set a new one"
            )
        return copy

    def see_to_room(self, growths: Iterable[tuple[int, int]]) -> None:
        """What an owner, unlike others, cannot leave to somebody else; raises TableFull."""
        found = list(growths)
        self._holding.see_to_room(sum(count for count, _ in found), sum(size_bytes for _, size_bytes in found))

    def prepared(self, epoch: int, token: bytes, write: Write) -> Prepared:
        """The version that a write makes, in that epoch."""
        item = self.item(write.name)
        newest = item.variable.newest(write.index)
        stamp = version(newest.number + 1, NodeId(token[: NodeId.SIZE]), epoch)
        base = self.latest(item, write.index).stamp if isinstance(write.change, Patch) else None
        return Prepared(write.name, item.variable.birth, write.index, stamp, write.change, base)

    def is_as_expected(self, operation: Compare) -> bool:
        """Whether a comparison holds; raises MalformedMessage, ValueUnavailable."""
        item = self.item(operation.name)
        declaration, latest = item.variable.declaration, self.latest(item, 0)
        if declaration is None or declaration.is_constant or declaration.grid is not None:
            raise MalformedMessage("what is compared is a variable that can be written")
        value_of(declaration, 0, operation.value)
        if isinstance(operation.expected, AtVersion):
            return latest.stamp == operation.expected.stamp
        return is_same(latest.value, value_of(declaration, 0, operation.expected.value))

    def check_fence(self, names: Iterable[str], fence: Fence | None) -> None:
        """Raises StaleFence where a variable was written under a newer one."""
        for name in names if fence is not None else ():
            assert fence is not None
            newest = self.item(name).fences.get(fence.lock, 0)
            if fence.number < newest:
                raise StaleFence(
                    f"{name!r} was written under fence {newest} of the lock {fence.lock!r}, and this is {fence.number}"
                )
