"""Fault schedules: their text, their slips, what they do, and that what a seed draws is whole again at its end."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi.errors import UsageError
from guthi.testing import Fault, Power, Schedule, World, simulated
from guthi.testing.swarm import draw

NAMES = ["alice", "bob", "carol", "dave", "erin"]
ZONES = {"alice": "attic", "bob": "attic", "carol": "cellar", "dave": "", "erin": ""}

names = st.sampled_from(NAMES)
groups = st.lists(names, min_size=1, unique=True).map(",".join) | st.sampled_from(
    ["*", "zone:attic", "bob,zone:cellar"]
)
moments = st.floats(0, 1e6, allow_nan=False)
a_fault = st.one_of(
    st.builds(
        lambda at, verb, name: Fault(at, verb, (name,)),
        moments,
        st.sampled_from(["crash", "wipe", "restart", "pause", "resume", "clog", "unclog"]),
        names,
    ),
    st.builds(
        lambda at, verb, *two: Fault(at, verb, two), moments, st.sampled_from(["cut", "oneway", "mend"]), groups, groups
    ),
    st.builds(lambda at: Fault(at, "heal"), moments),
    st.builds(lambda at, name, s: Fault(at, "slow", (name, str(s))), moments, names, st.floats(0, 10)),
    st.builds(lambda at, name, s: Fault(at, "skew", (name, str(s))), moments, names, st.floats(-1e6, 1e6)),
    st.builds(lambda at, name, r: Fault(at, "rate", (name, str(r))), moments, names, st.floats(0.1, 10)),
)


@given(st.lists(a_fault, max_size=12))
def test_what_is_printed_is_what_was_played(faults):
    schedule = Schedule(faults)
    again = Schedule.parse(str(schedule))
    assert again.faults == schedule.faults
    assert str(again) == str(schedule)
    schedule.check(ZONES)


@given(st.text(max_size=40))
def test_any_text_is_a_schedule_or_a_slip(text):
    try:
        Schedule.parse(text)
    except UsageError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crash bob", "no fault; write a moment"),
        ("3s", "no fault; write a moment"),
        ("-3s crash bob", "no fault; write a moment"),
        ("nans crash bob", "no fault; write a moment"),
        ("3s crush bob", "there is no fault 'crush'; there are crash,"),
        ("3s crash", "crash takes a name"),
        ("3s crash alice bob", "crash takes a name"),
        ("3s crash alice,bob", "crash takes a name"),
        ("3s cut alice", "cut takes names with commas and names with commas"),
        ("3s heal bob", "heal takes nothing more"),
        ("3s slow bob -1", "slow takes a name and seconds, 0 or more"),
        ("3s slow bob nan", "slow takes a name and seconds"),
        ("3s rate bob 0", "rate takes a name and a rate from 0.1 to 10"),
        ("3s skew bob inf", "skew takes a name and seconds"),
        ("3s skew bob soon", "skew takes a name and seconds"),
    ],
)
def test_a_slip_says_what_would_be_good(text, message):
    with pytest.raises(UsageError) as caught:
        Schedule.parse(f"1s crash bob; {text}")
    assert message in str(caught.value)


def test_units_and_order():
    schedule = Schedule.parse("1m heal\n2s crash bob; 500ms pause alice; 3 resume alice")
    assert str(schedule) == "0.5s pause alice; 2s crash bob; 3s resume alice; 60s heal"


@pytest.mark.parametrize("text", ["1s crash zoe", "1s cut alice zoe", "1s cut alice zone:moon", "1s cut zoe *"])
def test_strangers_are_named(text):
    with pytest.raises(UsageError, match=r"there is no node '(zoe|zone:moon)'; there are alice, bob"):
        Schedule.parse(text).check(ZONES)


def test_a_schedule_for_strangers_does_not_begin():
    async def scenario(world: World) -> None:
        world.add("alice")
        with pytest.raises(UsageError, match="zoe"):
            world.play("1s crash zoe")

    World().run(scenario)


@simulated
async def test_every_fault_does_what_the_table_says(world):
    for name, zone in ZONES.items():
        world.add(name, node={"zone": zone}, join=["alice"] if name != "alice" else [])
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    await alice.start()
    await bob.start()
    first = bob.node.id

    async def play(text: str) -> None:
        await world.play(f"0s {text}")
        await world.sleep(1)

    await play("crash bob")
    assert bob.is_down and bob.machine.power is Power.OFF
    await play("restart bob")
    assert bob.runs and bob.node.id == first
    await play("restart bob")
    assert bob.node.id == first
    await play("wipe bob")
    await play("restart bob")
    assert bob.node.id != first
    await play("pause bob")
    assert bob.machine.power is Power.PAUSED
    await play("resume bob")
    assert bob.machine.power is Power.ON
    await play("slow bob 0.01")
    assert bob.machine.callback_s == 0.01
    await play("slow bob 0")
    wall = bob.machine.wall_time_s() - world.now
    await play("skew bob -5.5")
    assert bob.machine.wall_time_s() - world.now == pytest.approx(wall - 5.5)
    await play("rate bob 1.5")
    assert bob.machine.clock.rate == 1.5


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("cut alice bob", {"alice>bob", "bob>alice"}),
        ("oneway alice bob,dave", {"alice>bob", "alice>dave"}),
        ("oneway zone:attic carol", {"alice>carol", "bob>carol"}),
        ("oneway * zone:attic", {f"{one}>{other}" for one in ["carol", "dave", "erin"] for other in ["alice", "bob"]}),
        ("oneway erin *", {f"erin>{other}" for other in NAMES if other != "erin"}),
    ],
)
def test_groups_are_names_zones_and_the_others(text, cut):
    async def scenario(world: World) -> None:
        for name, zone in ZONES.items():
            world.add(name, node={"zone": zone})
        await world.play(f"0s {text}")
        assert {f"{source}>{to}" for source, to in world.network._cut} == cut
        await world.play(f"0s mend {' '.join(text.split()[1:])}")
        assert not world.network._cut

    World().run(scenario)


@given(st.integers(0, 2**32), st.integers(0, 7), st.floats(0.1, 1e4), st.booleans())
def test_what_a_seed_draws_is_whole_again_at_its_end(seed, count, seconds, drift):
    names = [f"n{number}" for number in range(count)]
    schedule = draw(Random(seed), names, seconds, spare=names[:1], drift=drift)
    assert Schedule.parse(str(schedule)).faults == schedule.faults
    bad: dict[str, set[str]] = {"down": set(), "paused": set(), "clogged": set(), "cut": set()}
    slow, rate, skew = dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.0)
    for fault in schedule.faults:
        assert fault.at <= seconds
        name = fault.arguments[0]
        match fault.verb:
            case "crash" | "wipe":
                bad["down"].add(name)
                bad["paused"].discard(name)
            case "restart":
                bad["down"].discard(name)
            case "pause":
                if name not in bad["down"]:
                    bad["paused"].add(name)
            case "resume":
                bad["paused"].discard(name)
            case "clog":
                bad["clogged"].add(name)
            case "unclog":
                bad["clogged"].discard(name)
            case "cut" | "oneway":
                bad["cut"].add(" ".join(fault.arguments))
            case "mend":
                bad["cut"].discard(" ".join(fault.arguments))
            case "slow":
                slow[name] = float(fault.arguments[1])
            case "rate":
                rate[name] = float(fault.arguments[1])
            case "skew":
                skew[name] += float(fault.arguments[1])
        out = bad["down"] | bad["paused"]
        assert len(out) <= max(1, (count - 1) // 2) and names[0] not in out
    assert not any(bad.values())
    assert set(slow.values()) <= {0.0} and set(rate.values()) <= {1.0}
    assert all(abs(jump) < 1e-9 for jump in skew.values())


def test_seeds_use_differing_kinds_of_fault():
    kinds = {frozenset(fault.verb for fault in draw(Random(seed), NAMES, 10).faults) for seed in range(100)}
    assert len(kinds) > 20
    assert {"crash", "wipe", "pause", "cut", "oneway", "clog", "slow", "skew"} <= set().union(*kinds)
