"""Rotation of the cluster keys in whole networks: under load and loss, with nodes down, and what is refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from guthi import Incoming, Node
from guthi.cli.keys import _others
from guthi.errors import JoinFailed, UsageError
from guthi.membership.members import MemberState
from guthi.network.rotating import Holding
from guthi.security.keyfile import read_keys
from guthi.security.keyring import ClusterKey
from guthi.security.rotation import Action, Change
from guthi.testing import Link, World, simulated

NEW = ClusterKey(b"n" * 32)
NAMES = ("alice", "bob", "carol", "dave", "erin")


def old_key(world: World) -> ClusterKey:
    return world._cluster_key


async def carry_out(node: Node, change: Change, *, force: bool = False) -> list[Holding]:
    members = [*node.network.membership.snapshot()]
    return await node.network.keys.change(members, change, 10.0, force=force)


async def start_all(world: World, folder: Path | None = None, **transport: object) -> None:
    """All nodes, with key files if there is a folder for them."""
    for name in NAMES:
        simulated_node = world.add(name, join=[NAMES[0]] if name != NAMES[0] else [], transport=transport)
        if folder is not None:
            path = folder / f"{name}.key"
            path.write_text(old_key(world).text())
            simulated_node.config = simulated_node.config.with_overrides(security={"cluster_key_file": path})
        await simulated_node.start()
    await world.until(world.is_whole)


def rings(world: World) -> dict[str, tuple[ClusterKey, ...]]:
    return {name: node.node.network.endpoint.keyring.keys for name, node in world.nodes.items() if node.runs}


class Load:
    """Requests from every node to every other one, without end; and what became of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.outcomes: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []
        for simulated_node in world.running():
            simulated_node.node.handle("echo", self._echo)
            for other in NAMES:
                if other != simulated_node.name:
                    self.tasks.append(world.background(self._call(simulated_node.node, other)))

    @staticmethod
    async def _echo(incoming: Incoming) -> object:
        await asyncio.sleep(0.02)
        return incoming.value

    async def _call(self, node: Node, peer: str) -> None:
        while True:
            try:
                answer = await node.request(peer, "echo", "namaste", timeout_s=10.0)
                self.outcomes["answered" if answer == "namaste" else "wrong"] += 1
            except Exception as error:
                self.outcomes[repr(error)] += 1
            await asyncio.sleep(self.world.random.uniform(0.0, 0.2))


@pytest.mark.parametrize("seed", range(3))
def test_under_load_at_5_per_cent_loss_no_request_fails(seed: int, tmp_path: Path) -> None:
    world = World(seed, link=Link(latency_s=0.005, loss=0.05))

    async def scenario(world: World) -> Load:
        await start_all(world, tmp_path, timeout="3s", idle="4s", keepalive="1s")
        load = Load(world)
        alice = world.nodes["alice"].node
        await world.sleep(2.0)
        for change in (
            Change(Action.ADD, NEW.secret),
            Change(Action.USE, NEW.key_id),
            Change(Action.REMOVE, old_key(world).key_id),
        ):
            holdings = await carry_out(alice, change)
            assert [each.problem for each in holdings] == [""] * len(NAMES)
            await world.sleep(2.0)
        for task in load.tasks[:: len(NAMES) - 1]:  # some peers fall idle, so that sessions open under the new key
            task.cancel()
        await world.sleep(8.0)
        return load

    load = world.run(scenario)
    assert set(load.outcomes) == {"answered"}
    assert load.outcomes["answered"] > 1000
    assert {read_keys(tmp_path / f"{name}.key")[0] for name in NAMES} == {NEW}


@simulated
async def test_after_a_rotation_only_the_new_key_admits(world: World) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    await carry_out(alice, Change(Action.ADD, NEW.secret))
    await carry_out(alice, Change(Action.USE, NEW.key_id))
    await carry_out(alice, Change(Action.REMOVE, old_key(world).key_id), force=True)
    assert set(rings(world).values()) == {(NEW,)}
    late = world.add("late", join=["alice"], node={"join_timeout": "2s"})
    with pytest.raises(JoinFailed):
        await late.start()
    late.config = late.config.with_overrides(security={"cluster_key": NEW.text()})
    await late.start()
    await world.until(world.is_whole)


