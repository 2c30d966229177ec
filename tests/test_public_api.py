"""What plugin authors may rely on is documented, typed and tried: public names, their members, and hooks.

Names and signatures themselves are recorded in docs/api, which tests/docs/test_reference.py compares.
"""

from __future__ import annotations

import ast
import inspect
from functools import cache
from pathlib import Path
from typing import get_origin

import pytest
from tests.reference.api import documented_members
from tests.reference.hooks import KERNEL_HOOKS, PLUGIN_HOOKS
from tests.reference.workspace import PACKAGES, PUBLIC_MODULES, ROOT, docstring_of_value, plugin_classes, public

from guthi.hooks import KernelHooks

SHORTEST = 8  # letters of a docstring; a shorter one says nothing
HOOKS = [*KERNEL_HOOKS, *(name for names in PLUGIN_HOOKS.values() for name in names)]


def doc_of(module_name: str, name: str, value: object) -> str:
    if isinstance(value, type) and get_origin(value) is None:
        made_up = (value.__doc__ or "").startswith(f"{value.__name__}(")  # by dataclass or NamedTuple
        return "" if made_up or "__doc__" not in vars(value) else value.__doc__ or ""
    if inspect.isroutine(value):
        return value.__doc__ or ""
    return docstring_of_value(module_name, name)


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_each_public_name_is_documented(module_name: str) -> None:
    silent = [name for name, value in public(module_name).items() if len(doc_of(module_name, name, value)) < SHORTEST]
    assert not silent, f"give {silent} of {module_name} docstrings; a value has it as a string below its assignment"


@pytest.mark.parametrize("module_name", PUBLIC_MODULES)
def test_each_member_of_a_public_class_is_documented(module_name: str) -> None:
    """A method that overrides a public one may leave it at what is said there."""
    silent = [
        f"{name}.{member}"
        for name, value in public(module_name).items()
        if inspect.isclass(value)
        for member, _ in documented_members(value)
        if not member.startswith("__") and len(inspect.getdoc(getattr(value, member)) or "") < SHORTEST
    ]
    assert not silent


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (PACKAGES[package] / "py.typed").is_file()


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "guthi"])
def test_the_name_of_a_plugin_is_that_of_its_package(package: str) -> None:
    assert package.removeprefix("guthi_") in plugin_classes()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented(hook: str) -> None:
    specs = [KernelHooks, *(cls.hookspecs for cls in plugin_classes().values() if cls.hookspecs is not None)]
    (found,) = [getattr(each, hook) for each in specs if hook in vars(each)]  # no two plugins bring the same one
    assert len(inspect.getdoc(found) or "") > 20


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_tried_by_a_test(hook: str) -> None:
    """A test of its own implements it; that it is called, and with what, test_hooks.py sees for all."""
    assert hook in hooks_implemented_in_tests(), f"no plugin under tests/ implements {hook} by @guthi.hookimpl"


@cache
def hooks_implemented_in_tests() -> frozenset[str]:
    return frozenset(
        function.name
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for function in functions_of(path)
        if any("hookimpl" in ast.unparse(decorator) for decorator in function.decorator_list)
    )


def functions_of(path: Path) -> list[ast.FunctionDef]:
    text = path.read_text(encoding="utf-8")
    return (
        [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)] if "hookimpl" in text else []
    )
