"""The pages made of code are those on disk: docs/api, the tables of configuration.md, the hooks of hooks.md."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields

import pytest
from tests.reference.configuration import TABLES, default_of, meanings_of, rendered
from tests.reference.hooks import KERNEL_HOOKS, PLUGIN_HOOKS
from tests.reference.pages import DOCS, stale

from guthi.configuration.tables import read_table

CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
HOOKS = (DOCS / "hooks.md").read_text(encoding="utf-8")


def test_the_pages_say_what_the_code_says() -> None:
    differ = [str(path.relative_to(DOCS)) for path in stale()]
    assert not differ, (
        f"{differ} differ from the code: run `make reference`, and look at the difference. Where docs/api changes a "
        "name or a signature, the public API changes: say so in CHANGELOG.md, by the rules of docs/versions.md"
    )


# ---- the configuration


@pytest.mark.parametrize("table", TABLES)
def test_each_key_says_below_it_what_it_means(table: str) -> None:
    meanings = meanings_of(TABLES[table])
    assert list(meanings) == [field.name for field in fields(TABLES[table])]
    assert [key for key, meaning in meanings.items() if len(meaning) < 10] == []


@pytest.mark.parametrize("table", TABLES)
def test_a_default_that_is_written_into_a_file_is_the_default(table: str) -> None:
    keys = [field.name for field in fields(TABLES[table])]
    shown = {key: default_of(TABLES[table], key).strip("`") for key in keys}
    file = "\n".join(f"{key} = {default}" for key, default in shown.items() if default != "none")
    assert read_table(TABLES[table], tomllib.loads(file), table) == TABLES[table]()


def test_the_page_has_no_other_tables() -> None:
    assert sorted(re.findall(r"^##+ \[([a-z._]+)\]$", CONFIGURATION, re.MULTILINE)) == sorted(TABLES)


def test_a_table_that_is_missing_is_noticed() -> None:
    with pytest.raises(ValueError, match=r"no heading \[gossip\]"):
        rendered(CONFIGURATION.replace("## [gossip]", "## gossip"))


def test_what_stands_around_a_table_is_kept() -> None:
    row = "| `fanout` | whole number | `3` | To how many members at a time. |"
    assert row in CONFIGURATION
    assert rendered(CONFIGURATION.replace(row, "| `fanout` | | | |")) == rendered(CONFIGURATION)
    assert rendered(CONFIGURATION.replace("How values are written", "Values")).count("\nValues:") == 1


def test_a_key_without_a_meaning_has_none() -> None:
    assert meanings_of(Silent) == {"told": "What it means.", "silent": ""}


@dataclass(frozen=True)
class Silent:
    """A table with a key of which nobody says what it means."""

    told: int = 1
    """What it
    means."""
    silent: int = 2


# ---- the hooks


def test_the_page_has_a_heading_for_each_hook_and_no_other() -> None:
    brought = [name for names in PLUGIN_HOOKS.values() for name in names]
    assert re.findall(r"^### (\w+)$", HOOKS, re.MULTILINE) == [*KERNEL_HOOKS, *brought]
