"""The dashboard in a real browser: what people see, and what happens when they click."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from tests.plugins.dashboard.browser import PATIENCE_S, Page, needs_browser
from tests.plugins.dashboard.nodes import PLUGINS, SWIM, a_node, page_of
from tests.plugins.resources.network import Dialled
from tests.plugins.web.network import KEY

import guthi
from guthi_dvar import DVAR
from guthi_mutex import MUTEX
from guthi_resources import RESOURCES
from guthi_rpc import RPC
from guthi_web import WEB
from guthi_web.tokens import token_of

pytestmark = [
    needs_browser,
    pytest.mark.system,
    pytest.mark.timeout(400),  # a browser on a machine with much other work
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def alice() -> Iterator[guthi.BlockingNode]:
    with a_node("alice", **SWIM) as node:
        node.require(RPC).register(slow_square, name="square", run="thread")
        yield node


released = threading.Event()


def slow_square(number: int) -> int:
    """The square of a number; of those from 60 on not before the test says so."""
    if number >= 60:
        released.wait(PATIENCE_S)
    return number * number


def test_another_node_is_connected_from_the_page(driver: Chrome, alice: guthi.BlockingNode) -> None:
    with a_node("far", **SWIM) as far:
        page = page_of(driver, alice)
        page.until(lambda: [row[0] for row in page.rows()] == ["alice (this node)"])
        page.type("input[name=address]", "nonsense")
        page.click("form.bar button")
        page.until(lambda: "write host:port" in page.one(".message").text)
        page.type("input[name=address]", str(far.address))
        page.click("form.bar button")
        page.until(lambda: "connected to far" in page.one(".message").text)
        page.until(lambda: [row[0] for row in page.rows()] == ["alice (this node)", "far"])
        page.until(lambda: len(page.all("svg.map circle")) == 2 and len(page.all("svg.map line")) == 1)
        assert page.one("#summary").text == "2 alive"
        page.until(lambda: any(tile.text.startswith("Sessions\n1\n") for tile in page.all(".tile")))
        assert page.complaints() == [] or all("422" in each for each in page.complaints())


def test_a_killed_node_turns_failed_with_the_reason(driver: Chrome, alice: guthi.BlockingNode, tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[node]\nname = "victim"\nplugins = ["health"]\n[plugins.health]\ndetector = "swim"\n')
    call = [sys.executable, "-m", "guthi", "run", str(file), "--json", "--join", str(alice.address)]
    page = page_of(driver, alice)
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None and json.loads(process.stdout.readline())["name"] == "victim"
            page.until(lambda: ["victim", "alive"] in [row[:2] for row in page.rows()])
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
    page.until(lambda: ["victim", "failed"] in [row[:2] for row in page.rows()])
    assert any(row[0] == "victim" and "alice (" in row[8] for row in page.rows())
    assert "1 failed" in page.one("#summary").text
    page.open("Events")
    page.until(lambda: any("victim failed, as alice found" in row[4] for row in page.rows()))


def test_charts_move(driver: Chrome) -> None:
    with a_node("dialled", enabled=[each for each in PLUGINS if each != "resources"], classes=[Dialled]) as node:
        probe = node.require(RESOURCES).probe
        page = page_of(driver, node, "resources")
        page.until(lambda: "dialled" in page.one(".legend").text)
        for percent in (15.0, 85.0):
            probe.set(cpu_percent=percent)
            page.until(lambda percent=percent: f"{percent:.0f} %" in under_the_pointer(page))
        assert page.run(COLOURS) > 4  # something is drawn, in more than the colours of the scale
        (row,) = page.rows()
        assert row[0] == "dialled" and row[2] == "85 %" and row[6:8] == ["16.0 GiB", "8.0 GiB"]


COLOURS = (
    "const c = document.querySelector('canvas'); const d = c.getContext('2d')"
    ".getImageData(0, 0, c.width, c.height).data; return new Set(d).size"
)


def under_the_pointer(page: Page) -> str:
    """What the first chart tells of its right end."""
    page.run(
        "const canvas = document.querySelector('canvas'); const clientX = canvas.getBoundingClientRect().right - 8;"
        "canvas.dispatchEvent(new PointerEvent('pointermove', { clientX, clientY: 200 }))"
    )
    return page.one(".told").text


def test_a_map_is_run_and_its_progress_seen(driver: Chrome, alice: guthi.BlockingNode) -> None:
    page = page_of(driver, alice, "functions")
    page.until(lambda: page.rows() and page.rows()[0][0] == "square")
    page.click("tr.row")
    assert page.one("input[name=function]").get_attribute("value") == "square"
    page.type("textarea", "[7]")
    page.click("button[value=call]")
    page.until(lambda: page.one("#result").text == "49")
    page.type("textarea", json.dumps(list(range(120))))
    page.click("button[value=map]")
    bar = ".map-run[data-function=square] progress"
    page.until(lambda: 0 < float(page.one(bar).get_attribute("value") or 0) < 120)
    assert "in hand" in page.one(".map-run").text and not page.all(".map-run[data-over=true]")
    released.set()
    page.until(lambda: page.all(".map-run[data-over=true]") and page.one(bar).get_attribute("value") == "120")
    assert "120 of 120" in page.one(".map-run").text and "s each" in page.one(".map-run").text
    page.until(lambda: page.one("#result").text.startswith("120 of 120"))
    page.type("textarea", "nonsense")
    page.click("button[value=call]")
    page.until(lambda: "JSON" in page.one("#result").text)


def test_variables_and_locks_are_shown(driver: Chrome, alice: guthi.BlockingNode) -> None:
    dvar = alice.require(DVAR)
    dvar.create("temperature", 21.5)
    page = page_of(driver, alice, "variables")
    page.until(lambda: page.rows() and page.rows()[0][0] == "temperature")
    page.click("tr.row")
    page.until(lambda: page.one("#value").text == "21.5")
    grant = alice.require(MUTEX).acquire("door")
    page.open("Locks")
    page.until(lambda: page.rows() and page.rows()[0][:2] == ["door", "alice"])
    alice.require(MUTEX).release(grant)
    page.until(lambda: not page.rows())


def test_a_long_list_has_few_rows_in_the_document(driver: Chrome, alice: guthi.BlockingNode) -> None:
    dvar = alice.require(DVAR)
    for number in range(2000):
        dvar.create(f"item{number:04}", number, replicas=0)
    page = page_of(driver, alice, "variables")
    page.until(lambda: page.run("return document.querySelector('.scroll')?.scrollHeight ?? 0") > 2000 * 34)
    assert len(page.all("tr.row")) < 100
    page.run("document.querySelector('.scroll').scrollTop = 1000 * 34")
    page.until(lambda: any(row[0] == "item1000" for row in page.rows()))
    assert len(page.all("tr.row")) < 100
    page.type("input[type=search]", "item1999")
    page.until(lambda: [row[0] for row in page.rows()] == ["item1999"])


def test_this_node_tells_of_itself_without_secrets(driver: Chrome, alice: guthi.BlockingNode) -> None:
    page = page_of(driver, alice, "self")
    text = page.until(lambda: "Cluster keys" in page.one("#panel").text and page.one("#panel").text)
    assert str(alice.id) in text and "[plugins.health]" in text and "swim" in text


def test_light_and_dark(driver: Chrome, alice: guthi.BlockingNode) -> None:
    page = page_of(driver, alice)
    back = "return getComputedStyle(document.body).backgroundColor"
    page.until(lambda: page.tabs())
    light = page.run(back)
    page.click("#theme")
    dark = page.run(back)
    assert light != dark
    driver.refresh()
    page.until(lambda: page.tabs())
    assert page.run(back) == dark
    page.click("#theme")
    assert page.run(back) == light


def test_a_token_is_asked_for_and_opens_the_page(driver: Chrome) -> None:
    tables: dict[str, Any] = {"security": {"cluster_key": KEY.text()}, "plugins": {"web": {"authentication": "always"}}}
    with a_node("guarded", **tables) as node:
        page = page_of(driver, node)
        page.type("input[name=token]", "wrong")
        page.click("form.login button")
        page.until(lambda: "not the token" in page.one("form.login .message").text)
        page.type("input[name=token]", token_of(KEY))
        page.click("form.login button")
        page.until(lambda: [row[0] for row in page.rows()] == ["guarded (this node)"])
        assert page.run("return document.cookie") == ""  # no script sees the cookie
        page.click("#logout")
        page.one("input[name=token]")


def test_who_was_let_in_by_a_former_life_of_the_node_logs_in_again(driver: Chrome) -> None:
    tables: dict[str, Any] = {"security": {"cluster_key": KEY.text()}}
    settings = {"authentication": "always", "listen": "127.0.0.1:0"}
    with a_node("guarded", **tables, plugins={"web": settings}) as node:
        settings["listen"] = str(node.require(WEB).address)
        page = page_of(driver, node)
        page.type("input[name=token]", token_of(KEY))
        page.click("form.login button")
        page.until(lambda: page.one("#connection").text == "live")
    with a_node("guarded", **tables, plugins={"web": settings}):
        page.type("input[name=token]", token_of(KEY))
        assert "restarted" in page.one("form.login .message").text
        page.click("form.login button")
        page.until(lambda: page.one("#connection").text == "live" and page.rows())


def test_the_page_comes_back_when_the_node_does(driver: Chrome, tmp_path: Path) -> None:
    with a_node("first") as node:
        listen = str(node.require(WEB).address)
        page = page_of(driver, node)
        page.until(lambda: page.one("#connection").text == "live")
    page.until(lambda: page.one("#connection").text == "reconnecting")
    with a_node("second", plugins={"web": {"listen": listen}}):
        page.until(lambda: page.one("#connection").text == "live")
        page.until(lambda: page.driver.find_element(By.ID, "node-name").text == "second")
