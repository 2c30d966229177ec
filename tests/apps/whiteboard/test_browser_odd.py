"""The page where things are not as one supposes: pens and palms, wrong clocks, other keyboards, a full board."""

from __future__ import annotations

import json
from typing import Any

import pytest
from selenium.webdriver import Chrome
from tests.apps.whiteboard.browser import Sheet, touch
from tests.apps.whiteboard.drawing import ANNE, BEN, a_line
from tests.plugins.dashboard.browser import needs_browser

pytestmark = [
    needs_browser,
    pytest.mark.system,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def pen(sheet: Sheet, kind: str, x: int, y: int, force: float = 0.0) -> None:
    """What a stylus does."""
    pressed = {"mousePressed": 1, "mouseMoved": 1, "mouseReleased": 0}[kind]
    event: dict[str, Any] = {"type": kind, "x": x, "y": y, "button": "left", "buttons": pressed, "clickCount": 1}
    sheet.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event | {"pointerType": "pen", "force": force})


def test_a_pen_writes_while_the_hand_lies_on_the_paper(driver: Chrome, url: str) -> None:
    """Some pens also say now and then that they press with nothing."""
    sheet = Sheet(driver, f"{url}#pen")
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    pen(sheet, "mousePressed", 200, 200, 0.2)
    touch(driver, "touchStart", (400, 500))
    pen(sheet, "mouseMoved", 230, 220, 0.6)
    touch(driver, "touchMove", (405, 505))
    pen(sheet, "mouseMoved", 260, 200, 0.0)
    pen(sheet, "mouseMoved", 300, 240, 0.9)
    pen(sheet, "mouseReleased", 300, 240)
    touch(driver, "touchEnd")
    (stroke,) = sheet.run("return whiteboard.values()")
    assert stroke["pressure"] == [20, 60, 60, 90]
    scale = "return [whiteboard.camera.scale, whiteboard.camera.x]"
    before = sheet.run(scale)
    touch(driver, "touchStart", (400, 500))
    pen(sheet, "mousePressed", 200, 300, 0.5)
    pen(sheet, "mouseMoved", 300, 300, 0.5)
    touch(driver, "touchMove", (480, 560))
    pen(sheet, "mouseReleased", 300, 300)
    touch(driver, "touchEnd")
    assert sheet.shown == 2 and sheet.run(scale) == before
    sheet.until("whiteboard.isSettled()")
    assert sheet.shown == 2


def test_what_a_page_with_a_wrong_clock_clears_can_be_undone(driver: Chrome, url: str) -> None:
    sheet = Sheet(driver, f"{url}#clock")
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": "Date.now = () => 86400000"})
    sheet.run("location.reload()")
    sheet.until("globalThis.whiteboard?.isSettled() && Date.now() === 86400000")
    sheet.run("whiteboard.commit([{ after: arguments[0] }])", a_line())
    sheet.run("whiteboard.clear()")
    sheet.until("whiteboard.isSettled() && whiteboard.board.shown === 0")
    sheet.run("whiteboard.undo()")
    sheet.until("whiteboard.isSettled()")
    assert sheet.kinds() == ["line"]


def test_a_board_is_the_same_however_its_name_is_written(driver: Chrome, url: str) -> None:
    """Also for what an earlier page could not send."""
    sheet = Sheet(driver, f"{url}#other")
    for time, name, page in ((3, "Straße", ANNE), (4, "strasse", BEN)):
        left = json.dumps([[time, page, time, page, a_line()]])
        sheet.run("localStorage.setItem(arguments[0], arguments[1])", f"guthi-whiteboard/{name}/{page}", left)
    sheet.run("location.hash = 'Straße'")
    sheet.until("globalThis.whiteboard?.boardName === 'strasse' && whiteboard.isSettled()")
    sheet.until("whiteboard.board.shown === 2")
    sheet.until("Object.keys(localStorage).every((key) => !/\\/(straße|strasse)\\//i.test(key))")
    assert sheet.run("return location.hash") == "#strasse"


def test_a_stroke_that_a_full_board_does_not_take_goes_and_nothing_else(driver: Chrome, url: str) -> None:
    sheet = Sheet(driver, f"{url}#full")
    sheet.run("whiteboard.commit(Array.from({ length: 100 }, () => ({ after: arguments[0] })))", a_line())
    sheet.until("whiteboard.isSettled()")
    sheet.run(
        "whiteboard.drawn = 0; const was = whiteboard.connection.on.drawn;"
        "whiteboard.connection.on.drawn = (some) => { whiteboard.drawn += some.length; was(some); }"
    )
    sheet.drag("pen", (200, 100), (300, 200))
    sheet.until("whiteboard.board.shown === 100 && whiteboard.isSettled()")
    assert "the board is full" in sheet.run("return document.getElementById('notice').textContent")
    assert sheet.run("return whiteboard.drawn") == 0, "the whole board has come anew"
    sheet.run("whiteboard.undo()")
    sheet.until("whiteboard.isSettled()")
    assert sheet.shown == 100


def test_shortcuts_work_on_a_keyboard_with_other_letters(driver: Chrome, url: str) -> None:
    sheet = Sheet(driver, f"{url}#keys")
    key = "dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...arguments[0] }))"
    sheet.run(f"document.body.{key}", {"key": "щ", "code": "KeyO"})
    assert sheet.run("return whiteboard.toolName") == "ellipse"
    sheet.drag("line", (100, 100), (200, 200))
    sheet.run(f"document.body.{key}", {"key": "я", "code": "KeyZ", "ctrlKey": True})
    assert sheet.shown == 0


def test_a_hand_that_has_gone_too_far_is_told_as_far_as_it_may_be(driver: Chrome, url: str) -> None:
    """The node would end the connection of who says what cannot be, and the page would give up."""
    sheet = Sheet(driver, f"{url}#far")
    steps = [-123_456_789] * 80
    draft = {"kind": "pen", "colour": "red", "width": 40, "points": steps}
    for place, tool in (({"x": 1e15, "y": 0}, None), ({"x": 0, "y": 0}, {"draft": draft})):
        sheet.run("whiteboard.sharing.moved(...arguments)", place, tool)
        sheet.until("whiteboard.sharing.timer === 0")  # it is sent
    sheet.run("whiteboard.commit([{ after: arguments[0] }])", a_line())
    sheet.until("whiteboard.isSettled()")
    assert sheet.shown == 1


def test_pictures_of_whatever_is_on_the_board(driver: Chrome, url: str) -> None:
    """An SVG file is XML, in which some characters cannot be; no picture is larger than browsers can make."""
    sheet = Sheet(driver, f"{url}#pictures")
    text = {"kind": "text", "colour": "red", "size": 400, "at": [0, 0], "text": "a\x0bb\uffff<c>"}
    far = {"kind": "line", "colour": "red", "width": 40, "ends": [0, 0, 10**9, 10**9]}
    sheet.run("whiteboard.commit(arguments[0].map((after) => ({ after })))", [text, far])
    wrong = (
        "const svg = await whiteboard.asSvg(whiteboard.values(), false).text();"
        "return new DOMParser().parseFromString(svg, 'image/svg+xml').querySelector('parsererror')?.textContent ?? ''"
    )
    assert sheet.run(f"return (async () => {{ {wrong} }})()") == ""
    size = "return whiteboard.asCanvas(whiteboard.values(), false).then(({ width, height }) => [width, height])"
    width, height = sheet.run(size)
    assert width > 1000 and width * height <= 4096 * 4096
