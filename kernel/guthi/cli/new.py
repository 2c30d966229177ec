"""`guthi new plugin NAME`: a whole plugin package of one of four kinds, which passes its own tests as it is.

The packages are folders of `skeletons`, each laid over `common`: files of `string.Template`, whose name ends in .tmpl.
In their paths `package` stands for the package's own folder, and `dot-` at the front for a dot.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from keyword import iskeyword
from pathlib import Path
from string import Template
from types import MappingProxyType

import click

from guthi.errors import UsageError
from guthi.plugins import installed_plugins

__all__ = ["KINDS", "new", "write_package"]

SUFFIX = ".tmpl"
LONGEST_NAME = 20  # the lines of the skeletons are wrapped for names up to this length
# What a plugin's table, or the keyword of a simulated world that stands for it, could be taken for
RESERVED = ("broadcast", "cluster", "disk", "gossip", "guthi", "join", "node", "plugins", "security", "transport")


@dataclass(frozen=True, slots=True)
class Kind:
    """What one can begin with; `needs` are the distributions beside guthi, with their versions if not Guthi's own."""

    description: str
    needs: Sequence[str] = ()
    libraries: Sequence[str] = ()
    demo: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "feature": Kind("Guthi plugin: each node posts a note, which all nodes show."),
        "mutex-algorithm": Kind("Guthi plugin: a mutex algorithm with a coordinator.", needs=("guthi-mutex",)),
        "failure-detector": Kind("Guthi plugin: a failure detector that learns.", needs=("guthi-health",)),
        "app": Kind(
            "Guthi app: counts words on all nodes.", needs=("guthi-rpc",), libraries=("click>=8.1",), demo=True
        ),
    }
)


@click.group
def new() -> None:
    """Begin something new.

    \b
    Example:
      guthi new plugin greeter
    """


@new.command
@click.argument("name")
@click.option("--kind", type=click.Choice(sorted(KINDS)), default="feature", show_default=True, help="What it brings.")
@click.option(
    "--path", "folder", type=click.Path(path_type=Path), default=".", show_default=True, help="Where its folder goes."
)
def plugin(name: str, kind: str, folder: Path) -> None:
    """Write a plugin package.

    It is a folder guthi-NAME with a plugin, its tests, checks and README. It works as it is: change it bit by bit.

    \b
    Example:
      guthi new plugin greeter --kind feature --path ~/code
    """
    written = write_package(name, kind, folder)
    click.echo(f"wrote {written}; next: cd {written} && python3 -m pip install -e '.[dev]' && pytest", err=True)


def write_package(name: str, kind: str, folder: Path) -> Path:
    """Write the package of a new plugin into a folder of its own within `folder`, and return that.

    All of it is written, or nothing. Raises UsageError for a name that will not do, and where nothing can be written.
    """
    check_name(name)
    values = _values(name, KINDS[kind])
    target = folder / values["distribution"]
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists already and is not overwritten; choose another name, or another --path")
    draft = target.with_name(f".{target.name}.draft")
    try:
        draft.mkdir(parents=True)
        try:
            for path, template in _templates(kind):
                _write(draft / path.format(package=values["package"]), template.substitute(values))
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}; choose another --path") from None
    return target


def check_name(name: str) -> None:
    """Raise UsageError for a name that cannot be a plugin's: it becomes part of modules, classes, tables and hooks."""
    if not re.fullmatch(r"[a-z]{2}(_?[a-z0-9])*", name, re.ASCII) or len(name) > LONGEST_NAME:
        close = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", name.lower())).strip("_0123456789")[:LONGEST_NAME]
        hint = f", for example {close!r}" if re.fullmatch(r"[a-z]{2}(_?[a-z0-9])*", close) else ""
        raise UsageError(
            f"{name!r} cannot be a plugin's name; use 2 to {LONGEST_NAME} small letters, digits and single _, "
            f"with two letters in front{hint}"
        )
    if iskeyword(name) or name in RESERVED:
        raise UsageError(f"{name!r} means something else to Python or to Guthi; choose another name")
    installed = installed_plugins().get(name)
    if installed is not None:
        raise UsageError(f"a plugin {name!r} is installed already, from {installed.distribution}; choose another name")


def _values(name: str, kind: Kind) -> dict[str, str]:
    package = f"guthi_{name}"
    needs = [f"{needed}~={_version(needed)}" for needed in ("guthi", *kind.needs)]
    demos = f'\n[project.entry-points."guthi.demos"]\n{name} = "{package}.demo:demo"\n'
    return {
        "name": name,
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "CONSTANT": name.upper(),
        "package": package,
        "distribution": package.replace("_", "-"),
        "description": kind.description,
        "dependencies": "\n".join(f'    "{each}",' for each in sorted([*needs, *kind.libraries])),
        "more_entry_points": demos if kind.demo else "",
    }


def _version(distribution: str) -> str:
    """Of what is installed, or else Guthi's own: the plugins of Guthi's repository appear together."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return version("guthi")


def _templates(kind: str) -> Iterator[tuple[str, Template]]:
    for layer in ("common", kind):
        for path, file in _walk(files("guthi.cli") / "skeletons" / layer):
            yield path, Template(file.read_text(encoding="utf-8"))


def _walk(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = re.sub("^dot-", ".", each.name)
        name = "{package}" if name == "package" else name
        if each.is_dir():
            yield from _walk(each, f"{above}{name}/")
        elif name.endswith(SUFFIX):
            yield above + name.removesuffix(SUFFIX), each


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
