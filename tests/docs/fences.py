"""The fenced blocks of a page, and the words behind their language, which say what a test does with them.

| word                | meaning                                                                                    |
|---------------------|--------------------------------------------------------------------------------------------|
| `title="FILE"`      | it is a file of that name, which what follows on the page finds                            |
| `append="FILE"`     | it is added at the end of that file                                                        |
| `replace="FILE"`    | its first line stands once in that file, and is replaced by all of it                      |
| `stage`             | it is run where a network is at hand: see stage.py                                         |
| `no-run`            | it is not run by itself                                                                    |

docs/.site/pages.py takes them out of what readers see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Fence", "fences_of"]

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fence:
    """One block of a page; `line` is that of its fence."""

    line: int
    language: str
    words: str
    text: str

    def file(self, word: str) -> str:
        """The name behind `title`, `append` or `replace`; empty where there is none."""
        found = re.search(rf'\b{word}="([^"]+)"', self.words)
        return found[1] if found else ""

    def says(self, word: str) -> bool:
        """Whether it has a word of its own, as in `no-run`."""
        return word in self.words.split()

    def put_into(self, folder: Path) -> None:
        """Make or change the file that it is about."""
        if name := self.file("title"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(self.text)
        elif name := self.file("append"):
            (folder / name).write_text((folder / name).read_text() + "\n\n" + self.text)
        elif name := self.file("replace"):
            before, first = (folder / name).read_text(), self.text.partition("\n")[0] + "\n"
            assert before.count(first) == 1, f"{name} has {before.count(first)} lines {first!r}"
            (folder / name).write_text(before.replace(first, self.text))


def fences_of(page: str) -> list[Fence]:
    """All blocks that have a language, in the order of the page."""
    return [
        Fence(page.count("\n", 0, found.start()) + 1, found[1], found[2].strip(), found[3])
        for found in FENCE.finditer(page)
    ]
