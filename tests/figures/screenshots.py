"""The pictures of docs/dashboard.md: a network of real nodes on this machine, in a real browser.

make screenshots
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.plugins.dashboard.browser import Page, a_browser

import guthi
from guthi_dvar import DVAR
from guthi_rpc import RPC
from guthi_web import WEB

DOCS = Path(__file__).parents[2] / "docs"
PLUGINS = ["rpc", "dvar", "mutex", "health", "resources", "logs", "web", "dashboard"]
TABLES = {"plugins": {"health": {"detector": "swim"}}}
BUSY_S = 45.0


def shade(row: int) -> int:
    """Work that takes a while."""
    return sum(number * number for number in range(150_000)) + row


@contextmanager
def a_network() -> Iterator[guthi.BlockingNode]:
    """Five nodes, and one that was killed; the first of them."""
    with ExitStack() as stack:
        first: guthi.BlockingNode | None = None
        for name, zone in (
            ("alice", "attic"),
            ("bob", "attic"),
            ("carol", "cellar"),
            ("dave", "cellar"),
            ("erin", "lab"),
        ):
            join = [str(first.address)] if first is not None else []
            node = {"name": name, "zone": zone, "role": "peer", "plugins": PLUGINS, "join": join}
            config = guthi.Config.from_mapping({"node": node, **TABLES}, environment={})
            it = stack.enter_context(guthi.BlockingNode(config))
            it.require(RPC).register(shade, run="thread")
            first = first or it
        assert first is not None
        kill_one(first)
        yield first


def kill_one(first: guthi.BlockingNode) -> None:
    """A node comes and is killed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "node.toml"
        file.write_text(
            '[node]\nname = "frank"\nzone = "lab"\nplugins = ["health"]\n[plugins.health]\ndetector = "swim"\n'
        )
        call = [sys.executable, "-m", "guthi", "run", str(file), "--json", "--join", str(first.address)]
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            json.loads(process.stdout.readline())
            time.sleep(1.0)
            process.kill()


def main() -> None:
    """Draw all."""
    with a_network() as alice, a_browser() as wide, a_browser(390, 800, is_dark=True) as phone:
        url = alice.require(WEB).url
        alice.require(DVAR).create("temperature", 21.5)
        page = Page(wide, url, "functions")
        page.until(page.rows)
        page.one("input[name=function]").send_keys("shade")
        page.run(f"document.querySelector('textarea').value = JSON.stringify([...Array({int(BUSY_S * 60)}).keys()])")
        page.one("button[value=map]").click()
        time.sleep(BUSY_S / 3)
        wide.save_screenshot(str(DOCS / "dashboard-functions.png"))
        page.open("Nodes")
        page.until(lambda: any("failed" in row for row in page.rows()) and page.all("svg.map line"))
        time.sleep(6.0)  # until all nodes have told of their sessions
        wide.save_screenshot(str(DOCS / "dashboard-nodes.png"))
        page = Page(phone, url, "resources")
        page.until(page.rows)
        time.sleep(BUSY_S / 3)
        phone.save_screenshot(str(DOCS / "dashboard-phone.png"))
        page = Page(wide, url, "resources")
        page.until(page.rows)
        time.sleep(3.0)
        wide.save_screenshot(str(DOCS / "dashboard-resources.png"))


if __name__ == "__main__":
    main()
