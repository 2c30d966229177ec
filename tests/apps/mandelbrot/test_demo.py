"""The demo's options: what is good reaches the computation, what is bad is told in one sentence before any work."""

from __future__ import annotations

import json
import os
import signal
import sys
import tomllib
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from guthi.api import Address
from guthi.configuration.cluster import Cluster
from guthi_mandelbrot import EscapeTimes, Region, Share, View, colours, demo, render
from guthi_mandelbrot.demo import NAMED_REGIONS
from guthi_mandelbrot.mischief import Mischief
from guthi_mandelbrot.report import Report
from guthi_mandelbrot.staging import Order


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """The orders that the command gave; they are computed here instead of by processes."""
    given: list[Order] = []

    async def compute(order: Order, output: Path) -> tuple[EscapeTimes, Report]:
        given.append(order)
        times = render(order.view)
        return times, Report(output, (Share("alice", order.bands, order.view.height, 0.5),), 1.0, 2.0)

    monkeypatch.setattr(demo, "compute", compute)
    return given


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command with a small picture in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *options: CliRunner().invoke(demo.demo, ["--size", "40x30", "--iterations", "50", *options])


def test_a_picture_and_a_table_by_default(run: Callable[..., Result], orders: list[Order], tmp_path: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    view = View(NAMED_REGIONS["island"].widened_to(40 / 30), 40, 30, 50)
    assert orders == [Order(view, nodes=4, bands=64, baseline=True)]
    with Image.open(tmp_path / "mandelbrot.png") as image:
        assert np.array_equal(np.asarray(image), colours(render(view)))
    assert "2.00 times faster" in result.stdout


def test_mischief_reaches_the_order(run: Callable[..., Result], orders: list[Order]) -> None:
    assert run("--kill", "2", "--late", "1", "--at", "45%").exit_code == 0
    assert orders[0].mischief == Mischief(2, 1, 0.45)
    assert run("--kill", "2", "--kill-initiator").exit_code == 0
    assert orders[1].mischief == Mischief(2, 0, 0.3, kill_initiator=True)
    assert run("--kill", "4").exit_code == 2
    assert "one has to go on" in run("--kill", "3", "--kill-initiator").stderr
    assert "one has to go on" in run("--kill", "4").stderr
    for part in ("0%", "100", "a third"):
        assert "write for example 30%" in run("--at", part).stderr


def test_watching_starts_nothing_and_writes_the_picture(
    run: Callable[..., Result], orders: list[Order], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    times = render(View(NAMED_REGIONS["full"].widened_to(4 / 3), 40, 30, 50))
    asked: list[Address] = []

    async def spectate(address: Address) -> EscapeTimes:
        asked.append(address)
        return times

    monkeypatch.setattr(demo, "spectate", spectate)
    result = run("--watch", "127.0.0.1:6969", "--output", "seen.png")
    assert (result.exit_code, result.stdout) == (0, "picture: seen.png\n")
    assert (asked, orders) == ([Address("127.0.0.1", 6969)], [])
    with Image.open(tmp_path / "seen.png") as image:
        assert np.array_equal(np.asarray(image), colours(times))


def test_all_options(run: Callable[..., Result], orders: list[Order], tmp_path: Path) -> None:
    picture = ["--region", "-1,1,-0.5,0.5", "--output", "a.PNG"]
    result = run(*picture, "--nodes", "2", "--bands", "9", "--no-baseline", "--json")
    assert result.exit_code == 0, result.output
    view = View(Region(-1.0, 1.0, -0.75, 0.75), 40, 30, 50)
    assert orders == [Order(view, nodes=2, bands=9, baseline=False)]
    assert json.loads(result.stdout)["output"] == "a.PNG"
    assert (tmp_path / "a.PNG").exists()


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--size", "big", "write for example 1600x1200"),
        ("--size", "0x10", "write for example 1600x1200"),
        ("--size", "99999x1", "must be 1x1 to 65535x65535"),
        ("--iterations", "0", "it must be 1 to"),
        ("--region", "atlantis", "write elephant, full, island"),
        ("--region", "1,2,3", "left,right,bottom,top"),
        ("--region", "1,0,0,1", "left < right"),
        ("--region", "nan,1,0,1", "between -1000 and 1000"),
        ("--region", "0.3,0.300000000000001,0,1e-15", "too small for 64-bit floats"),
        ("--nodes", "0", "--nodes"),
        ("--bands", "0", "--bands"),
        ("--output", "nowhere/a.png", "the folder nowhere does not exist"),
        ("--output", "a.txt", "end it in .png"),
        ("--watch", "here", "write host:port"),
    ],
)
def test_a_bad_option_is_told_before_any_work(
    run: Callable[..., Result], orders: list[Order], option: str, value: str, complaint: str
) -> None:
    result = run(option, value)
    assert result.exit_code == 2
    message = result.stderr.splitlines()[-1]
    assert option in message
    assert complaint in message
    assert orders == []


def test_control_c_ends_with_130(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def interrupted(order: Order, output: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "compute", interrupted)
    result = run()
    assert result.exit_code == 130
    assert "stopped before the picture was complete" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there")
def test_a_request_to_end_that_comes_too_late_wastes_no_picture(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def complete(order: Order, output: Path) -> tuple[EscapeTimes, Report]:
        os.kill(os.getpid(), signal.SIGINT)
        return render(order.view), Report(output, (Share("alice", 1, 30, 0.5),), 1.0, None)

    monkeypatch.setattr(demo, "compute", complete)
    assert run().exit_code == 0
    assert (tmp_path / "mandelbrot.png").exists()


@pytest.mark.parametrize("name", sorted(NAMED_REGIONS))
def test_every_named_region_is_worth_a_look(name: str) -> None:
    times = render(View(NAMED_REGIONS[name].widened_to(4 / 3), 80, 60, 1000))
    assert len(np.unique(times)) > 1000


def test_the_cluster_file_has_the_four_nodes() -> None:
    cluster = tomllib.loads(files("guthi_mandelbrot").joinpath("cluster.toml").read_text())
    assert [node["name"] for node in cluster["cluster"]["nodes"]] == ["alice", "bob", "carol", "dave"]
    assert cluster["node"]["plugins"] == ["rpc", "health", "dvar", "mandelbrot"]


def test_a_lost_node_costs_seconds() -> None:
    with as_file(files("guthi_mandelbrot") / "cluster.toml") as file:
        cluster = Cluster.from_toml(file, environment={})
    assert {node.transport.timeout for node in cluster.nodes} == {2.0}
