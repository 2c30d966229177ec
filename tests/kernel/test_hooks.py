"""Hooks reach every plugin that has them, and one plugin's failure reaches nobody but the log."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import pytest

from guthi.errors import PluginError, UsageError
from guthi.hooks import HookBus, KernelHooks, hookimpl, hookspec


class Recorder:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def member_joined(self, member: Any) -> None:
        self.seen.append(member)


class Failing:
    @hookimpl
    def member_joined(self, member: Any) -> None:
        raise RuntimeError("a bug in the plugin")


def test_every_implementation_is_called_with_what_it_wants() -> None:
    class Counter:
        count = 0

        @hookimpl
        def member_joined(self) -> None:
            self.count += 1

    bus, recorder, counter = HookBus(), Recorder(), Counter()
    bus.register(recorder, "recorder")
    bus.register(counter, "counter")
    bus.notify("member_joined", member="bob")
    assert (recorder.seen, counter.count) == (["bob"], 1)
    bus.unregister(recorder)
    bus.notify("member_joined", member="carol")
    assert (recorder.seen, counter.count) == (["bob"], 2)


def test_a_failure_is_logged_and_stops_no_one(caplog: pytest.LogCaptureFixture) -> None:
    bus, recorder = HookBus(), Recorder()
    for plugin, name in ((recorder, "first"), (Failing(), "failing"), (Recorder(), "last")):
        bus.register(plugin, name)
    with caplog.at_level(logging.ERROR):
        bus.notify("member_joined", member="bob")
    assert recorder.seen == ["bob"]
    assert "plugin 'failing' failed in the hook member_joined" in caplog.text
    assert "a bug in the plugin" in caplog.text


def test_a_plugin_brings_hooks_of_its_own_and_gathers_answers() -> None:
    class Specs:
        @hookspec
        def lock_algorithms(self, kind: str) -> object:
            """Algorithms for locks."""

    class Fair:
        @hookimpl
        def lock_algorithms(self, kind: str) -> str:
            return f"fair {kind}"

    class Silent:
        @hookimpl
        def lock_algorithms(self) -> None: ...

    bus = HookBus()
    bus.add_specs(Specs)
    for plugin in (Fair(), Silent(), Fair()):
        bus.register(plugin, str(id(plugin)))
    bus.check()
    assert bus.gather("lock_algorithms", kind="lock") == ["fair lock", "fair lock"]


def test_a_misspelt_hook_is_refused() -> None:
    class Misspelt:
        @hookimpl
        def member_joind(self, member: Any) -> None: ...

    bus = HookBus()
    bus.register(Misspelt(), "misspelt")
    with pytest.raises(PluginError, match="'misspelt' implements a hook that does not exist; check its spelling"):
        bus.check()


def test_arguments_that_the_hook_does_not_have_are_refused() -> None:
    class Greedy:
        @hookimpl
        def member_joined(self, member: Any, weather: Any) -> None: ...

    with pytest.raises(PluginError, match="plugin 'greedy' does not fit the hooks"):
        HookBus().register(Greedy(), "greedy")


def test_a_hook_that_nobody_defines_cannot_be_called() -> None:
    with pytest.raises(UsageError, match="there is no hook 'sunrise'"):
        HookBus().notify("sunrise")


def test_every_kernel_hook_says_when_it_is_called() -> None:
    hooks = [hook for name, hook in inspect.getmembers(KernelHooks, inspect.isfunction)]
    assert len(hooks) >= 8
    assert all(hook.__doc__ for hook in hooks)
