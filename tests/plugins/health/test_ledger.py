"""The pending-events queue as a machine, and its file: one holder at a time, fenced; nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from tests.figures.crowd import id_of

from guthi import NodeId
from guthi_health import EventState, EventTaken, PendingFull
from guthi_health.ledger import Event, Ledger
from guthi_health.store import Store

ALICE, BOB, CAROL = (id_of(number) for number in range(3))


def event(name: str = "e", holder: NodeId | None = ALICE, attempts: int = 3, value: bytes = b"begun") -> Event:
    state = EventState.HELD if holder is not None else EventState.FREE
    return Event(name.encode().ljust(16), "band", value, holder, int(holder is not None), attempts, True, state)


def ledger(*events: Event) -> Ledger:
    made = Ledger(100, 10_000)
    for each in events:
        made.keep(each)
    return made


def test_what_a_failed_node_had_goes_to_one_claimer_with_its_latest_state() -> None:
    one, other = event("one"), event("other", BOB)
    book = ledger(one, other)
    book.update(one.id, 1, ALICE, b"half done")
    assert book.claim("band", CAROL, 5.0) is None
    assert book.lost(ALICE, "alice failed") == [one]
    assert book.claim("other topic", CAROL, 5.0) is None
    assert book.claim("band", CAROL, 5.0) is one
    assert book.claim("band", BOB, 5.0) is None
    assert (one.state, one.holder, one.attempt, one.value) == (EventState.HELD, CAROL, 2, b"half done")
    assert one.reason == "alice failed"


def test_a_taker_that_dies_too_gives_it_back_until_the_attempts_are_used_up() -> None:
    one = event(attempts=3)
    book = ledger(one)
    for taker in (BOB, CAROL):
        book.lost(one.holder or ALICE, "failed")
        assert book.claim("band", taker, 0.0) is one
    book.lost(CAROL, "failed too")
    assert (one.state, one.attempt, one.reason) == (EventState.ABANDONED, 3, "failed too")
    assert book.claim("band", ALICE, 0.0) is None


def test_a_former_holder_is_fenced_off() -> None:
    one = event()
    book = ledger(one)
    book.lost(ALICE, "failed")
    book.claim("band", BOB, 0.0)
    for speak in (book.update, book.done):
        with pytest.raises(EventTaken, match="another node"):
            speak(one.id, 1, ALICE, b"old")
        with pytest.raises(EventTaken, match="another node"):
            speak(one.id, 1, BOB, b"wrong attempt")
    assert one.value == b"begun"
    book.done(one.id, 2, BOB, b"result")
    with pytest.raises(EventTaken, match="is done"):
        book.update(one.id, 2, BOB, b"after the end")
    assert (one.state, one.value) == (EventState.DONE, b"result")


def test_who_was_wrongly_thought_dead_goes_on_if_nobody_has_taken_it() -> None:
    one = event()
    book = ledger(one)
    book.lost(ALICE, "failed")
    book.update(one.id, 1, ALICE, b"still here")
    assert (one.state, one.attempt) == (EventState.HELD, 1)
    assert book.claim("band", BOB, 0.0) is None


def test_the_queue_is_bounded_in_events_and_bytes() -> None:
    book = Ledger(2, 100)
    first = event("1", value=bytes(60))
    book.keep(first)
    with pytest.raises(PendingFull, match="bytes"):
        book.keep(event("2", value=bytes(60)))
    with pytest.raises(PendingFull, match="bytes"):
        book.update(first.id, 1, ALICE, bytes(101))
    book.keep(event("3", value=bytes(40)))
    with pytest.raises(PendingFull, match="2 events"):
        book.keep(event("4", value=b""))
    book.drop(first.id)
    book.keep(event("5", value=bytes(60)))
    assert len(book) == 2


def test_a_bound_that_was_lowered_loses_nothing_that_was_kept() -> None:
    book = Ledger(1, 10)
    for name in ("1", "2"):
        book.restore(event(name, value=bytes(20)))
    assert len(book) == 2
    book.drop(event("1").id)
    book.drop(event("2").id)
    book.keep(event("3", value=bytes(10)))


def test_a_claim_that_nobody_was_told_of_is_no_attempt() -> None:
    one = event(attempts=2)
    book = ledger(one)
    book.lost(ALICE, "failed")
    book.claim("band", BOB, 0.0)
    book.unclaim(one)
    assert (one.state, one.attempt) == (EventState.FREE, 1)
    with pytest.raises(EventTaken):
        book.update(one.id, 1, BOB, b"it was refused")
    assert book.claim("band", CAROL, 0.0) is one
    assert book.done_by(one.id, 2, CAROL) is None
    book.done(one.id, 2, CAROL, b"result")
    assert book.done_by(one.id, 2, CAROL) is one
    assert book.done_by(one.id, 1, CAROL) is None and book.done_by(one.id, 2, BOB) is None


@pytest.mark.parametrize("seed", range(30))
def test_at_any_time_one_node_may_speak_for_an_event(seed: int) -> None:
    """Against a model: whoever was granted the newest attempt, until the end."""
    random, nodes = Random(seed), [ALICE, BOB, CAROL]
    book, one = Ledger(10, 10_000), event(attempts=6)
    book.keep(one)
    granted: list[NodeId] = [ALICE]
    for _ in range(60):
        node = random.choice(nodes)
        match random.randrange(4):
            case 0:
                book.lost(node, "failed")
            case 1:
                if book.claim("band", node, 0.0):
                    granted.append(node)
            case _:
                attempt = random.randint(1, len(granted))
                try:
                    book.update(one.id, attempt, node, b"x")
                except EventTaken:
                    continue
                assert attempt == len(granted) and granted[-1] == node
    assert one.attempt == len(granted) <= 6


def test_a_file_brings_back_what_was_put(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "pending.sqlite")
    first, second = event("1"), event("2", holder=None)
    for each in (first, second):
        store.put(each)
    first.value, first.attempt, first.holder, first.state = b"later", 2, BOB, EventState.DONE
    store.put(first)
    store.close()
    again = Store(tmp_path / "new" / "pending.sqlite")
    assert again.load() == [first, second]
    again.drop(first.id)
    assert again.load() == [second]
    again.close()


WRITER = """
import sys
from pathlib import Path
from guthi_health.store import Store
from tests.plugins.health.test_ledger import event
store = Store(Path(sys.argv[1]))
for number in range(100_000):
    store.put(event(str(number)))
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    file, root = tmp_path / "pending.sqlite", Path(__file__).parents[3]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True, cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    store = Store(file)
    found = {each.id.strip() for each in store.load()}
    store.close()
    assert {line.strip().encode() for line in acknowledged if line.endswith("\n")} <= found
