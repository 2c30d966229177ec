"""Alarms against a model: never late, and each key at most once."""

from hypothesis import given
from hypothesis import strategies as st

from guthi.transport.alarms import Alarms

KEYS = st.integers(0, 5)
MOMENTS = st.integers(0, 50).map(float)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, MOMENTS),
        st.tuples(st.just("clear"), KEYS, st.just(0.0)),
        st.tuples(st.just("due"), st.just(0), MOMENTS),
    )
)


@given(STEPS)
def test_they_ring_when_a_plain_table_says_so(steps: list[tuple[str, int, float]]) -> None:
    alarms: Alarms[int] = Alarms()
    model: dict[int, float] = {}
    now = 0.0
    for step, key, moment in steps:
        if step == "set":
            alarms.set(key, moment)
            model[key] = moment
        elif step == "clear":
            alarms.clear(key)
            model.pop(key, None)
        else:
            now = max(now, moment)
            due = sorted(key for key, when in model.items() if when <= now)
            assert sorted(alarms.due(now)) == due
            for key in due:
                del model[key]
        assert len(alarms) == len(model)
        if model:
            assert alarms.first is not None and alarms.first <= min(model.values())
        else:
            assert alarms.first is None


def test_without_keys_there_is_no_first() -> None:
    alarms: Alarms[str] = Alarms()
    assert alarms.first is None
    alarms.set("a", 5.0)
    alarms.set("a", 9.0)
    alarms.clear("a")
    assert alarms.first is None and alarms.due(100.0) == []


def test_moving_one_moment_often_does_not_grow_the_heap() -> None:
    alarms: Alarms[str] = Alarms()
    for moment in range(10_000):
        alarms.set("a", float(moment))
        assert alarms.due(moment - 1.0) == []
    assert len(alarms._heap) < 10


def test_what_is_cleared_does_not_stay() -> None:
    alarms: Alarms[int] = Alarms()
    alarms.set(-1, 0.0)  # an earlier moment, so that the others never come to the top
    for key in range(10_000):
        alarms.set(key, 30.0)
        alarms.clear(key)
    assert len(alarms._heap) < 100
    assert alarms.due(100.0) == [-1]
