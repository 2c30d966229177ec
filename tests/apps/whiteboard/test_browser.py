"""The page in a real browser: what people draw, and what is left of it when a node is killed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, Keys
from tests.apps.whiteboard.browser import Sheet, touch
from tests.apps.whiteboard.drawing import ANNE
from tests.plugins.dashboard.browser import needs_browser

import guthi
from guthi import Address
from guthi_whiteboard.staging import pages, write_cluster

pytestmark = [
    needs_browser,
    pytest.mark.system,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@contextmanager
def a_process(config: guthi.Config, *join: Address) -> Iterator[tuple[subprocess.Popen[str], Address]]:
    call = [sys.executable, "-m", "guthi", "run", str(config.source), "--json"]
    call += [word for address in join for word in ("--join", str(address))]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, Address.parse(json.loads(process.stdout.readline())["address"])
        finally:
            process.kill()


def web_port_kept(config: guthi.Config, url: str) -> guthi.Config:
    """The same node with its web server where it was."""
    assert config.source is not None
    port = re.search(r":(\d+)/", url)
    assert port is not None
    text = config.source.read_text().replace(
        '[plugins.web]\nlisten = "127.0.0.1:0"', f'[plugins.web]\nlisten = "127.0.0.1:{port[1]}"'
    )
    config.source.write_text(text)
    return guthi.Config.from_toml(config.source)


def test_a_killed_node_comes_back_and_both_boards_are_the_same(
    driver: Chrome, tmp_path: Path, record_property: Any
) -> None:
    alice, bob = write_cluster(tmp_path, 2).nodes
    with a_process(alice) as (victim, first), a_process(bob, first) as (_, second):
        here_url, there_url = asyncio.run(pages([first], ["alice", "bob"], alice))
        here, there = Sheet(driver, f"{here_url}#plans"), Sheet(driver, f"{there_url}#plans")
        for turn in range(5):
            here.drag("pen", (200, 100 + 20 * turn), (300, 150), (400, 100), (500, 150 + 20 * turn))
            there.until(f"whiteboard.board.shown === {turn + 1}")
        record_property("latency_ms", latency_ms(here, there))
        here.until("whiteboard.isSettled()")

        victim.send_signal(signal.SIGKILL)
        victim.wait()
        here.until("!whiteboard.connection.isLive")
        here.drag("rectangle", (600, 100), (700, 200))
        there.drag("ellipse", (600, 300), (700, 400))
        here.drag("highlighter", (150, 120), (550, 140))
        there.drag("eraser", (180, 90), (220, 110))
        assert (here.shown, there.shown) == (7, 5)

        with a_process(web_port_kept(alice, here_url), second):
            here.until("whiteboard.isSettled() && whiteboard.board.shown === 7")
            there.until("whiteboard.isSettled() && whiteboard.board.shown === 7")
            assert here.kinds() == there.kinds()
            assert here.picture() == there.picture()
            here.run("location.reload()")
            here.until("globalThis.whiteboard?.isSettled()")
            here.run("whiteboard.camera.to(0.1); whiteboard.camera.center(0, 0)")
            assert here.picture() == there.picture()
            there.drag("arrow", (100, 500), (300, 500))
            here.until("whiteboard.board.shown === 8")
            assert here.picture() == there.picture()


def latency_ms(here: Sheet, there: Sheet) -> list[float]:
    """From the end of a stroke on one page to when the other had it, of strokes drawn one after the other."""
    figures = []
    for _ in range(10):
        began, key = here.run(
            "const value = { kind: 'line', colour: 'ink', width: 20, ends: [0, 900, 90, 900] };"
            "const began = performance.timeOrigin + performance.now();"
            "whiteboard.commit([{ after: value }]);"
            "return [began, whiteboard.lastMade[0].key]"
        )
        there.until(f"whiteboard.board.entries.get('{key}')?.heard_ms")
        figures.append(there.run(f"return whiteboard.board.entries.get('{key}').heard_ms") - began)
        here.run("whiteboard.undo()")
    there.until("whiteboard.board.shown === 5")
    print("from page to page, ms:", *(f"{each:.0f}" for each in sorted(figures)))
    return figures


def test_everything_that_can_be_drawn_changed_and_taken_back(driver: Chrome, url: str) -> None:
    sheet = Sheet(driver, f"{url}#all")
    blank = sheet.picture()
    for number, tool in enumerate(["pen", "highlighter", "line", "arrow", "rectangle", "ellipse"]):
        sheet.drag(tool, (200, 80 + 70 * number), (300, 100 + 70 * number), (400, 130 + 70 * number))
    sheet.drag("text", (500, 100))
    driver.switch_to.active_element.send_keys("<b>bold</b>")
    sheet.run("document.activeElement.blur()")
    assert sheet.kinds() == ["pen", "highlighter", "line", "arrow", "rectangle", "ellipse", "text"]
    drawn = sheet.picture()
    assert drawn != blank

    sheet.drag("select", (205, 82), (255, 102))
    moved = sheet.picture()
    assert moved != drawn
    sheet.press(Keys.CONTROL, "z")
    assert sheet.picture() == drawn
    sheet.press(Keys.CONTROL, Keys.SHIFT, "z")
    assert sheet.picture() == moved
    sheet.press(Keys.CONTROL, "z")
    sheet.drag("eraser", (300, 90), (300, 560))
    assert sheet.shown < 4
    for _ in range(2):  # the eraser, then the text
        sheet.press(Keys.CONTROL, "z")
    assert sheet.kinds()[-1] == "ellipse" and sheet.shown == 6
    sheet.press(Keys.CONTROL, "y")
    assert sheet.picture() == drawn
    sheet.run("whiteboard.clear()")
    assert sheet.picture() == blank
    sheet.press(Keys.CONTROL, "z")
    assert sheet.picture() == drawn

    svg = sheet.run("return whiteboard.asSvg(whiteboard.values(), false).text()")
    assert "&#60;b&#62;bold" in svg and svg.count("<path") == 4 and "<ellipse" in svg
    picture = "return whiteboard.asCanvas(whiteboard.values(), false).then((canvas) => canvas.toDataURL().length)"
    assert sheet.run(picture) > 5000
    sheet.run("whiteboard.camera.zoom(3, 500, 300)")
    assert sheet.picture() != drawn
    sheet.run("location.reload()")
    sheet.until("globalThis.whiteboard?.isSettled() && whiteboard.board.shown === 7")
    assert sheet.complaints() == []


def test_what_a_closed_page_could_not_send_is_sent_by_the_next_one(driver: Chrome, url: str) -> None:
    """Also where somebody has spoilt a part of it."""
    sheet = Sheet(driver, f"{url}#left")
    line = {"kind": "line", "colour": "red", "width": 40, "ends": [0, 0, 900, 900]}
    left = [[3, ANNE, 3, ANNE, line], [4, ANNE, 4, ANNE, {"kind": "spoilt"}], "nonsense"]
    sheet.run("localStorage.setItem(arguments[0], arguments[1])", f"guthi-whiteboard/left/{ANNE}", json.dumps(left))
    sheet.run("location.reload()")
    sheet.until("globalThis.whiteboard?.isSettled() && whiteboard.board.shown === 1")
    sheet.until("Object.keys(localStorage).every((key) => !key.startsWith('guthi-whiteboard/left/'))")
    assert sheet.kinds() == ["line"]


def test_one_undoes_only_what_is_ones_own(driver: Chrome, url: str) -> None:
    anne, ben = Sheet(driver, f"{url}#ours"), Sheet(driver, f"{url}#ours")
    anne.drag("pen", (200, 100), (300, 200))
    ben.until("whiteboard.board.shown === 1")
    ben.drag("pen", (400, 100), (500, 200))
    anne.until("whiteboard.board.shown === 2 && whiteboard.hands.people.length === 2")
    anne.press(Keys.CONTROL, "z")
    anne.press(Keys.CONTROL, "z")
    ben.until("whiteboard.board.shown === 1")
    ben.press(Keys.CONTROL, "z")
    anne.until("whiteboard.board.shown === 0")
    anne.run("location.hash = 'other'")
    anne.until("globalThis.whiteboard?.boardName === 'other' && whiteboard.isSettled()")
    ben.until("whiteboard.hands.people.length === 1")
    anne.run("location.hash = '..%2Fx'")
    anne.until("document.getElementById('notice').textContent.includes(\"a board's name is\")")


def test_on_a_phone_the_tools_fit_and_a_finger_draws(driver: Chrome, url: str) -> None:
    phone = Sheet(driver, f"{url}#phone", 390, 780)
    assert phone.run("return document.documentElement.scrollWidth") <= 390
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for kind, points in (
        ("touchStart", [(100, 300)]),
        ("touchMove", [(150, 350)]),
        ("touchMove", [(250, 320)]),
        ("touchEnd", []),
        ("touchStart", [(100, 300)]),
        ("touchStart", [(100, 300), (200, 300)]),
        ("touchMove", [(50, 300), (300, 300)]),
        ("touchEnd", []),
    ):
        touch(driver, kind, *points)
    assert phone.kinds() == ["pen"]
    assert phone.run("return whiteboard.camera.scale") > 0.2, "two fingers zoom"
