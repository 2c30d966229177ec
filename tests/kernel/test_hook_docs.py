"""docs/hooks.md against the hooks of the kernel: a hook without a heading, its arguments or a docstring is none."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from guthi.hooks import KernelHooks

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
HOOKS = {name: hook for name, hook in vars(KernelHooks).items() if hasattr(hook, "guthi_spec")}


def test_the_page_has_a_heading_for_each_hook_and_no_other() -> None:
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == list(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_the_text_begins_with_the_call(name: str) -> None:
    arguments = [argument for argument in inspect.signature(HOOKS[name]).parameters if argument != "self"]
    assert f"### {name}\n\n`{name}({', '.join(arguments)})`. " in PAGE


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_docstring(name: str) -> None:
    assert len(inspect.getdoc(HOOKS[name]) or "") > 20
