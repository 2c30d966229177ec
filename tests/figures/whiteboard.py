"""The picture of docs/whiteboard.md: three people at a board, each on a node of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium.webdriver.common.action_chains import ActionChains
from tests.apps.whiteboard.browser import Point, Sheet
from tests.plugins.dashboard.browser import a_browser

import guthi
from guthi_web import WEB

__all__ = ["draw_whiteboard"]

WIDTH, HEIGHT = 1280, 800


@contextmanager
def three_nodes() -> Iterator[list[str]]:
    """Where their pages are."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        nodes: list[guthi.BlockingNode] = []
        for name in ("alice", "bob", "carol"):
            boards = Path(folder) / name
            boards.mkdir()
            node = {"name": name, "plugins": ["web", "gutfs", "whiteboard"]}
            node |= {"join": [str(nodes[0].address)] if nodes else []}
            plugins = {"gutfs": {"exports": [f"{boards}:/whiteboards:sync"]}}
            config = guthi.Config.from_mapping({"node": node, "plugins": plugins}, environment={})
            nodes.append(stack.enter_context(guthi.BlockingNode(config)))
        yield [f"{node.require(WEB).url}whiteboard#harbour plan" for node in nodes]


def wave(x: int, y: int, length: int, height: int, period: float = 9.0) -> list[Point]:
    return [(x + 4 * i, round(y + height * math.sin(i / period))) for i in range(length)]


def styled(sheet: Sheet, colour: str, width: int = 1, fill: str = "none") -> None:
    sheet.run("whiteboard.select([]); Object.assign(whiteboard.style, arguments[0]); whiteboard.refresh()",
              {"colour": colour, "width": width, "fill": fill})  # fmt: skip


def write(sheet: Sheet, at: Point, text: str) -> None:
    sheet.drag("text", at)
    sheet.driver.switch_to.active_element.send_keys(text)
    sheet.run("document.activeElement.blur()")


def unfinished(sheet: Sheet, points: list[Point]) -> None:
    """A stroke that is still being drawn."""
    sheet.run("whiteboard.choose('pen')")
    chain = ActionChains(sheet.driver, duration=0)
    pointer = chain.w3c_actions.pointer_action
    pointer.move_to_location(*points[0]).pointer_down()
    for point in points[1:]:
        pointer.move_to_location(*point)
    chain.perform()


def draw_whiteboard(file: Path) -> None:
    """Let three people draw, and take a picture of what one of them sees."""
    with three_nodes() as urls, a_browser(WIDTH, HEIGHT) as browser:
        anne, ben, cleo = sheets = [Sheet(browser, url, WIDTH, HEIGHT) for url in urls]
        for sheet, name in zip(sheets, ("Anne Sharma", "Ben", "Cleo"), strict=True):
            sheet.run("whiteboard.rename(arguments[0])", name)
        styled(anne, "ink", 2)
        write(anne, (150, 110), "Harbour, draft 3")
        styled(anne, "blue", 1, "tint")
        anne.drag("rectangle", (160, 190), (380, 320))
        styled(anne, "teal", 1, "tint")
        anne.drag("rectangle", (530, 190), (750, 320))
        styled(anne, "orange", 1, "tint")
        anne.drag("ellipse", (360, 430), (560, 550))
        styled(anne, "ink", 1)
        for text, at in (("dock", (235, 255)), ("ferries", (595, 255)), ("ticket hall", (398, 490))):
            write(anne, at, text)
        anne.drag("arrow", (390, 255), (520, 255))
        anne.drag("arrow", (300, 330), (390, 430))
        anne.drag("arrow", (620, 330), (530, 430))
        styled(ben, "blue", 1)
        for row in range(3):
            ben.drag("pen", *wave(830, 220 + 26 * row, 70, 9))
        styled(ben, "yellow", 1)
        ben.drag("highlighter", (150, 128), (470, 128))
        styled(cleo, "red", 1)
        cleo.drag("pen", *[(round(640 + 62 * math.cos(a / 9)), round(256 + 42 * math.sin(a / 9))) for a in range(62)])
        styled(cleo, "violet", 1)
        write(cleo, (830, 430), "two more from June?")
        styled(ben, "green", 2)
        unfinished(ben, wave(840, 560, 60, 30, 6.0))
        cleo.driver.switch_to.window(cleo.window)
        pointing = ActionChains(cleo.driver, duration=0)
        pointing.w3c_actions.pointer_action.move_to_location(720, 390)
        pointing.perform()
        anne.run("whiteboard.choose('pen')")
        anne.until("whiteboard.isSettled() && whiteboard.hands.people.length === 3")
        anne.driver.save_screenshot(str(file))


if __name__ == "__main__":
    draw_whiteboard(Path(__file__).parents[2] / "docs" / "whiteboard.png")
