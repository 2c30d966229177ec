"""docs/mutex.md against the code: its hooks, and its own algorithm, which has to be a right one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.plugins.mutex.bare import BareWorld
from tests.plugins.mutex.test_algorithms import populate

from guthi.testing import World, simulated
from guthi_mutex import MUTEX, MutexPlugin
from guthi_mutex.hooks import MutexHooks

PAGE = (Path(__file__).parents[3] / "docs" / "mutex.md").read_text(encoding="utf-8")
HOOKS = {name: hook for name, hook in vars(MutexHooks).items() if hasattr(hook, "guthi_spec")}


def test_the_page_has_a_heading_for_each_hook_and_no_other() -> None:
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == list(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_the_text_begins_with_the_call(name: str) -> None:
    arguments = [argument for argument in inspect.signature(HOOKS[name]).parameters if argument != "self"]
    assert f"### {name}\n\n`{name}({', '.join(arguments)})`. " in PAGE


def source_of_the_page() -> str:
    """The page's example of an algorithm and the plugin that brings it."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return next(each for each in blocks if "(Algorithm)" in each)


def of_the_page() -> dict[str, Any]:
    """What it defines."""
    names: dict[str, Any] = {"__name__": "page"}
    exec(source_of_the_page(), names)
    return names


@pytest.mark.parametrize("seed", range(30))
def test_the_algorithm_of_the_page_is_right(seed: int) -> None:
    rng = Random(seed)
    count = rng.randint(1, 7)
    holder = rng.choice([None, rng.randrange(count)])
    world = BareWorld(of_the_page()["Coordinator"], count, rng, holder=holder, fence=rng.randrange(9))
    populate(world, entries=4, pause_s=rng.choice([0.0, 2.0]), stay_s=1.0, gives_up=rng.choice([0.0, 0.4]))
    world.run()


@simulated
async def test_the_plugin_of_the_page_brings_it(world: World) -> None:
    brings = of_the_page()["CoordinatorPlugin"]
    mutex = {"algorithm": "coordinator"}
    for name in ("alice", "bob"):
        join = ["alice"] if name == "bob" else []
        await world.start(name, plugins=[brings, MutexPlugin], join=join, mutex=mutex)
    async with world.nodes["bob"].node.require(MUTEX)("render", timeout=5):
        pass
