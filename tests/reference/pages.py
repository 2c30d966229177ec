"""All generated pages together: what they should be, and which of those on disk are not so."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.reference import api, comparison, configuration, hooks
from tests.reference.workspace import PUBLIC_MODULES, ROOT

__all__ = ["DOCS", "generated", "stale"]

DOCS = ROOT / "docs"


@cache
def generated() -> dict[Path, str]:
    """The whole text of each page that is made of code or of figures; what stands around those parts is kept."""
    pages = {DOCS / "api" / f"{name}.md": api.page(name) for name in PUBLIC_MODULES}
    for path, rendered in ((DOCS / "configuration.md", configuration.rendered), (DOCS / "hooks.md", hooks.rendered)):
        pages[path] = rendered(path.read_text(encoding="utf-8"))
    path = DOCS / "comparison.md"
    pages[path] = comparison.rendered(path.read_text(encoding="utf-8"), DOCS / "benchmarks.json")
    return pages


def stale() -> list[Path]:
    """The pages that differ from the code, and those of packages that are gone."""
    differ = [
        path for path, text in generated().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return differ + [path for path in sorted((DOCS / "api").glob("*.md")) if path not in generated()]
