"""Every hook is called, with what its documentation says: a plugin that implements all of them goes through a network.

The plugin is made of the specifications, so a hook that is new and that nothing here brings about fails its test. When
each is called, and when it is not, is tested where its plugin is.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.web.network import a_client, a_web_node
from tests.reference.hooks import KERNEL_HOOKS, PLUGIN_HOOKS
from tests.reference.workspace import PUBLIC_MODULES, plugin_classes, public

import guthi
from guthi.hooks import KernelHooks
from guthi.testing import World, simulated
from guthi_dvar import DVAR
from guthi_gutfs import GUTFS
from guthi_health import HealthPlugin
from guthi_mutex import MUTEX, MutexPlugin

SPECS: dict[str, Callable[..., Any]] = {
    **{name: getattr(KernelHooks, name) for name in KERNEL_HOOKS},
    **{
        name: getattr(plugin_classes()[plugin].hookspecs, name)
        for plugin, names in PLUGIN_HOOKS.items()
        for name in names
    },
}
KNOWN = {"guthi": guthi} | {name: value for module in PUBLIC_MODULES for name, value in public(module).items()}
OF_THE_SERVER = PLUGIN_HOOKS["web"] + PLUGIN_HOOKS["dashboard"]  # which needs real sockets
QUICK: dict[str, Any] = {"transport": {"keepalive": "1s", "timeout": "3s"}, "mutex": {"lease": "1s"}}


class Witness(guthi.Plugin):
    """Implements every hook that there is."""

    name = "witness"

    def __init__(self, node: guthi.Node, config: Any) -> None:
        super().__init__(node, config)
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def names(self) -> set[str]:
        return {name for name, _ in self.calls}


def implementation(name: str) -> Callable[..., Any]:
    """A method with the arguments of the hook, whose names pluggy reads from its code."""
    arguments = ", ".join(inspect.signature(SPECS[name]).parameters)
    told = eval(f"lambda {arguments}: self.calls.append(({name!r}, ({arguments},)[1:]))")
    told.__name__ = name
    marked: Callable[..., Any] = guthi.hookimpl(optionalhook=True)(told)
    return marked


for each in SPECS:
    setattr(Witness, each, implementation(each))


def witness(node: guthi.Node) -> Witness:
    (found,) = (plugin for plugin in node.plugins if isinstance(plugin, Witness))
    return found


def fit(name: str, arguments: tuple[Any, ...]) -> None:
    """Fails where an argument is not of the type that the documentation has, which is a public one."""
    parameters = [each for each in inspect.signature(SPECS[name]).parameters.values() if each.name != "self"]
    for parameter, value in zip(parameters, arguments, strict=True):
        kind = eval(parameter.annotation, KNOWN)
        assert isinstance(value, kind), f"{name}: {parameter.name} is {value!r}, not {kind}"


async def in_a_network(world: World, folder: Path) -> set[str]:
    """What the two witnesses of a network hear, whose members write, lock, suspect, fail, come back and leave."""
    plugins: list[type[guthi.Plugin] | str] = [Witness, HealthPlugin, MutexPlugin, "dvar", "gutfs", "resources"]
    for name, join in (("alice", []), ("bob", ["alice"]), ("carol", ["alice"])):
        (folder / name).mkdir()
        exports = {"exports": [f"{folder}/{name}:/team:sync"], "tracking": "off", "sync_interval": "1s"}
        await world.start(name, plugins=plugins, join=join, health={"detector": "swim"}, gutfs=exports, **QUICK)
    dave = await world.start("dave", join=["alice"])  # has no plugins
    alice, bob = world.nodes["alice"], world.nodes["bob"]
    await world.until(world.is_connected)
    heard = witness(alice.node), witness(bob.node)
    await variables_locks_and_files(world, alice.node, bob.node)
    await world.sleep(10)  # nobody suspects anybody any more: only so is a node that comes back elsewhere an update
    dave.crash()
    dave.config = dave.config.with_overrides(node={"zone": "attic"})
    await dave.start()
    await world.until(lambda: "member_updated" in heard[0].names())
    assert await bob.node.drain() is True
    await bob.stop()
    await world.until(lambda: "member_left" in heard[0].names())
    for name, arguments in heard[0].calls + heard[1].calls:
        fit(name, arguments)
    return heard[0].names() | heard[1].names()


async def variables_locks_and_files(world: World, alice: guthi.Node, bob: guthi.Node) -> None:
    """Both write the same while they are cut off from each other, and one loses its lock."""
    heard = witness(alice), witness(bob)
    await alice.require(DVAR).create("count", 1)
    assert await bob.require(DVAR).get("count") == 1
    await alice.require(DVAR).set("count", 2)
    async with bob.require(MUTEX)("render"):
        pass
    lost = await bob.require(MUTEX).acquire("backup")
    await alice.require(GUTFS).write("/team/a", b"base")
    await world.until(lambda: "resources_changed" in heard[0].names() and "file_changed" in heard[0].names())
    world.network.cut(["bob"], ["alice", "carol", "dave"])
    await asyncio.wait_for(lost.lost.wait(), 60)
    for node in (alice, bob):
        await node.require(GUTFS).write(f"/node/{node.name}/team/a", node.name.encode())
    await world.until(lambda: {"member_suspected", "member_failed"} <= heard[0].names())
    world.network.heal()
    await world.until(lambda: "member_recovered" in heard[0].names())
    await world.until(lambda: "file_conflict" in heard[0].names() | heard[1].names())


async def at_a_server() -> set[str]:
    """What a witness hears beside a web server with a dashboard."""
    async with a_web_node("alice", plugins=["web", "dashboard"], classes=[Witness]) as node, a_client(node) as client:
        assert (await client.get("/metrics")).status_code == (await client.get("/api/panels")).status_code == 200
        for name, arguments in witness(node).calls:
            fit(name, arguments)
        return witness(node).names()


@simulated
async def test_every_hook_is_called_in_the_life_of_a_network(world: World, tmp_path: Path) -> None:
    assert set(SPECS) - await in_a_network(world, tmp_path) == set(OF_THE_SERVER)


async def test_every_hook_of_the_server_is_called() -> None:
    assert set(OF_THE_SERVER) <= await at_a_server()


def test_an_argument_of_another_type_is_noticed() -> None:
    fit("lock_granted", ("render", 1))
    with pytest.raises(AssertionError, match="lock_granted: fence is '1', not"):
        fit("lock_granted", ("render", "1"))
