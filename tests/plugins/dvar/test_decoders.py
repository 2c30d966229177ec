"""What is read of a peer's message: whatever is put in place of a part of it, it is read or refused as malformed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from guthi import MalformedMessage, NodeId
from guthi.broadcast.messages import MessageId, Note, Payload, decode, encode
from guthi_dvar.bodies import Write
from guthi_dvar.coherence import Equal
from guthi_dvar.coherent.ledger import Ledger
from guthi_dvar.coherent.messages import Entry, Prepared, Report, view_from_wire, view_to_wire
from guthi_dvar.coherent.operations import Asked, Compare, Put
from guthi_dvar.coherent.witnesses import Witness
from guthi_dvar.grid import Grid
from guthi_dvar.kinds import ARRAY, kind_of_type
from guthi_dvar.patches import Patch
from guthi_dvar.records import Coherence, Declaration, Record
from guthi_dvar.stamps import Stamp
from guthi_mutex import Fence, ViewId

NODE = NodeId(bytes(range(16)))
STAMP = Stamp(7, NODE, bytes(8))
DECLARATION = Declaration(kind_of_type(int | None), None, False, Coherence.COHERENT, 2)
RECORD = Record("x", STAMP, DECLARATION, ((0, STAMP),))
LEDGER = Ledger()
LEDGER.done(b"token", 1)

MESSAGES: list[tuple[Callable[[Any], Any], Any]] = [
    (Stamp.from_wire, STAMP.to_wire()),
    (view_from_wire, view_to_wire(ViewId(3, NODE))),
    (Declaration.from_wire, DECLARATION.to_wire()),
    (Declaration.from_wire, Declaration(ARRAY, Grid.of((4, 4), "f8", 2)).to_wire()),
    (Record.from_wire, RECORD.to_wire()),
    (Write.from_wire, Write("x", 0, 1).to_wire()),
    (Write.from_wire, Write("x", 0, Patch((1,), np.zeros(2))).to_wire()),
    (Write.from_wire, Write("x", 0, Patch(np.array([1, 5]), np.zeros(2))).to_wire()),
    (Prepared.from_wire, Prepared("x", STAMP, 0, STAMP, 1, STAMP).to_wire()),
    (Asked.from_wire, Asked(b"token", 1, Put([Write("x", 0, 1)], Fence("lock", 1))).to_wire()),
    (Asked.from_wire, Asked(b"token", None, Compare("x", Equal(1), 2)).to_wire()),
    (Witness.from_wire, Witness(NODE, b"ticket").to_wire()),
    (Report.from_wire, Report(RECORD, 1, 1, False, False, ((0, STAMP, True),), LEDGER, {"lock": 1}).to_wire()),
    (Entry.from_wire, Entry(RECORD, True, False, ((0, STAMP),), LEDGER, {"lock": 1}).to_wire()),
    (decode, encode(Payload(MessageId(NODE, 1, 2), 1, True, "topic", b"body"))),
    (decode, encode(Note({MessageId(NODE, 1, 2): 3}))),
]
STRANGE: list[Any] = [
    *(None, True, -1, 1 << 70, 0.5, float("nan"), "", "word", b"", bytes(16), [], [None], [[], []], {}, {"a": 1}),
    *(np.zeros(3), np.array(["value", "value"]), np.zeros((0, 2)), np.int64(1)),
]


def changed(wire: Any) -> Iterator[Any]:
    """The same with something strange in one place, or with one item more or less in a list."""
    yield from STRANGE
    if isinstance(wire, list):
        yield [*wire, None]
        yield wire[:-1]
        for place, item in enumerate(wire):
            yield from ([*wire[:place], other, *wire[place + 1 :]] for other in changed(item))


@pytest.mark.parametrize(("read", "wire"), MESSAGES)
def test_what_is_strange_is_read_or_refused(read: Callable[[Any], Any], wire: Any) -> None:
    read(wire)
    refused = 0
    for strange in changed(wire):
        try:
            read(strange)
        except MalformedMessage:
            refused += 1
    assert refused > len(STRANGE) // 2