@simulated
async def test_a_node_that_was_down_for_two_steps_is_understood_and_brought_up(world: World, tmp_path: Path) -> None:
    await start_all(world, tmp_path)
    alice, erin = world.nodes["alice"].node, world.nodes["erin"]
    erin.crash()
    erin_id = next(each.id for each in alice.members if each.name == "erin")
    alice.accuse(erin_id, MemberState.FAILED, path="direct", evidence="this test says so")
    await carry_out(alice, Change(Action.ADD, NEW.secret))
    holdings = await carry_out(alice, Change(Action.USE, NEW.key_id))
    assert [each.member.name for each in holdings if each.problem] == ["erin"]
    with pytest.raises(UsageError, match="those not reached: erin; wait for them"):
        await carry_out(alice, Change(Action.REMOVE, old_key(world).key_id))

    await erin.restart()  # it has only the old key
    assert rings(world)["erin"] == (old_key(world),)
    await world.until(world.is_whole)
    with pytest.raises(UsageError, match="in use by: erin; let them"):
        await carry_out(alice, Change(Action.REMOVE, old_key(world).key_id))
    for change in (
        Change(Action.ADD, NEW.secret),
        Change(Action.USE, NEW.key_id),
        Change(Action.REMOVE, old_key(world).key_id),
    ):
        assert not any(each.problem for each in await carry_out(alice, change))
    assert set(rings(world).values()) == {(NEW,)}
    await world.sleep(30.0)
    assert world.is_whole()


@simulated
async def test_a_key_that_only_those_not_reached_still_hold_is_not_called_gone(world: World) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    await carry_out(alice, Change(Action.ADD, NEW.secret))
    await carry_out(alice, Change(Action.USE, NEW.key_id))
    removal = Change(Action.REMOVE, old_key(world).key_id)
    world.nodes["erin"].crash()
    await carry_out(alice, removal, force=True)
    with pytest.raises(UsageError, match="those not reached: erin; wait for them"):
        await carry_out(alice, removal)
    with pytest.raises(UsageError, match="nobody that is reached holds"):
        await carry_out(alice, removal, force=True)


@simulated
async def test_who_comes_back_too_late_to_be_told_is_reported(world: World) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    world.network.cut(["alice"], ["erin"])
    step = asyncio.ensure_future(carry_out(alice, Change(Action.ADD, NEW.secret)))
    await world.until(lambda: NEW in rings(world)["alice"])
    world.network.heal()
    holdings = {each.member.name: each for each in await step}
    assert holdings["erin"].key_ids == (old_key(world).key_id,)
    assert "no answer" in holdings["erin"].problem
    assert [each.problem for name, each in holdings.items() if name != "erin"] == [""] * 4


@simulated
async def test_a_client_brings_a_node_up_that_missed_both_steps(world: World) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    others = [each for each in (alice.me, *alice.members) if each.name != "erin"]
    for change in (Change(Action.ADD, NEW.secret), Change(Action.USE, NEW.key_id)):
        await alice.network.keys.change(others, change, 5.0)
    command = world.add("command", join=["alice"], node={"role": "client"})
    command.config = command.config.with_overrides(security={"cluster_keys": (NEW.text(), old_key(world).text())})
    await command.start()  # erin has not spoken to it yet, and cannot read what it says first
    holdings = await carry_out(command.node, Change(Action.ADD, NEW.secret))
    assert [each.problem for each in holdings] == [""] * 6
    assert NEW in rings(world)["erin"]


@simulated
async def test_a_key_that_some_do_not_hold_is_not_used(world: World) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    bob = alice.member("bob")
    await alice.network.keys.change(
        [alice.me, *(each for each in alice.members if each != bob)], Change(Action.ADD, NEW.secret), 5.0
    )
    with pytest.raises(UsageError, match="is not held by: bob; add it first"):
        await carry_out(alice, Change(Action.USE, NEW.key_id))
    assert {keys[0] for keys in rings(world).values()} == {old_key(world)}


@simulated
async def test_keys_that_are_not_in_files_are_removed_by_force_only(world: World) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    await carry_out(alice, Change(Action.ADD, NEW.secret))
    await carry_out(alice, Change(Action.USE, NEW.key_id))
    with pytest.raises(UsageError, match="no key file have: bob"):
        await carry_out(alice, Change(Action.REMOVE, old_key(world).key_id))


@simulated
async def test_a_survey_shows_ids_and_who_is_not_reached(world: World) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    world.network.cut(["alice"], ["bob"])
    holdings = await alice.network.keys.survey(alice.members, 1.0)
    by_name = {each.member.name: each for each in holdings}
    assert by_name["bob"].key_ids == () and "no answer" in by_name["bob"].problem
    assert by_name["carol"] == Holding(alice.member("carol"), (old_key(world).key_id,), False, "")


