"""The hook bus: what the kernel tells plugins, and how one plugin's failure is kept from the others.

Hooks are synchronous notifications; messages are dispatched by topic, never by a hook (see `requests`). A plugin
implements a hook by a method of the hook's name under `@guthi.hookimpl`, with the arguments that it wants. It may bring
hooks of its own, in a class that its `hookspecs` names.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import pluggy

from guthi.errors import PluginError, UsageError

if TYPE_CHECKING:
    from guthi.membership.members import Member
    from guthi.node import Node

__all__ = ["HookBus", "KernelHooks", "hookimpl", "hookspec", "implemented_hooks", "specified_hooks"]

PROJECT = "guthi"
hookspec = pluggy.HookspecMarker(PROJECT)
"""Marks a method of a class of `hookspecs` as a hook that a plugin brings; what it means is its docstring."""
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method of a plugin as the implementation of the hook of its name; `optionalhook=True`: if there is one."""

log = logging.getLogger("guthi.hooks")


class KernelHooks:
    """The hooks that the kernel calls."""

    @hookspec
    def node_started(self, node: Node) -> None:
        """Once, when the node has joined its network and all plugins run.

        A node that nobody answered has failed with `JoinFailed` before. Members that were met while joining have been
        told by `member_joined` already.
        """

    @hookspec
    def node_draining(self, node: Node) -> Coroutine[Any, Any, None] | None:
        """The process was asked to end: take no new work from other nodes, and finish what runs for them.

        What is returned, a coroutine, is awaited before `node_stopping`, for as long as `drain` in [node] allows, and
        then cancelled. It is called at most once, and not for a node whose app ends by itself.
        """

    @hookspec
    def node_stopping(self, node: Node) -> None:
        """Once, when the node is about to leave, before anything is taken down: services work, messages go out.

        It is also called when the app ended with an exception, but not after a start that failed.
        """

    @hookspec
    def member_joined(self, member: Member) -> None:
        """A member is known and present, for the first time or again after it had left.

        A node that was restarted without a `data_dir` is a new member, with a new id.
        """

    @hookspec
    def member_updated(self, member: Member) -> None:
        """A present member says something new about itself: other plugins, addresses, name or zone."""

    @hookspec
    def member_suspected(self, member: Member) -> None:
        """Somebody could not reach the member.

        It is still a member and may refute this; rpc gives it no work while there are others. The kernel itself
        suspects a member whose session fell silent.
        """

    @hookspec
    def member_failed(self, member: Member) -> None:
        """The member counts as failed: its session is closed, requests to it end with `PeerLost`.

        Nothing more is sent to it. The kernel never reaches this verdict by itself; a failure detector does, by
        `node.accuse`. `member.verdict` says who found it, how, and what was seen; so it does of a suspect.
        """

    @hookspec
    def member_recovered(self, member: Member) -> None:
        """A suspected or failed member has shown that it is alive."""

    @hookspec
    def member_left(self, member: Member) -> None:
        """A member said goodbye. Its session is closed."""


class _Manager(pluggy.PluginManager):
    """Looks for implementations among the methods of a plugin's class, as `implemented_hooks` does.

    pluggy itself examines whatever the instance holds as well, which takes a third of a millisecond a plugin.
    """

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        marked = getattr(getattr(type(plugin), name, None), f"{PROJECT}_impl", None)
        return super().parse_hookimpl_opts(plugin, name) if marked is not None else None


class HookBus:
    """The hooks of one node and the plugins that implement them."""

    def __init__(self) -> None:
        self._manager = _Manager(PROJECT)
        self._manager.add_hookspecs(KernelHooks)

    def add_specs(self, specs: type) -> None:
        """Add the hooks that a plugin brings."""
        self._manager.add_hookspecs(specs)

    def register(self, plugin: object, name: str) -> None:
        """Let the methods of a plugin's class be called. Raises PluginError where they do not fit the hooks."""
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"plugin {name!r} does not fit the hooks: {' '.join(str(error).split())}") from error

    def unregister(self, plugin: object) -> None:
        """Call the plugin no more."""
        self._manager.unregister(plugin)

    def check(self) -> None:
        """Raise PluginError for an implementation of a hook that nobody calls, most often a misspelt name."""
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            name = self._manager.get_name(error.plugin) or type(error.plugin).__name__
            text = f"plugin {name!r} implements a hook that does not exist; check its spelling: "
            raise PluginError(text + " ".join(str(error).split())) from error

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell every implementation; an exception is logged and stops no one else."""
        self.gather(hook, **arguments)

    def gather(self, hook: str, **arguments: Any) -> list[Any]:
        """Call every implementation, first registered first; returns what is not None, and logs exceptions."""
        caller = getattr(self._manager.hook, hook, None)
        if caller is None:
            raise UsageError(f"there is no hook {hook!r}; a plugin's own hooks are named by its `hookspecs`")
        results = []
        for implementation in caller.get_hookimpls():
            if implementation.hookwrapper or implementation.wrapper:
                continue  # a notification has no result to wrap
            try:
                chosen = [arguments[name] for name in implementation.argnames]
                result = implementation.function(*chosen)
            except Exception:
                log.exception("plugin %r failed in the hook %s", implementation.plugin_name, hook)
            else:
                if result is not None:
                    results.append(result)
        return results


def specified_hooks(specs: type | None) -> list[str]:
    """The names of the hooks that a class brings, sorted; None brings none."""
    return sorted(_marked(specs, f"{PROJECT}_spec"))


def implemented_hooks(plugin: type, *, optional: bool = True) -> list[str]:
    """The names of the hooks that a plugin's class implements, sorted; without `optional` those that must exist."""
    found = _marked(plugin, f"{PROJECT}_impl")
    return sorted(name for name, options in found.items() if optional or not options["optionalhook"])


def _marked(cls: type | None, mark: str) -> dict[str, Any]:
    """pluggy's markers leave their options on the function, under the project's name."""
    found = {name: getattr(getattr(cls, name, None), mark, None) for name in (dir(cls) if cls is not None else ())}
    return {name: options for name, options in found.items() if options is not None}
