"""Every Python example of the docs runs: alone, as a reader would run it, in a process of its own.

A fence ```` ```python ```` is run; ```` ```python no-run ```` is not. With `title="NAME"` an example, in whatever
language and run or not, is a file of that name, which later examples of the page find beside them. An example that
defines tests is given to pytest, any other to Python with warnings as errors; it shows by `assert` what it gives.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 100.0


@dataclass(frozen=True, slots=True)
class Example:
    """One fenced example of a page; `line` is that of its fence."""

    line: int
    file: str
    text: str
    runs: bool

    @property
    def command(self) -> list[str]:
        """How a reader would run it."""
        if re.search(r"^(async )?def test_", self.text, re.MULTILINE):
            return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", self.file]
        return [sys.executable, "-W", "error", self.file]


def examples_of(page: str) -> list[Example]:
    """The examples of a page that are run or are files."""
    found = []
    for fence in FENCE.finditer(page):
        language, words, text = fence.groups()
        title = re.search(r'title="([^"]+)"', words)
        runs = language == "python" and "no-run" not in words.split()
        line = page.count("\n", 0, fence.start()) + 1
        if runs or title:
            found.append(Example(line, title[1] if title else f"example_at_line_{line}.py", text, runs))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GUTHI_", "PYTEST_"))}
    for example in examples_of(page.read_text()):
        file = tmp_path / example.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(example.text)
        if not example.runs:
            continue
        done = subprocess.run(
            example.command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, f"{page.name}, line {example.line}:\n{done.stdout}{done.stderr}"


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
"""
    examples = examples_of(page)
    assert [(example.line, example.file, example.runs) for example in examples] == [
        (2, "example_at_line_2.py", True),
        (8, "later.py", False),
        (11, "node.toml", False),
        (14, "test_e.py", True),
    ]
    assert examples[0].command[-1] == "example_at_line_2.py" and "pytest" in examples[-1].command
