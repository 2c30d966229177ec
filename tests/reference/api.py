"""The page of a package's public names: each with its signature, its members and its docstring, as a stub.

The pages are the record of the public API: whoever changes a name or a signature changes docs/api, which a review sees.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
from collections.abc import Iterator
from enum import Enum
from typing import Any, ForwardRef, get_origin

from tests.reference.workspace import PUBLIC_MODULES, docstring_of_value, public, text_of_value

__all__ = ["documented_members", "page"]

WIDTH = 100
SHOWN_DUNDERS = ("__init__", "__call__", "__await__", "__aenter__", "__enter__", "__aiter__", "__iter__", "__getitem__")
NOTE = "<!-- Made of the code by `make reference`, which a test compares: change the docstrings, not this page. -->"


def page(module_name: str) -> str:
    """The whole page of a public module."""
    doc = inspect.getdoc(importlib.import_module(module_name)) or ""
    parts = [f"# {module_name}", NOTE, doc.split("\n\n")[0]]
    for name, value in public(module_name).items():
        stub = "\n".join(line.rstrip() for line in _stub(module_name, name, value))
        parts.append(f"## {name}\n\n```pyi\n{stub}\n```")
    return "\n\n".join(parts) + "\n"


def _stub(module_name: str, name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value) and get_origin(value) is None:
        yield from _class(name, value)
    elif inspect.isroutine(value):
        yield from _function(name, value)
    else:
        text = text_of_value(module_name, name)
        yield f"{name}{text}" if len(text) <= WIDTH else f"{name}: {type(value).__name__}"
        yield from _doc(docstring_of_value(module_name, name), "")


def _class(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    if hasattr(cls, "_field_defaults"):
        bases = "NamedTuple"
    if dataclasses.is_dataclass(cls):
        yield "@dataclass(frozen=True)" if cls.__dataclass_params__.frozen else "@dataclass"  # type: ignore[attr-defined]
    yield f"class {name}({bases}):" if bases else f"class {name}:"
    yield from _doc(_own_doc(cls), "    ")
    for line in _fields(cls):
        yield f"    {line}"
    for member_name, member in documented_members(cls):
        yield ""
        for line in _member(member_name, member):
            yield f"    {line}"


def _own_doc(cls: type) -> str:
    """Without what dataclass and NamedTuple make up where there is none."""
    doc = inspect.cleandoc(cls.__doc__ or "")
    return "" if doc.startswith(f"{cls.__name__}(") else doc


def _fields(cls: type) -> Iterator[str]:
    if issubclass(cls, Enum):
        yield from (f"{each.name} = {each.value!r}" for each in cls)
        return
    defaults: dict[str, Any] = dict(getattr(cls, "_field_defaults", {}))
    if dataclasses.is_dataclass(cls):
        for each in dataclasses.fields(cls):
            if each.default is not dataclasses.MISSING:
                defaults[each.name] = each.default
            elif each.default_factory is not dataclasses.MISSING:
                defaults[each.name] = ...
    for name, annotation in inspect.get_annotations(cls).items():
        if not name.startswith("_"):
            yield f"{name}: {_annotation(annotation)}" + (f" = {_shown(defaults[name])}" if name in defaults else "")


def documented_members(cls: type) -> list[tuple[str, Any]]:
    """The methods and properties that users of a class meet: its own, and those of bases that are not public.

    What only fulfils the contract of a foreign base class has its documentation there.
    """
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base is not cls and (not base.__module__.startswith("guthi") or _is_public(base)):
            continue
        for name, member in vars(base).items():
            if name not in found and _is_shown(cls, name, member):
                found[name] = member
    return list(found.items())


def _is_public(cls: type) -> bool:
    return any(value is cls for module in PUBLIC_MODULES for value in public(module).values())


def _is_shown(cls: type, name: str, member: Any) -> bool:
    if name.startswith("_") and name not in SHOWN_DUNDERS:
        return False
    function = _function_of(member)
    if function is None or not getattr(function, "__module__", "").startswith("guthi"):
        return False  # what dataclass, NamedTuple and Enum have made
    if name.startswith("_"):
        return not (dataclasses.is_dataclass(cls) and name == "__init__")  # the fields say it
    return not any(name in vars(base) for base in cls.__mro__ if not base.__module__.startswith("guthi"))


def _function_of(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    if isinstance(member, (classmethod, staticmethod)):
        return member.__func__
    return member if isinstance(member, types.FunctionType) else None


def _member(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property):
        yield "@property"
    elif isinstance(member, (classmethod, staticmethod)):
        yield f"@{type(member).__name__}"
    if getattr(_function_of(member), "__isabstractmethod__", False):
        yield "@abstractmethod"
    yield from _function(name, _function_of(member))


def _function(name: str, function: Any) -> Iterator[str]:
    word = "async def" if inspect.iscoroutinefunction(function) else "def"
    signature = inspect.signature(function)
    returned = signature.return_annotation
    arrow = "" if returned is inspect.Signature.empty else f" -> {_annotation(returned)}"
    doc = inspect.cleandoc(function.__doc__ or "")
    end = f"){arrow}:" if doc else f"){arrow}: ..."
    yield from _packed(f"{word} {name}(", list(_arguments(list(signature.parameters.values()))), end)
    yield from _doc(doc, "    ")


def _packed(begin: str, arguments: list[str], end: str) -> Iterator[str]:
    """A call on one line; or its arguments on lines of their own, as many to a line as fit."""
    if len(one_line := begin + ", ".join(arguments) + end) <= WIDTH:
        yield one_line
        return
    yield begin
    line = "       "
    for argument in arguments:
        if len(line) + len(argument) + 2 > WIDTH and line.strip():
            yield line
            line = "       "
        line += f" {argument},"
    yield line
    yield end


def _arguments(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """As in the code, with the marks of what is given by place or by name alone."""
    starred = False
    for index, each in enumerate(parameters):
        if each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        starred = starred or each.kind is each.VAR_POSITIONAL
        text = ("*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else "") + each.name
        if each.annotation is not each.empty:
            text += f": {_annotation(each.annotation)}"
        if each.default is not each.empty:
            text += f" = {_shown(each.default)}"
        yield text
        following = parameters[index + 1] if index + 1 < len(parameters) else None
        if each.kind is each.POSITIONAL_ONLY and (following is None or following.kind is not each.POSITIONAL_ONLY):
            yield "/"


def _annotation(annotation: object) -> str:
    if isinstance(annotation, ForwardRef):  # of a NamedTuple
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _shown(value: object) -> str:
    if value is ...:
        return "..."
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    plain = value is None or isinstance(value, (bool, int, float, str, bytes, tuple))
    return repr(value) if plain and len(repr(value)) < WIDTH // 2 else "..."


def _doc(doc: str, indent: str) -> Iterator[str]:
    if doc:
        lines = f'"""{doc}"""' if "\n" not in doc else f'"""{doc}\n"""'
        yield from (f"{indent}{line}" if line else "" for line in lines.split("\n"))
