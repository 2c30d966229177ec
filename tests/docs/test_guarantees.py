"""The page of every plugin has a table of what is guaranteed, and of what is not, when something fails."""

from __future__ import annotations

import re

import pytest
from tests.docs.fences import ROOT

PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
HEADINGS = ("What is guaranteed", "What is promised", "What holds", "What failures do", "Writes and crashes")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_page_says_what_is_guaranteed(plugin: str) -> None:
    page = (ROOT / "docs" / f"{plugin}.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)
    tables = [
        line
        for section in sections
        if section.startswith(HEADINGS)
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    assert len(tables) >= 4, f"docs/{plugin}.md needs a section {HEADINGS[0]!r}, or one of {HEADINGS[1:]}, with a table"
