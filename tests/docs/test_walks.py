"""The pages that one follows with a terminal are followed: files are written, commands typed, outputs compared.

Blocks are taken in the order of the page, in one folder. In a `console` block a line after `$` is a command, what
stands below it is what it prints. `guthi run` and `guthi up` get a terminal of their own until the page ends. Numbers,
ids and the names after `by` may differ, further lines may come between, and ports 6969 and 6970 are others, that are
free. A command ends with 0, unless an error is shown. The environment is the one that the tests run in: what would
install something is left out, but that a plugin package becomes known; mypy too, which tests/kernel/test_new.py runs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from tests.docs import warm
from tests.docs.fences import ROOT, Fence, fences_of

PATIENCE_S = 120.0
LEFT_OUT = re.compile(r"python3? -m venv|(\S*/)?pip |source |\. |mypy ")
INSTALL = re.compile(r"pip install -e '?\.")
TERMINAL = re.compile(r"guthi (run|up) ")
PORTS = ("6969", "6970")
# What would make programs print other lines: with CI, pytest does not cut those of its summary.
OTHER_OUTPUT = re.compile("GUTHI_|PYTEST_|(CI|BUILD_NUMBER|FORCE_COLOR|NO_COLOR|PY_COLORS)$")

VARIANTS = {"id": "[a-z2-7]{13}", "by": r"\s+by \w+", "number": r"\d+", "gap": r"\s+"}
VARYING = re.compile(r"(?P<id>\b[a-z2-7]{13}\b)|(?P<by> +by \w+)|(?P<number>\d+)|(?P<gap> +)")

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]


class Walk:
    """One reader: a folder, free ports in place of those of the page, and the terminals that are open.

    `guthi`, and `python` with a file, run in copies of a warm Python (see warm.py); so the page takes half the time.
    """

    def __init__(self, folder: Path, warm_python: str) -> None:
        self.folder = self._where = folder
        self._ports = {port: free_port() for port in PORTS}
        self._terminals: list[tuple[subprocess.Popen[str], Path]] = []
        programs = Path(sys.executable).parent
        sooner = f'exec "{sys.executable}" -I -S "{warm.__file__}" "{warm_python}"'
        self._program("guthi", f'{sooner} "{programs}/guthi" "$@"')
        self._program("python", f'case "$1" in *.py) {sooner} "$@";; *) exec "{sys.executable}" "$@";; esac')
        kept = {name: value for name, value in os.environ.items() if not OTHER_OUTPUT.match(name)}
        own = {"PATH": f"{folder}/.bin:{programs}:{kept['PATH']}", "PYTHONUNBUFFERED": "1", "COLUMNS": "80"}
        self._environment = kept | own | {"PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider"}

    def _program(self, name: str, line: str) -> None:
        file = self.folder / ".bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)

    def follow(self, fence: Fence) -> None:
        """Do what a block says."""
        if fence.language == "console" and not fence.says("no-run"):
            for command, output in commands_of(self._translated(fence.text)):
                self._type(command, output)
        else:
            fence.put_into(self._where)
        self._translate_files()

    def _type(self, command: str, output: str) -> None:
        if INSTALL.match(command):
            self._install()
        if LEFT_OUT.match(command):
            return
        if command.startswith("cd "):
            self._where /= command.removeprefix("cd ")
            return
        file = self.folder / f".output-{len(list(self.folder.glob('.output-*')))}"
        with file.open("w") as writing:
            line = f"exec {command}" if TERMINAL.match(command) else command
            process = subprocess.Popen(
                ["bash", "-c", line], cwd=self._where, env=self._environment, stdin=subprocess.DEVNULL, stdout=writing,
                stderr=writing, text=True,
            )  # fmt: skip
        if TERMINAL.match(command):
            self._terminals.append((process, file))
            deadline = time.monotonic() + PATIENCE_S
            while not matches(output, file.read_text()) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
        else:
            code = process.wait(PATIENCE_S)
            assert code == 0 or re.search("FAILED|error", output), f"$ {command}\n{file.read_text()}"
        assert matches(output, file.read_text()), f"$ {command}\n{file.read_text()}\n-- and not:\n{output}"

    def _install(self) -> None:
        """As `pip install -e .` would, of the package in the present folder: by name, and by its entry points."""
        project = tomllib.loads((self._where / "pyproject.toml").read_text())["project"]
        about = self.folder / "installed" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        points = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (about / "entry_points.txt").write_text("\n".join(points))
        self._environment["PYTHONPATH"] = f"{self._where}:{about.parent}"

    def _translated(self, text: str) -> str:
        for port, free in self._ports.items():
            text = text.replace(port, free)
        return text

    def _translate_files(self) -> None:
        for file in [*self.folder.rglob("*.toml"), *self.folder.rglob("*.py")]:
            if (text := file.read_text()) != self._translated(text):
                file.write_text(self._translated(text))

    def end(self) -> list[int]:
        """Press Ctrl-C in every terminal; returns how each program ended."""
        for process, _ in reversed(self._terminals):
            process.send_signal(signal.SIGINT)
        return [process.wait(PATIENCE_S) for process, _ in self._terminals]


def free_port() -> str:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def commands_of(console: str) -> list[tuple[str, str]]:
    """Each command of a block, with what it is said to print."""
    parts = re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def matches(expected: str, printed: str) -> bool:
    """Whether the lines that are expected were printed, in this order; others may be between them."""
    lines = iter(printed.splitlines())
    patterns = [pattern_of(line) for line in expected.splitlines() if line.strip() not in ("", "[...]")]
    return all(any(re.fullmatch(pattern, line.strip()) for line in lines) for pattern in patterns)


def pattern_of(line: str) -> str:
    return re.sub(VARYING, lambda found: VARIANTS[str(found.lastgroup)], re.escape(line.strip()).replace("\\ ", " "))


@pytest.mark.parametrize("page", ["quickstart.md", "tutorial.md", "write-a-plugin.md"])
def test_a_reader_comes_to_the_end(page: str, tmp_path: Path, warm_python: str) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    walk = Walk(tmp_path, warm_python)
    try:
        for fence in fences_of((ROOT / "docs" / page).read_text(encoding="utf-8")):
            walk.follow(fence)
    finally:
        codes = walk.end()
    assert set(codes) <= {0, -signal.SIGKILL}  # one node of the tutorial kills itself


@pytest.mark.parametrize(
    ("printed", "fits"),
    [
        ("NAME  PORT\nalice 127.0.0.1:99\nbob   x\nend 7\n", True),
        ("noise\nNAME PORT\nalice 10.0.0.1:5\nend 8\n", True),
        ("NAME PORT\nbob 10.0.0.1:5\nend 8\n", False),
        ("NAME PORT\nalice 10.0.0.1:5\nend\n", False),
    ],
)
def test_what_counts_as_the_same_output(printed: str, fits: bool) -> None:
    assert matches("NAME  PORT\nalice  127.0.0.1:6969\n[...]\nend 7\n", printed) is fits
