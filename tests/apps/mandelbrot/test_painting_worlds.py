"""In simulated worlds: whoever leads a picture may be lost, cut off or slow, and the picture is that of one machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guthi.testing import Link, World, simulated
from guthi_dvar import DVAR
from guthi_mandelbrot import Region, View, render
from guthi_mandelbrot.canvas import Canvas, PictureFailed
from guthi_mandelbrot.contribution import Contributor, contributions, shares
from guthi_mandelbrot.job import Job, job_name, view_numbers
from guthi_mandelbrot.leading import PAINT
from guthi_mandelbrot.painting import BEGIN
from guthi_rpc import RPC, current_call

NAMES = ["alice", "bob", "carol", "dave"]
VIEW = View(Region(-2.0, 0.6, -1.25, 1.25), 32, 60, 60)
BANDS = 30
ROUGH = Link(latency_s=0.001, jitter_s=0.004, loss=0.03, duplicate=0.03, reorder=0.05)
TABLES: dict[str, Any] = {
    "rpc": {"threads": 1},
    "health": {"detector": "swim"},
    "dvar": {"sync_interval": "2s"},
    "transport": {"keepalive": "500ms", "timeout": "2s", "handshake_timeout": "2s"},
}


async def start(world: World, band_s: float = 0.3) -> None:
    """Nodes that need so long for a band."""
    for name in NAMES:
        await world.start(name, plugins=["rpc", "health", "dvar", "mandelbrot"], join=NAMES[:1], **TABLES)
        world.nodes[name].machine.call_s = band_s
    await world.until(world.is_connected)
    await rpc(world, "alice").available(PAINT, nodes=len(NAMES), timeout=20)


def rpc(world: World, name: str) -> Any:
    return world.nodes[name].node.require(RPC)


async def canvas(world: World, name: str) -> Canvas:
    return await Canvas.open(world.nodes[name].node.require(DVAR), "p")


async def begin(world: World, initiator: str) -> None:
    await rpc(world, initiator).call(BEGIN, "p", *view_numbers(VIEW), BANDS, on=initiator)


async def bands_there(world: World, name: str) -> int:
    seen = await canvas(world, name)
    return len(seen.bands) - len(await seen.missing(seen.bands))


async def until_bands(world: World, name: str, count: int) -> None:
    while await bands_there(world, name) < count:
        await world.sleep(0.1)


async def finished(world: World, name: str, within: float = 120) -> Job:
    """The job when this node knows that the picture is finished, and sees all of it."""
    by = world.now + within
    while not (job := await (await canvas(world, name)).job()).is_finished:
        assert world.now < by, f"{name} has {await bands_there(world, name)} bands, and {job}"
        await world.sleep(0.2)
    times = np.zeros((VIEW.height, VIEW.width), np.uint32)

    def fill(band: Any, values: Any) -> None:
        times[band[0] : band[0] + band[1]] = values

    await (await canvas(world, name)).follow(fill)
    assert np.array_equal(times, render(VIEW))
    return job


def names_of(job: Job) -> list[str]:
    return [name for _, name in job.leaders]


@simulated
async def test_an_undisturbed_picture_is_computed_once_and_shared_out(world: World) -> None:
    await start(world)
    await begin(world, "bob")
    job = await finished(world, "dave")
    assert names_of(job) == ["bob"]
    found = await contributions(world.nodes["dave"].node.require(DVAR), "p")
    assert sum(len(each.done) for each in found) == BANDS
    told = shares(found)
    assert [each.node for each in told] == NAMES
    assert sum(each.bands for each in told) == BANDS
    assert all(each.bands > 3 and not each.taken_over for each in told)


@pytest.mark.guthi_seeds(8)
@simulated
async def test_when_the_leader_dies_the_lowest_id_goes_on(world: World) -> None:
    world.network.set_link(ROUGH)
    await start(world)
    initiator = world.random.choice(NAMES)
    rest = sorted((world.nodes[name].node.id, name) for name in NAMES if name != initiator)
    await begin(world, initiator)
    await until_bands(world, rest[0][1], world.random.randint(1, 20))
    world.nodes[initiator].crash()
    for _, name in rest:
        assert names_of(await finished(world, name)) == [initiator, rest[0][1]]
    found = await contributions(world.nodes[rest[0][1]].node.require(DVAR), "p")
    # Computed twice is at most what each had in hand, or was still writing, when the leader died.
    assert BANDS <= sum(len(each.done) for each in found) <= BANDS + 2 * len(NAMES)
    assert sum(each.bands for each in shares(found)) == BANDS


@pytest.mark.guthi_seeds(6)
@simulated
async def test_one_leader_after_the_other_dies(world: World) -> None:
    world.network.set_link(ROUGH)
    await start(world, band_s=0.6)
    left = sorted(NAMES, key=lambda name: world.nodes[name].node.id)
    initiator = left.pop(world.random.randrange(len(left)))
    led = [initiator]
    await begin(world, initiator)
    await until_bands(world, left[-1], 3)
    world.nodes[initiator].crash()
    for _ in range(2):
        await world.sleep(world.random.uniform(0.0, 4.0))  # it may be at work already, or not know yet
        led.append(left.pop(0))
        world.nodes[led[-1]].crash()
    job = await finished(world, left[0])
    assert names_of(job)[0] == initiator
    assert names_of(job)[-1] == left[0]


@pytest.mark.guthi_seeds(6)
@simulated
async def test_two_that_lead_at_a_time_do_no_harm(world: World) -> None:
    """The leader is cut off with one other node: both sides finish the picture, and agree when they meet again."""
    await start(world)
    await begin(world, "alice")
    await until_bands(world, "dave", 4)
    world.network.partition(["alice", "bob"], ["carol", "dave"])
    await world.sleep(world.random.uniform(1.0, 12.0))
    world.network.heal()
    await world.until(world.is_connected)
    for name in NAMES:
        await finished(world, name)


@simulated
async def test_a_leader_that_starts_again_leads_again(world: World) -> None:
    await start(world)
    await begin(world, "alice")
    await until_bands(world, "bob", 5)
    world.nodes["alice"].crash()
    await world.nodes["alice"].start_until_joined()  # before anybody has missed it
    assert set(names_of(await finished(world, "bob"))) <= {"alice", "bob", "carol", "dave"}
    await finished(world, "alice")


@simulated
async def test_a_picture_is_begun_once(world: World) -> None:
    await start(world)
    await begin(world, "alice")
    await begin(world, "bob")
    assert names_of(await finished(world, "carol")) == ["alice"]


@simulated
async def test_a_deleted_picture_is_led_no_more_and_can_be_begun_anew(world: World) -> None:
    await start(world)
    await begin(world, "alice")
    await until_bands(world, "bob", 5)
    await (await canvas(world, "carol")).delete()
    await world.sleep(5.0)
    assert not rpc(world, "alice").in_flight()[1]
    await begin(world, "dave")
    assert names_of(await finished(world, "bob")) == ["dave"]
    found = await contributions(world.nodes["bob"].node.require(DVAR), "p")
    assert BANDS <= sum(len(each.done) for each in found) <= BANDS + len(NAMES)


@simulated
async def test_a_leader_that_leaves_is_followed_at_once(world: World) -> None:
    await start(world)
    await begin(world, "alice")
    await until_bands(world, "bob", 5)
    await world.nodes["alice"].stop()
    await world.sleep(0.5)
    assert len((await (await canvas(world, "bob")).job()).leaders) == 2
    await finished(world, "bob")


@pytest.mark.guthi_seeds(4)
@simulated
async def test_what_two_lost_nodes_were_in_the_middle_of_goes_on(world: World) -> None:
    """The one computed a band for the other; the keeper of its checkpoints lives."""
    await start(world, band_s=5.0)
    await begin(world, "alice")
    last = (VIEW.height - VIEW.height // BANDS, VIEW.height // BANDS)
    marked = render(VIEW)[last[0] : last[0] + 1] + np.uint32(1)  # so that it can be told from what would be computed

    async def half_a_band() -> None:
        current_call().checkpoint(marked)
        await world.sleep(1000)

    rpc(world, "bob").register(half_a_band)
    await rpc(world, "alice").available("half_a_band", timeout=5)
    call = rpc(world, "alice").submit("half_a_band", on="bob")
    bob = world.nodes["bob"].node
    Contributor(bob, bob.require(DVAR), "p").begun(last[0], call.id)
    await world.sleep(1.0)
    world.nodes["alice"].crash()
    world.nodes["bob"].crash()
    call.cancel()
    while await (await canvas(world, "carol")).read(last) is None:
        await world.sleep(0.5)
    values = await (await canvas(world, "carol")).read(last)
    assert values is not None
    assert np.array_equal(values[:1], marked)
    assert np.array_equal(values[1:], render(VIEW)[last[0] + 1 :])
    told = shares(await contributions(world.nodes["carol"].node.require(DVAR), "p"))
    assert sum(each.resumed_rows for each in told) == 1
    assert sum(each.taken_over.get("bob", 0) for each in told) == 1


@simulated
async def test_a_band_that_nobody_may_compute_is_told_to_all(world: World) -> None:
    for name in NAMES:
        largest = {"largest_band_pixels": 2**20 if name == "alice" else 10}
        tables = {**TABLES, "mandelbrot": largest}
        await world.start(name, plugins=["rpc", "health", "dvar", "mandelbrot"], join=NAMES[:1], **tables)
    await world.until(world.is_connected)
    await rpc(world, "alice").available(PAINT, nodes=len(NAMES), timeout=20)
    await begin(world, "alice")
    dvar = world.nodes["dave"].node.require(DVAR)
    while not Job.from_wire(await dvar.get(job_name("p"))).failure:
        await world.sleep(0.2)
    with pytest.raises(PictureFailed, match=r"UsageError.*ask for more and smaller bands"):
        await (await canvas(world, "dave")).follow(lambda *_: None)
