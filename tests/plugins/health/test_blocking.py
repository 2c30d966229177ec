"""Health from plain threads: pending events without async, and functions that hang in threads of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import guthi
from guthi_health import HEALTH, EventAbandoned, EventState, Taken

WAIT_S = 20.0


def connected(name: str, *join: str, role: str = "peer") -> guthi.BlockingNode:
    return guthi.connect(join, plugins=["health"], name=name, role=role)


@pytest.fixture
def alice() -> Iterator[guthi.BlockingNode]:
    with connected("alice") as node:
        yield node


def test_events_are_kept_and_taken_without_async(alice: guthi.BlockingNode) -> None:
    with connected("bob", str(alice.address)) as bob:
        threads: list[str] = []

        @bob.require(HEALTH).pending.take("squares", slots=2)  # type: ignore[untyped-decorator]
        def squares(event: Taken) -> list[int]:
            done = list(event.value)
            while len(done) < 5:
                done.append(len(done) ** 2)
                assert event.update_and_wait(done)
            threads.append(threading.current_thread().name)
            return done

        pending = alice.require(HEALTH).pending
        event = pending.keep("squares", [0])
        assert event.outcome() == [0, 1, 4, 9, 16]
        assert (event.state, event.attempt, event.value) == (EventState.DONE, 1, [0, 1, 4, 9, 16])
        (kept,) = pending.kept("squares")
        assert kept.id == event.id
        kept.drop()
        assert pending.kept() == [] and threads[0].startswith("bob-take-squares")


def test_the_keeper_speaks_for_a_holder(alice: guthi.BlockingNode) -> None:
    with connected("bob", str(alice.address)):
        pending = alice.require(HEALTH).pending
        event = pending.keep("x", 1, for_node="bob", attempts=1)
        event.update(2)
        assert (event.state, event.value) == (EventState.HELD, 2)
        event.release("bob is busy")
        with pytest.raises(EventAbandoned, match="lastly bob is busy"):
            event.outcome()
        other = pending.keep("y", 1, for_node="bob")
        other.finish("done")
        assert other.outcome() == "done"


def test_waiting_on_the_nodes_own_thread_is_refused(alice: guthi.BlockingNode) -> None:
    pending = alice.require(HEALTH).pending

    @pending.take("x")  # type: ignore[untyped-decorator]
    async def work(event: Taken) -> bool:
        return event.update_and_wait(1)

    with pytest.raises(EventAbandoned, match="UsageError: a loop runs in this thread"):
        pending.keep("x", 0, attempts=1).outcome()


HANGS = """
import sys, threading, time
import guthi
from guthi_health import HEALTH

alice = guthi.connect(plugins=["health"], name="alice", role="peer")
health, begun = alice.require(HEALTH), [threading.Event(), threading.Event()]

def hang(which):
    begun[which].set()
    threading.Event().wait()

health.on_failure(None, lambda member: hang(0))
health.pending.take("x")(lambda event: hang(1))
health.pending.keep("x", 0)
bob = guthi.connect([str(alice.address)], plugins=["health"], name="bob", role="peer")
bob_id = bob.id

async def accuse():
    alice._node.accuse(bob_id, guthi.MemberState.FAILED, path="direct", evidence="a test")

alice._thread.wait_for(accuse())
for each in begun:
    assert each.wait(20)
bob.close()
alice.close()
print("closed", flush=True)
"""


def test_functions_that_hang_do_not_keep_the_process_from_ending() -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGS], timeout=3 * WAIT_S, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr
    assert time.monotonic() - started < 2 * WAIT_S
