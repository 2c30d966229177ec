"""Nodes of this process that have a dashboard, and their pages in a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from selenium.webdriver import Chrome
from tests.plugins.dashboard.browser import Page

import guthi
from guthi_web import WEB

__all__ = ["PLUGINS", "SWIM", "a_node", "page_of"]

PLUGINS = ["rpc", "dvar", "mutex", "health", "resources", "logs", "web", "dashboard"]
SWIM: dict[str, Any] = {"plugins": {"health": {"detector": "swim"}}}


@contextmanager
def a_node(
    name: str,
    *join: guthi.BlockingNode,
    enabled: Sequence[str] = PLUGINS,
    classes: Sequence[type[guthi.Plugin]] = (),
    zone: str = "",
    **tables: Any,
) -> Iterator[guthi.BlockingNode]:
    """A node that joins the given ones."""
    node = {"name": name, "role": "peer", "plugins": enabled, "join": [str(each.address) for each in join]}
    config = guthi.Config.from_mapping({"node": node | {"zone": zone}, **tables}, environment={})
    with guthi.BlockingNode(config, plugins=classes) as it:
        yield it


def page_of(driver: Chrome, node: guthi.BlockingNode, tab: str = "nodes") -> Page:
    """The node's page, at that tab."""
    return Page(driver, node.require(WEB).url, tab)