@simulated
async def test_nonsense_on_the_topics_of_keys_is_refused(world: World) -> None:
    await start_all(world)
    alice, bob = world.nodes["alice"].node, world.nodes["bob"].node
    for value in (None, [], [1, b"", b""], [9, b"k" * 4, b"p" * 32], [2, "text", b""], [1, NEW.secret, b"p" * 32]):
        with pytest.raises(Exception, match=r"a change of keys|must hold"):
            await alice.request("bob", "guthi.keys.change", value, timeout_s=5.0)
    assert bob.network.endpoint.keyring.keys == (old_key(world),)


async def join_with_the_old_key(world: World, name: str, **node: object) -> Node:
    """A node that was away from before the rotation, and knows nothing of it."""
    late = world.add(name, join=["bob"], node=node)
    late.config = late.config.with_overrides(security={"cluster_keys": (old_key(world).text(),)})
    return await late.start()


async def rotate_from(node: Node, step: int, old: ClusterKey) -> None:
    """The steps of a rotation, from the given one on; each must be done by all."""
    changes = (Change(Action.ADD, NEW.secret), Change(Action.USE, NEW.key_id), Change(Action.REMOVE, old.key_id))
    for change in changes[step:]:
        assert [each.problem for each in await carry_out(node, change, force=change.action is Action.REMOVE)] == (
            [""] * (1 + len(node.members))
        )


@pytest.mark.parametrize(
    ("done", "refused"), [(1, "is not held by: late; add it first"), (2, "is in use by: late; let them use another")]
)
@simulated
async def test_who_joins_with_an_old_keyring_between_two_steps_is_served_and_stops_the_next(
    world: World, done: int, refused: str
) -> None:
    await start_all(world)
    alice = world.nodes["alice"].node
    steps = (
        Change(Action.ADD, NEW.secret),
        Change(Action.USE, NEW.key_id),
        Change(Action.REMOVE, old_key(world).key_id),
    )
    for change in steps[:done]:
        await carry_out(alice, change)
    late = await join_with_the_old_key(world, "late")
    await world.until(world.is_whole, within=5.0)
    late.handle("echo", lambda incoming: incoming.value)
    for name in NAMES:
        world.nodes[name].node.handle("echo", lambda incoming: incoming.value)
        assert await late.request(name, "echo", 1, timeout_s=5.0) == 1
        assert await world.nodes[name].node.request("late", "echo", 1, timeout_s=5.0) == 1
    with pytest.raises(UsageError, match=refused):
        await carry_out(alice, steps[done])
    await rotate_from(alice, 0, old_key(world))
    assert set(rings(world).values()) == {(NEW,)}


@pytest.mark.parametrize("step", [0, 1, 2])
@simulated
async def test_who_joins_with_an_old_keyring_in_the_middle_of_a_step_is_told_or_reported(
    world: World, step: int, tmp_path: Path
) -> None:
    await start_all(world, tmp_path)
    alice = world.nodes["alice"].node
    steps = (
        Change(Action.ADD, NEW.secret),
        Change(Action.USE, NEW.key_id),
        Change(Action.REMOVE, old_key(world).key_id),
    )
    for change in steps[:step]:
        await carry_out(alice, change)
    world.network.set_link(Link(latency_s=0.4), ["alice"], ["erin"])  # so that the step takes a while
    world.network.set_link(Link(latency_s=0.4), ["erin"], ["alice"])
    under_way = asyncio.ensure_future(carry_out(alice, steps[step]))
    late = await join_with_the_old_key(world, "late")
    await world.until(lambda: any(each.id == late.id for each in alice.members))
    assert not under_way.done()
    holdings = {each.member.name: each for each in await under_way}
    if step == 0:
        assert holdings["late"].problem == "" and NEW in rings(world)["late"]
        return
    assert ("there is no key" if step == 1 else "is the key in use") in holdings["late"].problem
    assert old_key(world) in rings(world)["alice"]  # who leads can bring it up, and does
    await rotate_from(alice, 0, old_key(world))
    await world.until(world.is_whole, within=5.0)
    assert set(rings(world).values()) == {(NEW,)}


@simulated
async def test_a_command_knows_of_nodes_that_had_failed_before_it_came(world: World, tmp_path: Path) -> None:
    await start_all(world, tmp_path)
    alice = world.nodes["alice"].node
    world.nodes["erin"].crash()
    alice.accuse(alice.member("erin"), MemberState.FAILED)
    for change in (Change(Action.ADD, NEW.secret), Change(Action.USE, NEW.key_id)):
        await carry_out(alice, change)
    command = world.add("command", join=["alice"], node={"role": "client"})
    command.config = command.config.with_overrides(security={"cluster_keys": (NEW.text(), old_key(world).text())})
    await command.start()
    with pytest.raises(UsageError, match="those not reached: erin; wait for them"):
        await command.node.network.keys.change(_others(command.node), Change(Action.REMOVE, old_key(world).key_id), 5.0)
