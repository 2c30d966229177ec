"""One browser for all tests of the page, and a node that serves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from tests.plugins.dashboard.browser import a_browser

import guthi
from guthi_web import WEB


@pytest.fixture(scope="package")
def browser() -> Iterator[Chrome]:
    with a_browser(1000, 700) as it:
        yield it


@pytest.fixture
def driver(browser: Chrome) -> Iterator[Chrome]:
    """The browser, whose windows are closed afterwards: a page whose node is gone goes on trying, and complains."""
    first = browser.window_handles[0]
    yield browser
    for window in browser.window_handles[1:]:
        browser.switch_to.window(window)
        browser.close()
    browser.switch_to.window(first)


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where its page is; each test has a board of its own, which takes a hundred objects."""
    folder = tmp_path_factory.mktemp("boards")
    node = {"name": "alice", "plugins": ["web", "gutfs", "whiteboard"]}
    tables = {"gutfs": {"exports": [f"{folder}:/whiteboards:sync"]}, "whiteboard": {"most_objects": 100}}
    with guthi.BlockingNode(guthi.Config.from_mapping({"node": node, "plugins": tables}, environment={})) as it:
        yield f"{it.require(WEB).url}whiteboard"
