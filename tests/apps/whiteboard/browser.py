"""A page of the whiteboard in a window of its own, and what a hand does on it."""

from __future__ import annotations

from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.wait import WebDriverWait

__all__ = ["PATIENCE_S", "Point", "Sheet", "touch"]

PATIENCE_S = 90.0

Point = tuple[int, int]


def touch(driver: Chrome, kind: str, *places: Point) -> None:
    """What fingers do, all that touch the glass."""
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


class Sheet:
    """The page of a node in a window of its own."""

    def __init__(self, driver: Chrome, url: str, width: int = 1000, height: int = 700) -> None:
        self.driver, self.url = driver, url
        driver.switch_to.new_window("window")
        self.window = driver.current_window_handle
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.get(url)
        self.until("globalThis.whiteboard?.isSettled()")
        self.run("whiteboard.camera.to(0.1); whiteboard.camera.center(0, 0)")

    def run(self, script: str, *arguments: Any) -> Any:
        self.driver.switch_to.window(self.window)
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: str) -> None:
        self.driver.switch_to.window(self.window)
        waiting = WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.05)
        waiting.until(lambda _: self.run(f"return {condition}"), f"{self.url} never: {condition}")

    def drag(self, tool: str, *points: Point) -> None:
        """What a hand does with the mouse."""
        self.run("whiteboard.choose(arguments[0])", tool)
        chain = ActionChains(self.driver, duration=0)
        pointer = chain.w3c_actions.pointer_action
        pointer.move_to_location(*points[0]).pointer_down()
        for point in points[1:]:
            pointer.move_to_location(*point)
        pointer.pointer_up()
        chain.perform()

    def press(self, *keys: str) -> None:
        self.driver.switch_to.window(self.window)
        chain = ActionChains(self.driver, duration=0)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in keys[:-1]:
            chain.key_up(key)
        chain.perform()

    @property
    def shown(self) -> int:
        return int(self.run("return whiteboard.board.shown"))

    def kinds(self) -> list[str]:
        return list(self.run("return whiteboard.values().map((value) => value.kind)"))

    def picture(self) -> str:
        """Each pixel of what is on the screen, apart from cursors."""
        self.until("whiteboard.isSettled()")
        return str(self.run("return document.getElementById('paper').toDataURL()"))

    def complaints(self) -> list[str]:
        self.driver.switch_to.window(self.window)
        said = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        server = self.url.partition("whiteboard")[0]
        return [each["message"] for each in said if each["message"].startswith(server)]
