"""`guthi new plugin`: a package of each kind passes types and lint, and its tests can fail; a bad one leaves nothing.

That it passes its tests, where it and Guthi are installed from wheels, shows tests/system/test_installed.py.
"""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from guthi import Config, Node
from guthi.cli import new as new_module
from guthi.cli.new import KINDS, LONGEST_NAME, RESERVED, write_package
from guthi.cli.program import execute
from guthi.errors import UsageError
from guthi.plugins import Plugin, installed_plugins

NAMES = ("zz", "greeter", "word_count_2", "a" * LONGEST_NAME)  # the skeletons must be in good form with each


def run(package: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A Python module's program in the folder of the package, as its author would run it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GUTHI_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=package, env=environment, capture_output=True, text=True, check=False
    )


def passes(package: Path, *command: str) -> None:
    done = run(package, *command)
    assert done.returncode == 0, done.stdout + done.stderr


def forget(package: str) -> None:
    """So that the next one of that name is imported anew."""
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        del sys.modules[module]


# ---- what is written


@pytest.mark.parametrize("kind", KINDS)
def test_the_tests_of_a_package_can_fail(kind: str, tmp_path: Path) -> None:
    package = write_package("greeter", kind, tmp_path)
    machine, what, other = {
        "feature": ("board.py", "note.author] = (now", "note.author] = (0.0"),
        "mutex-algorithm": ("algorithm.py", "self._counter += 1", "self._counter += 0"),
        "failure-detector": ("detector.py", "known.timeout_s + self.settings.interval", "known.timeout_s"),
        "app": ("tally.py", "self._missing.remove(text)", "pass"),
    }[kind]
    file = package / "guthi_greeter" / machine
    source = file.read_text()
    assert source.count(what) == 1
    file.write_text(source.replace(what, other))
    machine_test = f"tests/test_{machine}"
    assert run(package, "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", "-x", machine_test).returncode == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_formatted_and_passes_its_linter(kind: str, name: str, tmp_path: Path) -> None:
    package = write_package(name, kind, tmp_path)
    passes(package, "ruff", "format", "--no-cache", "--diff", ".")
    passes(package, "ruff", "check", "--no-cache", ".")


@pytest.mark.timeout(300)
def test_the_packages_are_strictly_typed(tmp_path: Path) -> None:
    for kind in KINDS:  # one after the other: the kernel's types are read once for all
        passes(write_package(kind.replace("-", "_"), kind, tmp_path), "mypy", "--cache-dir", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_installer_finds_what_it_needs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = write_package("word_count", kind, tmp_path)
    assert package == tmp_path / "guthi-word-count"
    project: dict[str, Any] = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["license"]) == ("guthi-word-count", "MIT")
    assert (package / project["readme"]).is_file() and (package / "guthi_word_count" / "py.typed").is_file()
    needed = {each.partition("~=")[0].partition(">=")[0] for each in project["dependencies"]}
    assert {"guthi", *KINDS[kind].needs} <= needed
    monkeypatch.syspath_prepend(str(package))
    groups = project["entry-points"]
    try:
        plugin = pkgutil.resolve_name(groups["guthi.plugins"]["word_count"])
        assert issubclass(plugin, Plugin) and plugin.name == "word_count" and plugin.hookspecs is not None
        for target in groups.get("guthi.demos", {}).values():
            assert callable(pkgutil.resolve_name(target))
    finally:
        forget("guthi_word_count")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_node_runs_with_the_file_of_the_readme(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_package("word_count", kind, tmp_path)
    (shown,) = re.findall(r"```toml\n(.*?)```", (package / "README.md").read_text(), re.DOTALL)
    mapping = tomllib.loads(shown)
    names = mapping["node"].pop("plugins")
    monkeypatch.syspath_prepend(str(package))
    classes = {name: plugin.load() for name, plugin in installed_plugins().items() if name in names}
    try:
        classes["word_count"] = pkgutil.resolve_name("guthi_word_count.plugin:WordCountPlugin")
        config = Config.from_mapping(mapping, enabled=names, environment={})
        async with Node(config, plugins=[classes[name] for name in names]) as node:
            assert [plugin.name for plugin in node.plugins] == names
    finally:
        forget("guthi_word_count")


@pytest.mark.parametrize("kind", KINDS)
def test_no_place_of_a_skeleton_stays_empty(kind: str, tmp_path: Path) -> None:
    package = write_package("greeter", kind, tmp_path)
    texts = {path: path.read_text() for path in package.rglob("*") if path.is_file()}
    assert {".github/workflows/check.yml", ".gitignore", "README.md"} <= {
        str(path.relative_to(package)) for path in texts
    }
    for path, text in texts.items():
        assert "$" not in text.replace("${{ matrix", "").replace("\n$ ", "\n"), path


# ---- what is refused


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("word-count", "for example 'word_count'"),
        ("WordCount", "for example 'wordcount'"),
        ("2nd", "with two letters in front, for example 'nd'"),
        ("x", "use 2 to 20 small letters"),
        ("a" * 21, "use 2 to 20 small letters"),
        ("_greeter", "for example 'greeter'"),
        ("greeter_", "for example 'greeter'"),
        ("../greeter", "for example 'greeter'"),
        ("größe", "use 2 to 20 small letters"),
        ("class", "means something else"),
        *((name, "means something else") for name in RESERVED),
        ("rpc", "a plugin 'rpc' is installed already, from guthi-rpc"),
    ],
)
def test_a_name_that_will_not_do_is_refused_with_the_mend(name: str, mend: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=mend):
        write_package(name, "feature", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = ["new", "plugin", "greeter", "--path", str(tmp_path)]
    assert execute(order) == 0
    assert f"wrote {tmp_path / 'guthi-greeter'}; next: " in capsys.readouterr().err
    readme = tmp_path / "guthi-greeter" / "README.md"
    readme.write_text("mine")
    assert execute(order) == 2
    assert "exists already and is not overwritten; choose another name" in capsys.readouterr().err
    assert readme.read_text() == "mine"


def test_an_unknown_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["new", "plugin", "greeter", "--kind", "magic", "--path", str(tmp_path)]) == 2
    assert "'magic' is not one of 'app', 'failure-detector', 'feature', 'mutex-algorithm'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written: Not a directory; choose another --path"):
        write_package("greeter", "feature", tmp_path / "file")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "x"), KeyboardInterrupt()])
def test_what_fails_half_way_leaves_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    write = new_module._write

    def fail(path: Path, text: str) -> None:
        if len(written) == 5:
            raise error
        written.append(path)
        write(path, text)

    monkeypatch.setattr(new_module, "_write", fail)
    with pytest.raises((UsageError, KeyboardInterrupt)):
        write_package("greeter", "feature", tmp_path)
    assert len(written) == 5 and list(tmp_path.iterdir()) == []
