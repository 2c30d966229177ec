"""The tabs with real data in a real browser: files, events, durations, many nodes; and names that mean harm."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from tests.plugins.dashboard.browser import Page, a_browser, needs_browser
from tests.plugins.dashboard.nodes import PLUGINS, a_node, page_of

import guthi
from guthi_dvar import DVAR
from guthi_gutfs import GUTFS
from guthi_mutex import MUTEX
from guthi_rpc import RPC
from guthi_web import nodes

pytestmark = [
    needs_browser,
    pytest.mark.system,
    pytest.mark.timeout(400),  # a browser on a machine with much other work
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

EVIL = "<img src=x onerror=alert(1)>"
app = logging.getLogger("app.tabs")


def sharing(folder: Path) -> dict[str, Any]:
    return {"plugins": {"gutfs": {"exports": [f"{folder}:/shared:rw"]}}}


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[guthi.BlockingNode]:
    """A node with something for every tab."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "notes").mkdir()
    (folder / "notes" / "todo.txt").write_text("buy milk")
    (folder / f"{EVIL.replace('/', '')}.txt").write_text("")
    (folder / "large.bin").write_bytes(bytes(3 << 20))
    with a_node("keeper", enabled=[*PLUGINS, "gutfs"], zone="attic", **sharing(folder)) as node:
        node.require(RPC).register(invert, run="inline")
        yield node


def invert(number: float) -> float:
    """One by the number."""
    return 1 / number


def test_folders_are_opened_by_a_click(driver: Chrome, keeper: guthi.BlockingNode) -> None:
    page = page_of(driver, keeper, "files")
    page.click("tr[data-name=shared]")
    page.until(lambda: ["large.bin", "3.0 MiB"] in [row[:2] for row in page.rows()])
    page.click("tr[data-name=notes]")
    page.until(lambda: [row[:2] for row in page.rows()] == [["todo.txt", "8 B"]])
    assert page.rows()[0][3] == "keeper"
    keeper.require(GUTFS).write("/shared/notes/done.txt", b"bread")
    assert keeper.require(GUTFS).read("/shared/notes/todo.txt") == b"buy milk"
    page.run("document.querySelectorAll('.bar .bar button')[1].click()")
    page.until(lambda: "large.bin" in [row[0] for row in page.rows()])
    page.click("tr[data-name=notes]")
    page.until(lambda: [row[:2] for row in page.rows()] == [["done.txt", "5 B"], ["todo.txt", "8 B"]])
    page.until(lambda: [row[:2] for row in page.rows(1)] == [["keeper", "/shared (rw)"]])


def test_a_folder_that_is_gone_is_told(driver: Chrome, keeper: guthi.BlockingNode) -> None:
    keeper.require(GUTFS).mkdir("/shared/brief")
    page = page_of(driver, keeper, "files")
    page.click("tr[data-name=shared]")
    page.until(lambda: "brief/" in [row[0] for row in page.rows()])
    keeper.require(GUTFS).delete("/shared/brief")
    page.click("tr[data-name=brief]")
    page.until(lambda: "NotFound" in page.one("#panel-files .message").text)


def test_durations_of_functions_are_shown(driver: Chrome, keeper: guthi.BlockingNode) -> None:
    rpc = keeper.require(RPC)
    for number in (1, 2, 4, 0):
        try:
            rpc.call("invert", number)
        except ZeroDivisionError:
            pass
    page = page_of(driver, keeper, "functions")
    page.until(lambda: [row[4:6] for row in page.rows() if row[0] == "invert"] == [["4", "1"]])
    (row,) = [row for row in page.rows() if row[0] == "invert"]
    assert row[6].endswith("s") and row[7].endswith("s")


def test_events_are_filtered_and_fill_the_list_at_once(driver: Chrome, keeper: guthi.BlockingNode) -> None:
    for number in range(40):
        app.warning("picture %d is late", number)
    app.error("the oven is too hot\nand the door is open")
    page = page_of(driver, keeper, "events")
    page.until(lambda: sum("is late" in row[4] for row in page.rows()) > 15)  # as many as there is room for
    page.type("input[type=search]", "oven")
    page.until(lambda: [row[1:] for row in page.rows()] == [["error", "keeper", "app.tabs", "the oven is too hot"]])
    page.click("tr.row")
    page.until(lambda: "and the door is open" in page.one("pre").text)
    page.type("input[type=search]", "picture 7 ")
    page.until(lambda: [row[4] for row in page.rows()] == ["picture 7 is late"])
    page.run("const s = document.querySelector('select'); s.value = 'error'; s.dispatchEvent(new Event('change'))")
    page.until(lambda: not page.rows())


