"""What mkdocs is told beyond mkdocs.yml: pages that are there by rule, and that words on a fence are for the tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Every page of the API and every decision is in the navigation, also one that was written today."""
    for title, folder in (("API", "api"), ("Decisions", "decisions")):
        pages = sorted((Path(config.docs_dir) / folder).glob("*.md"), key=lambda page: page.stem)
        config.nav.append({title: [f"{folder}/{page.name}" for page in pages]})
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Readers see the name of a file; markdown knows none of the other words (tests/docs/fences.py)."""
    markdown = re.sub(r"^(```\w+.*) (?:no-run|stage)\b", r"\1", markdown, flags=re.MULTILINE)
    return re.sub(r"^(```\w+.*) (?:append|replace)=", r"\1 title=", markdown, flags=re.MULTILINE)
