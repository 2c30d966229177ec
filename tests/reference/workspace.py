"""Which packages the workspace has, and what of each is public: what its `__all__` names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType

import guthi
from guthi.plugins import Plugin

__all__ = ["PACKAGES", "PUBLIC_MODULES", "ROOT", "docstring_of_value", "plugin_classes", "public", "text_of_value"]

ROOT = Path(__file__).parents[2]
PACKAGES: Mapping[str, Path] = MappingProxyType(
    {
        "guthi": ROOT / "kernel" / "guthi",
        **{path.parent.name: path.parent for path in sorted(ROOT.glob("plugins/*/guthi_*/__init__.py"))},
        **{path.parent.name: path.parent for path in sorted(ROOT.glob("apps/*/guthi_*/__init__.py"))},
    }
)
PUBLIC_MODULES = ("guthi", "guthi.testing", "guthi.cli", *(name for name in PACKAGES if name != "guthi"))


def public(module_name: str) -> dict[str, object]:
    """The names of a module's `__all__`, and what they are."""
    module: ModuleType = importlib.import_module(module_name)
    return {name: getattr(module, name) for name in module.__all__}


def plugin_classes() -> dict[str, type[Plugin]]:
    """The plugins of the workspace by name, the kernel's plugins first in the order of their packages."""
    found = [
        each
        for package in PACKAGES
        if package != "guthi"
        for each in public(package).values()
        if isinstance(each, type) and issubclass(each, guthi.Plugin)
    ]
    return {plugin.name: plugin for plugin in found}


@cache
def _assigned(module_name: str) -> dict[str, tuple[str, str]]:
    """Of each name that is assigned at the top of a module: what follows it there, and the docstring below."""
    found: dict[str, tuple[str, str]] = {}
    body = _body(module_name)
    for statement, following in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Name(name)], value=value):
                found[name] = (f" = {ast.unparse(value)}", _text(following))
            case ast.AnnAssign(target=ast.Name(name), annotation=annotation, value=ast.expr() as value):
                found[name] = (f": {ast.unparse(annotation)} = {ast.unparse(value)}", _text(following))
    return found


def _body(module_name: str) -> list[ast.stmt]:
    return ast.parse(inspect.getsource(importlib.import_module(module_name))).body


def _text(statement: ast.stmt | None) -> str:
    match statement:
        case ast.Expr(ast.Constant(str(text))):
            return re.sub(r"\s+", " ", text).strip()
    return ""


def _home(module_name: str, name: str) -> str:
    """The module that assigns a name which another one may only pass on."""
    for statement in _body(module_name):
        if isinstance(statement, ast.ImportFrom) and name in [alias.asname or alias.name for alias in statement.names]:
            return _home(str(statement.module), name)
    return module_name


def text_of_value(module_name: str, name: str) -> str:
    """What follows a public name that is neither class nor function where it is assigned: its type, and what it is."""
    return _assigned(_home(module_name, name))[name][0]


def docstring_of_value(module_name: str, name: str) -> str:
    """The text below the assignment; empty where there is none."""
    return _assigned(_home(module_name, name))[name][1]