def test_what_anybody_calls_anything_is_text(driver: Chrome, keeper: guthi.BlockingNode) -> None:
    """Names of functions, variables, locks and files, values, and lines of logs come from other machines."""
    app.error("%s", EVIL)
    keeper.require(RPC).register(lambda: None, name=EVIL)
    keeper.require(DVAR).create("evil", EVIL)
    grant = keeper.require(MUTEX).acquire(EVIL)
    page, clicked = page_of(driver, keeper, "functions"), {"Variables": "tr[data-name=evil]", "Events": "tr.row"}
    try:
        for title in ("Functions", "Variables", "Locks", "Events"):
            page.open(title)
            if title in clicked:
                page.click(clicked[title])
            page.until(lambda: "<img" in page.one("#panel").text)
            assert_no_html(page)
        page.open("Files")
        page.click("tr[data-name=shared]")
        page.until(lambda: "<img" in page.one("#panel").text)
        assert_no_html(page)
    finally:
        keeper.require(MUTEX).release(grant)
        keeper.require(RPC).unregister(EVIL)


def assert_no_html(page: Page) -> None:
    assert page.all("main img") == [] and page.run("return document.querySelectorAll('[onerror]').length") == 0


def many(count: int) -> list[dict[str, Any]]:
    """Rows of so many nodes, one of them failed, with names and zones that mean harm."""
    common = {"port": 6969, "role": "peer", "rtt_ms": 1.5, "plugins": {"rpc": "0.1"}, "verdict": None}
    rows = [
        {"id": f"id{n:04}", "name": f"node{n:04}", "address": f"10.0.{n >> 8}.{n & 255}", "zone": "z", "state": "alive"}
        for n in range(count)
    ]
    rows[7] |= {"name": f"{EVIL}7", "zone": EVIL, "state": "failed", "verdict": EVIL}
    return [{**common, **row, "is_me": row["name"] == "node0000"} for row in rows]


def test_a_thousand_nodes_are_shown_and_scrolled(
    driver: Chrome, keeper: guthi.BlockingNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = many(1000)
    monkeypatch.setattr(nodes, "_nodes", lambda node: rows)
    page = page_of(driver, keeper)
    page.until(lambda: page.one("#summary").text == "999 alive, 1 failed")
    assert 10 < page.until(lambda: len(page.all("tr.row"))) < 100
    page.run("document.querySelector('.scroll').scrollTop = 500 * 34")
    page.until(lambda: any(row[0] == "node0500" for row in page.rows()))
    assert len(page.all("tr.row")) < 100 and len(page.all("svg.map circle")) == 1000
    page.type("input[type=search]", "10.0.3.231")
    page.until(lambda: [row[0] for row in page.rows()] == ["node0999"])
    page.type("input[type=search]", "onerror")
    page.until(lambda: [row[0] for row in page.rows()] == [f"{EVIL}7"])
    page.until(lambda: page.one(".tile .bad").text == "1")
    assert_no_html(page)
    rows[3] |= {"state": "failed"}
    page.until(lambda: page.one("#summary").text == "998 alive, 2 failed")


def test_on_a_phone_nothing_is_wider_than_the_screen(keeper: guthi.BlockingNode) -> None:
    with a_browser(360, 740, is_dark=True) as phone:
        page = page_of(phone, keeper)
        for title in page.until(page.tabs):
            page.open(title)
            assert page.run("return document.documentElement.scrollWidth") <= 360, title
        page.open("Nodes")
        page.until(lambda: page.rows())
        assert not page.one("th.minor").is_displayed() and page.one("th:not(.minor)").is_displayed()


def test_the_browser_has_nothing_against_the_page(driver: Chrome, keeper: guthi.BlockingNode) -> None:
    page = page_of(driver, keeper)
    page.until(page.tabs)
    page.complaints()
    for title in page.tabs():
        page.open(title)
    assert page.complaints() == []
