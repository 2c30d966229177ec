"""What is kept: the recent messages, within a time and a number of bytes."""

from __future__ import annotations

from tests.kernel.broadcast.test_arrivals import a_payload

from guthi.broadcast.store import OVERHEAD_BYTES, Store


def test_what_is_old_goes() -> None:
    store = Store(30.0, 1 << 20)
    assert store.deadline is None
    for sequence in (1, 2, 3):
        assert store.put(a_payload(sequence), 10.0 * sequence, is_relayed=True) == []
    assert store.deadline == 40.0
    assert store.expire(39.9) == []
    assert [id.sequence for id in store.expire(50.0)] == [1, 2]
    assert [kept.payload.id.sequence for kept in store] == [3]
    assert store.get(a_payload(1).id) is None and store.get(a_payload(3).id) is not None


def test_the_oldest_go_for_new_ones_but_never_the_newest() -> None:
    store = Store(30.0, 2000)
    store.put(a_payload(1, size_bytes=400), 0.0, is_relayed=True)
    store.put(a_payload(2, size_bytes=400), 0.0, is_relayed=True)
    assert [id.sequence for id in store.put(a_payload(3, size_bytes=400), 0.0, is_relayed=True)] == [1]
    assert [id.sequence for id in store.put(a_payload(4, size_bytes=50_000), 0.0, is_relayed=True)] == [2, 3]
    assert len(store) == 1 and store.size_bytes == 50_000 + OVERHEAD_BYTES
