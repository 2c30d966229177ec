"""The hooks of docs/hooks.md: each with its call and its docstring; the text around them is the page's own."""

from __future__ import annotations

import inspect
import re

from tests.reference.workspace import plugin_classes

from guthi.hooks import KernelHooks, specified_hooks

__all__ = ["KERNEL_HOOKS", "PLUGIN_HOOKS", "rendered"]

KERNEL_HOOKS = [name for name, hook in vars(KernelHooks).items() if hasattr(hook, "guthi_spec")]
PLUGIN_HOOKS = {
    plugin: [name for name in vars(cls.hookspecs) if name in specified_hooks(cls.hookspecs)]
    for plugin, cls in plugin_classes().items()
    if cls.hookspecs is not None
}


def rendered(page: str) -> str:
    """The page with the text of each hook made anew; one that has no heading yet gets it, after the hook before it."""
    for before, name in zip([None, *KERNEL_HOOKS], KERNEL_HOOKS, strict=False):
        if before is not None and f"\n### {name}\n" not in page:
            page = _replaced(page, f"### {before}", f"{_entry(KernelHooks, before)}\n\n### {name}\n\n")
        page = _replaced(page, f"### {name}", _entry(KernelHooks, name))
    entries = [
        f"### {name}\n\nBrought by [{plugin}]({plugin}.md). {_entry(plugin_classes()[plugin].hookspecs, name)}"
        for plugin, names in PLUGIN_HOOKS.items()
        for name in names
    ]
    return _replaced(page, "## Hooks that plugins bring", "\n\n".join(entries), until="## ")


def _replaced(page: str, heading: str, text: str, until: str = "##") -> str:
    """The page with the section below a heading replaced."""
    section = rf"(?<=\n{re.escape(heading)}\n\n).*?(?=\n\n{until}|\Z)"
    page, count = re.subn(section, lambda _: text, page, count=1, flags=re.DOTALL)
    if not count:
        raise ValueError(f"docs/hooks.md has no heading {heading!r}")
    return page


def _entry(specs: type | None, name: str) -> str:
    """The call, with types, and what it means."""
    signature = inspect.signature(getattr(specs, name))
    arguments = ", ".join(str(each) for each in signature.parameters.values() if each.name != "self").replace("'", "")
    returned = "" if signature.return_annotation in (None, "None") else f" -> {signature.return_annotation}"
    return f"`{name}({arguments}){returned}`\n\n{inspect.getdoc(getattr(specs, name))}"
