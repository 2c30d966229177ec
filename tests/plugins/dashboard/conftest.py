"""One browser for all tests of the dashboard that want one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from tests.plugins.dashboard.browser import a_browser


@pytest.fixture(scope="package")
def driver() -> Iterator[Chrome]:
    """A window as wide as a desk's."""
    with a_browser() as browser:
        yield browser
