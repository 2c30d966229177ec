"""A real browser without a window, and what tests do with it. Where there is none, the tests say so and are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

__all__ = ["BROWSER", "DRIVER", "PATIENCE_S", "Page", "a_browser", "needs_browser"]

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
PATIENCE_S = 45.0  # the page's own waits are some seconds; the rest is for machines with other work
PASSING = (ElementClickInterceptedException, ElementNotInteractableException, StaleElementReferenceException)

needs_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="NO BROWSER: the pages are not tested; apt-get install chromium chromium-driver",
)


@contextmanager
def a_browser(width: int = 1280, height: int = 900, *, is_dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A headless chromium with a window of that size."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    arguments = ["--headless=new", "--disable-dev-shm-usage", f"--window-size={width},{height}", "--disable-gpu"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # it refuses to run as root with one
    for argument in arguments:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640},
        )
        yield driver
    finally:
        driver.quit()


class Page:
    """The dashboard of a node, open in a browser."""

    def __init__(self, driver: webdriver.Chrome, url: str, tab: str = "nodes") -> None:
        self.driver = driver
        driver.get("about:blank")  # another part of a page that is open would not load it anew
        driver.get(f"{url}#{tab}")

    def until(self, condition: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
        """What a condition gives as soon as it gives something."""
        waiting = WebDriverWait(self.driver, within_s, poll_frequency=0.05, ignored_exceptions=PASSING)
        return waiting.until(lambda _: condition())

    def open(self, title: str) -> None:
        """Open a tab by its title."""
        self.until(lambda: title in self.tabs())
        self.click(f"#tabs button[data-panel={title.lower()}]")
        self.until(lambda: self.all(f"#panel-{title.lower()} .card"))

    def tabs(self) -> list[str]:
        """The titles of the tabs."""
        return list(self.run("return [...document.querySelectorAll('#tabs button')].map((tab) => tab.textContent)"))

    def all(self, selector: str) -> list[WebElement]:
        """Elements by a selector of CSS."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The one element that is to be there before long."""
        found: WebElement = self.until(lambda: next(iter(self.all(selector)), None))
        return found

    def click(self, selector: str) -> None:
        """Click what is there before long, also while the page is being drawn."""

        def press() -> bool:
            self.one(selector).click()
            return True

        self.until(press)

    def type(self, selector: str, text: str) -> None:
        """Write into a field, in place of what is there."""

        def write() -> bool:
            field = self.one(selector)
            field.clear()
            field.send_keys(text)
            return True

        self.until(write)

    def rows(self, table: int = 0) -> list[list[str]]:
        """The cells of the first table, or of another, as texts."""
        return list(
            self.run(
                f"return [...(document.querySelectorAll('tbody')[{table}]?.querySelectorAll('tr.row') ?? [])]"
                ".map((row) => [...row.cells].map((cell) => cell.textContent))"
            )
        )

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script)

    def complaints(self) -> list[str]:
        """What the browser's console says against the page."""
        said = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [each["message"] for each in said if each["level"] in ("SEVERE", "WARNING")]
