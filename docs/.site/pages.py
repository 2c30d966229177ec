"""What mkdocs is told beyond mkdocs.yml: the list of decisions, and that `no-run` on a fence is for the tests only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Every decision is in the navigation, also one that was written today."""
    decisions = sorted((Path(config.docs_dir) / "decisions").glob("*.md"))
    config.nav.append({"Decisions": [f"decisions/{page.name}" for page in decisions]})
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Markdown knows no such word behind the language."""
    return re.sub(r"^```(\w+) no-run\b", r"```\1", markdown, flags=re.MULTILINE)
