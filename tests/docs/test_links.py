"""Every link of the docs leads somewhere: to a file, to a heading of it; links to other sites are looked at, not tried.

Anchors are those of the site: of a heading its small letters, digits, `-` and `_`, with `-` for spaces.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = re.compile(r"^(```+).*?^\1$|(?<!`)`[^`\n]+`(?!`)|<!--.*?-->", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(\s*([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def links_of(page: str) -> list[str]:
    """The targets of a page's links and pictures, code left out."""
    return LINK.findall(CODE.sub("", page))


def anchors_of(page: str) -> set[str]:
    """What may stand behind `#`."""
    found: list[str] = []
    for heading in HEADING.findall(re.sub(r"^(```+).*?^\1$", "", page, flags=re.MULTILINE | re.DOTALL)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())
        found.append(f"{slug}_{found.count(slug)}" if slug in found else slug)
    return set(found)


@cache
def anchors_in(path: Path) -> set[str]:
    return anchors_of(path.read_text(encoding="utf-8"))


def trouble_with(target: str, page: Path) -> str:
    """What is wrong with a link; empty when it is well."""
    url = urlsplit(target)
    if url.scheme or url.netloc:
        well_formed = url.scheme == "https" and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", url.netloc)
        return "" if well_formed else "is no address of a site"
    path = (page.parent / url.path).resolve() if url.path else page
    if not path.exists():
        return "is not there"
    if url.fragment and (path.suffix != ".md" or url.fragment not in anchors_in(path)):
        return "has no such heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    troubles = {target: trouble_with(target, page) for target in links_of(page.read_text(encoding="utf-8"))}
    assert {target: trouble for target, trouble in troubles.items() if trouble} == {}


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r"([\w./-]+\.md)$", navigation, re.MULTILINE)
    by_hand = [page.name for page in ROOT.glob("docs/*.md")]  # docs/.site adds those of api and decisions
    assert sorted(named) == sorted(by_hand)


def test_the_site_is_built_with_warnings_as_errors() -> None:
    """A quiet build has no warnings, whatever is wrong."""
    (build,) = re.findall(r"mkdocs build.*", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert "--strict" in build and "--quiet" not in build and "-q" not in build.split()


@pytest.mark.parametrize(
    ("target", "trouble"),
    [
        ("../README.md", ""),
        ("design.md#priorities-ranked", ""),
        ("#where-to-read", ""),
        ("https://example.org/a", ""),
        ("http://example.org/a", "is no address of a site"),
        ("https://example", "is no address of a site"),
        ("dezign.md", "is not there"),
        ("design.md#priorities", "has no such heading"),
        ("mutex-messages.png#a", "has no such heading"),
    ],
)
def test_what_is_wrong_with_a_link(target: str, trouble: str) -> None:
    assert trouble_with(target, ROOT / "docs" / "index.md") == trouble


def test_code_is_not_looked_at() -> None:
    page = (
        "[a](b.md) `[c](d.md)`\n```python\n[e](f.md)\n# no heading\n```\n![g](h.png)\n## A `b` [c](d.md)!\n## A b c\n"
    )
    assert links_of(page) == ["b.md", "h.png", "d.md"]
    assert anchors_of(page) == {"a-b-c", "a-b-c_1"}
