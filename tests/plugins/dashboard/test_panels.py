"""Which tabs there are, and that the page needs nothing from elsewhere; without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.plugins.web.network import KEY, a_client, a_web_node

import guthi
import guthi_dashboard
import guthi_logs
import guthi_resources
import guthi_web
from guthi_dashboard import Column, Panel
from guthi_web import View
from guthi_web.tokens import token_of

PAGES = [
    Path(package.__file__).parent / "page"
    for package in (guthi_dashboard, guthi_resources, guthi_logs, guthi_web)
    if package.__file__
]
FILES = sorted(file for page in PAGES for file in page.rglob("*") if file.is_file())


async def titles(*plugins: str, classes: tuple[type[guthi.Plugin], ...] = ()) -> list[str]:
    async with (
        a_web_node("alice", plugins=[*plugins, "web", "dashboard"], classes=classes) as node,
        a_client(node) as client,
    ):
        panels = (await client.get("/api/panels")).json()
        for script in (panel["script"] for panel in panels if panel["script"]):
            answer = await client.get(script)
            assert answer.status_code == 200 and "javascript" in answer.headers["content-type"]
        return [panel["title"] for panel in panels]


async def test_tabs_are_absent_where_their_plugins_are() -> None:
    assert await titles() == ["Nodes", "Self"]
    assert await titles("resources") == ["Nodes", "Resources", "Self"]
    assert await titles("rpc", "mutex", "logs") == ["Nodes", "Self", "Functions", "Locks", "Events"]


class Garden(guthi.Plugin):
    """Brings a view and a tab for it, and one for a view that is not there."""

    name = "garden"

    @guthi.hookimpl(optionalhook=True)
    def web_views(self) -> list[View]:
        return [View("flowers", "What flowers.", lambda: [{"name": "rose"}])]

    @guthi.hookimpl(optionalhook=True)
    def dashboard_panels(self) -> list[Panel]:
        columns = (Column("name", "Flower"),)
        return [
            Panel("garden", "Garden", ("flowers",), 15, columns),
            Panel("trees", "Trees", ("trees",), 16, columns),
            Panel("self", "Me", ("self",), 5),
        ]


async def test_a_plugin_adds_tabs_and_takes_the_place_of_others() -> None:
    assert await titles(classes=(Garden,)) == ["Me", "Nodes", "Garden"]


async def test_the_page_is_for_everybody_and_what_it_shows_is_not() -> None:
    plugins = ["web", "dashboard", "resources"]
    async with (
        a_web_node("alice", plugins=plugins, web={"authentication": "always"}, key=KEY) as node,
        a_client(node) as client,
    ):
        page = await client.get("/")
        assert page.status_code == 200 and "alice" not in page.text
        for path in ("/dashboard/app.js", "/dashboard/style.css", "/resources/resources.js", "/web/make.js"):
            assert (await client.get(path)).status_code == 200
        for path in (
            "/api/panels",
            "/api/access",
            "/api/nodes",
            "/dashboard/../api/nodes",
            "/dashboard/%2e%2e/api/self",
        ):
            assert (await client.get(path)).status_code in (401, 404)
        known = {"authorization": f"Bearer {token_of(KEY)}"}
        assert (await client.get("/api/access", headers=known)).json() == {"is_open": False}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_loaded_from_elsewhere_and_no_text_is_read_as_html(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]+/", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
