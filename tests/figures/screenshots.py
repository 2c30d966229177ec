"""The pictures of docs/dashboard.md and docs/whiteboard.md: a network of real nodes on this machine, in a real browser.

make screenshots

All nodes live on one machine, and would show the same processor five times; so each pretends to be on one of its own.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from tests.figures.whiteboard import draw_whiteboard
from tests.plugins.dashboard.browser import Page, a_browser

import guthi
from guthi_dvar import DVAR
from guthi_mutex import MUTEX
from guthi_resources import ResourcesPlugin, Sample
from guthi_rpc import RPC
from guthi_web import WEB

DOCS = Path(__file__).parents[2] / "docs"
PLUGINS = ["rpc", "dvar", "mutex", "gutfs", "health", "logs", "web", "dashboard"]
MACHINES = {  # zone, GiB, mean processor
    "alice": ("attic", 16, 24),
    "bob": ("attic", 16, 61),
    "carol": ("cellar", 64, 43),
    "dave": ("cellar", 64, 84),
    "erin": ("lab", 32, 9),
}
ITEMS = 2700
PATIENCE_S = 300.0
GIB = 1 << 30


class Pretended:
    """A machine whose load comes and goes in waves, each at its own pace."""

    def __init__(self, name: str) -> None:
        _, self._gib, self._mean = MACHINES[name]
        self._random = Random(name)
        self._pace_s, self._phase = self._random.uniform(9, 20), self._random.uniform(0, 6)

    def sample(self, now: float) -> Sample:
        """As `Probe` has it."""
        wave = math.sin(now / self._pace_s * math.tau + self._phase)
        cores = tuple(self._share(self._mean + 14 * wave + self._random.gauss(0, 9)) for _ in range(8))
        share, total = sum(cores) / 8, self._gib * GIB
        free = int(total * (0.3 + 0.4 * (1 - self._mean / 100) - 0.03 * wave))
        received, sent = (int(1e5 * share * self._random.uniform(0.6, 1.4)) for _ in range(2))
        disk = 500 * GIB
        return Sample(
            share, cores, share / 12, total, free, disk, disk // 2, 0, 0, received, sent, 4.0, GIB // 9, 14, 60
        )

    def _share(self, value: float) -> int:
        return round(min(max(value, 1.0), 99.0))


def pretending(name: str) -> type[ResourcesPlugin]:
    """The plugin, on a machine of that name."""

    class Pretending(ResourcesPlugin):
        @staticmethod
        def make_probe(folder: Path) -> Pretended:
            return Pretended(name)

    return Pretending


def shade(row: int) -> int:
    """Shade one row of a picture."""
    return sum(number * number for number in range(150_000)) + row


def thumbnail(path: str, width: int = 320) -> str:
    """Make a small picture of a large one."""
    raise FileNotFoundError(path)


@contextmanager
def a_network(folder: Path) -> Iterator[list[guthi.BlockingNode]]:
    """Five nodes, and one that was killed."""
    with ExitStack() as stack:
        nodes: list[guthi.BlockingNode] = []
        for name, (zone, *_) in MACHINES.items():
            node = {"name": name, "zone": zone, "role": "peer", "plugins": PLUGINS}
            node |= {"join": [str(nodes[0].address)] if nodes else []}
            plugins = {"health": {"detector": "swim"}, **files_of(folder, name)}
            config = guthi.Config.from_mapping({"node": node, "plugins": plugins}, environment={})
            it = stack.enter_context(guthi.BlockingNode(config, plugins=[pretending(name)]))
            it.require(RPC).register(shade, run="thread")
            it.require(RPC).register(thumbnail, run="thread")
            nodes.append(it)
        kill_one(nodes[0])
        yield nodes


def files_of(folder: Path, name: str) -> dict[str, dict[str, list[str]]]:
    """Some folders of two of the nodes."""
    if name not in ("bob", "carol"):
        return {}
    own = folder / name
    for file, size in (("2026/harbour.png", 412_000), ("2026/lighthouse.png", 388_113), ("notes.txt", 1_204)):
        (own / file).parent.mkdir(parents=True, exist_ok=True)
        (own / file).write_bytes(b"\0" * size)
    shared = "/photos" if name == "bob" else "/archive"
    return {"gutfs": {"exports": [f"{own}:{shared}:rw"]}}


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


def fill(nodes: list[guthi.BlockingNode]) -> None:
    """Something for each tab."""
    alice, bob = nodes[0].require(DVAR), nodes[1].require(DVAR)
    alice.create("temperature", 21.5)
    alice.create("mission", {"target": "harbour", "pictures": 48})
    bob.create("queue_length", 17)
    nodes[1].require(MUTEX).acquire("printer")
    for _ in range(4):
        try:
            nodes[0].require(RPC).call("thumbnail", "/photos/2026/none.png", on="carol")
        except FileNotFoundError:
            pass


def main() -> None:
    """Draw all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        a_network(Path(folder)) as nodes,
        a_browser(1360, 900) as wide,
        a_browser(390, 800, is_dark=True) as phone,
    ):
        url = nodes[0].require(WEB).url
        fill(nodes)
        page = Page(wide, url, "functions")
        page.until(lambda: len(page.rows()) == 2)
        page.one("input[name=function]").send_keys("shade")
        page.run(f"document.querySelector('textarea').value = JSON.stringify([...Array({ITEMS}).keys()])")
        page.one("button[value=map]").click()
        bar = ".map-run[data-function=shade] progress"
        page.until(lambda: float(page.one(bar).get_attribute("value") or 0) > ITEMS * 0.4, PATIENCE_S)
        page.until(lambda: all(row[4] for row in page.rows()), PATIENCE_S)
        picture(page, "functions")
        page.until(lambda: page.all(".map-run[data-over=true]"), PATIENCE_S)
        page.open("Nodes")
        page.until(lambda: any("failed" in row for row in page.rows()) and len(page.all("svg.map line")) > 4)
        time.sleep(6.0)  # until all nodes have told of their sessions
        picture(page, "nodes")
        page.open("Files")
        page.click("tr[data-name=photos]")
        page.click("tr[data-name='2026']")
        page.until(lambda: "harbour.png" in page.one("#panel").text)
        picture(page, "files")
        page.open("Resources")
        page.until(lambda: len(page.rows()) == 5)
        page.run(HOVER)
        time.sleep(1.0)
        picture(page, "resources")
        page = Page(phone, url, "resources")
        page.until(lambda: len(page.rows()) == 5)
        time.sleep(2.0)
        picture(page, "phone")


HOVER = """
const canvas = document.querySelector("canvas");
const clientX = canvas.getBoundingClientRect().left + 300;
canvas.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY: 200 }));
"""


def picture(page: Page, name: str) -> None:
    """What the browser shows."""
    page.driver.save_screenshot(str(DOCS / f"dashboard-{name}.png"))


if __name__ == "__main__":
    main()
    draw_whiteboard(DOCS / "whiteboard.png")
