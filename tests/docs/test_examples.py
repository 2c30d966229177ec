"""Every Python example of the docs runs: alone, as a reader would run it, in a process of its own.

What the words behind the language of a fence mean is in fences.py. An example that defines tests is given to pytest,
any other to Python (see warm.py) with warnings as errors; it shows by `assert` what it gives. Pages that are walked
through command by command are in test_walks.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.docs import warm
from tests.docs.fences import PAGES, ROOT, Fence, fences_of

TIMEOUT_S = 100.0
STAGE = Path(__file__).parent / "stage.py"


def is_run(fence: Fence) -> bool:
    return fence.language == "python" and not fence.says("no-run")


def file_of(fence: Fence) -> str:
    return fence.file("title") or f"example_at_line_{fence.line}.py"


def is_tests(fence: Fence) -> bool:
    return re.search(r"^(async )?def test_", fence.text, re.MULTILINE) is not None


class Reader:
    """Runs programs in a folder."""

    def __init__(self, folder: Path, warm_python: str) -> None:
        self._folder, self._warm_python = folder, warm_python
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("GUTHI_", "PYTEST_"))
        }

    def python(self, where: str, *command: str, strict: bool = True) -> None:
        with tempfile.TemporaryFile("w+") as output:
            _, ending = warm.ask(
                self._warm_python, list(command), strict=strict, output=output.fileno(), folder=str(self._folder),
                environment=self._environment,
            )  # fmt: skip
            status = warm.status_of(ending, TIMEOUT_S)
            output.seek(0)
            assert status == 0, f"{where}:\n{output.read()}"

    def pytest(self, where: str, file: str) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", file]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, f"{where}:\n{done.stdout}{done.stderr}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, warm_python: str) -> None:
    reader = Reader(tmp_path, warm_python)
    fences = [fence for fence in fences_of(page.read_text()) if is_run(fence) or fence.file("title")]
    for fence in fences:
        file = tmp_path / file_of(fence)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(fence.text)
        if is_run(fence) and not fence.says("stage"):
            (reader.pytest if is_tests(fence) else reader.python)(f"{page.name}, line {fence.line}", file_of(fence))
    if on_stage := [file_of(fence) for fence in fences if fence.says("stage")]:
        reader.python(f"{page.name}, what has the word `stage`", str(STAGE), *on_stage, strict=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_example_that_is_not_run_by_itself_is_a_file_of_its_page(page: Path) -> None:
    """Such a file is run by a walk through the page, or by a test of its own, as those of plugins.md."""
    fences = fences_of(page.read_text())
    skipped = [fence.line for fence in fences if fence.language == "python" and fence.says("no-run")]
    files = [fence.line for fence in fences if any(fence.file(word) for word in ("title", "append", "replace"))]
    assert sorted(set(skipped) - set(files)) == []


def test_what_is_run_and_what_is_not() -> None:
    page = """
```python
a
```
```console
$ b
```
```python no-run title="later.py"
c
```
```toml title="node.toml"
d
```
```python title="test_e.py"
async def test_e(): ...
```
```python stage
f
```
"""
    fences = fences_of(page)
    assert [(fence.line, file_of(fence), is_run(fence)) for fence in fences if fence.language != "console"] == [
        (2, "example_at_line_2.py", True),
        (8, "later.py", False),
        (11, "node.toml", False),
        (14, "test_e.py", True),
        (17, "example_at_line_17.py", True),
    ]
    assert not is_tests(fences[0]) and is_tests(fences[-2])
    assert [fence.says("stage") for fence in fences] == [False] * 5 + [True]


def test_files_are_made_and_changed(tmp_path: Path) -> None:
    page = """
```python title="a/b.py"
first
last
```
```python append="a/b.py"
end
```
```python replace="a/b.py"
last
and more
```
"""
    for fence in fences_of(page):
        fence.put_into(tmp_path)
    assert (tmp_path / "a" / "b.py").read_text() == "first\nlast\nand more\n\n\nend\n"
