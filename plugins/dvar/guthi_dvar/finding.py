"""Decides what becomes of a name that is not known here: it may have been created a moment ago, on another node."""

from __future__ import annotations

from bisect import bisect
from difflib import get_close_matches

from guthi_dvar.errors import UnknownVariable
from guthi_dvar.holding import Holding
from guthi_dvar.records import is_name
from guthi_dvar.syncing import Syncer
from guthi_dvar.table import Variable

__all__ = ["Finder"]

NEAR = 100
"""Names on either side, by the alphabet, among which the one that was meant is looked for: all would take seconds."""


class Finder:
    """Finds variables by their names."""

    def __init__(self, holding: Holding, syncer: Syncer) -> None:
        self._holding, self._syncer = holding, syncer

    async def synced(self) -> None:
        """Wait until this node knows what the network knew when it joined."""
        await self._syncer.done_once.wait()

    async def find(self, name: str) -> Variable:
        """The variable; raises UnknownVariable.

        Those who would know of it first are asked if it is unknown here, or deleted: it may have been created again.
        """
        table = self._holding.table
        variable = table.get(name)
        if variable is None and not (isinstance(name, str) and is_name(name)):
            raise UnknownVariable(f"a variable has a name of 1 to 255 bytes, not {name!r:.80}")
        if variable is None:
            await self._syncer.done_once.wait()
            if table.get(name) is None:
                await self._syncer.find(name)
            variable = table.get(name)
        if variable is None:
            names = table.names()
            place = bisect(names, name)
            close = get_close_matches(name, names[max(place - NEAR, 0) : place + NEAR], n=1)
            mend = f"did you mean {close[0]!r}?" if close else "create it first; names() has those that there are"
            raise UnknownVariable(f"there is no variable {name!r:.80}; {mend}")
        return variable
