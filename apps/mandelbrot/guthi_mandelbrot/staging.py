"""How the picture is computed: nodes are started as processes of this machine, joined, given work, and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from itertools import count
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import guthi
from guthi.configuration.cluster import Cluster
from guthi.configuration.config import Config, NodeConfig
from guthi.launcher import Launcher, NodeProcess
from guthi_mandelbrot.kernel import EscapeTimes, View
from guthi_mandelbrot.mischief import Mischief, Troublemaker
from guthi_mandelbrot.plugin import FUNCTION, Share, render_distributed
from guthi_mandelbrot.report import Report
from guthi_mandelbrot.watch import deaths_told, unless_all_end
from guthi_rpc import RPC, NoProvider, Rpc

__all__ = ["Order", "compute"]

_READY_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Order:
    """What one run of the demo is to compute, and with how much."""

    view: View
    nodes: int
    bands: int
    baseline: bool
    mischief: Mischief = Mischief()


async def compute(order: Order, output: Path) -> tuple[EscapeTimes, Report]:
    """Start the nodes, join them as a client, compute; whatever happens, no process is left."""
    console = Console(stderr=True)
    with as_file(files(__package__) / "cluster.toml") as file:
        cluster = Cluster.from_toml(file).scaled(order.nodes + order.mischief.late)
        punctual, latecomers = cluster.nodes[: order.nodes], cluster.nodes[order.nodes :]
        async with Launcher() as launcher:
            await launcher.start(replace(cluster, nodes=punctual))
            processes = list(launcher.processes.values())
            client = guthi.Node(_client_config(cluster.nodes[0], processes))
            async with deaths_told(processes, lambda line: _say(console, line)), client as node:
                rpc = node.require(RPC)
                await rpc.available(FUNCTION, nodes=order.nodes, timeout=_READY_TIMEOUT_S)
                painter = _Painter(rpc, order.view, order.bands, console)
                baseline_s = await painter.baseline_s(processes[0]) if order.baseline else None
                bands = min(order.bands, order.view.height)
                trouble = Troublemaker(order.mischief, launcher, latecomers, bands, lambda line: _say(console, line))
                try:
                    times, shares, wall_s = await painter.picture(processes, trouble.band_done)
                finally:
                    await trouble.close()
                lost = {process.name: process.fate for process in processes if process.returncode is not None}
    return times, Report(output, shares, wall_s, baseline_s, lost)


def _client_config(like: Config, processes: Sequence[NodeProcess]) -> Config:
    """A node with the keys and the timeouts of the others, which gives them work and gets none.

    It may join through any of them, since the first could be dead already.
    """
    join = tuple(process.address for process in processes if process.address is not None)
    node = NodeConfig(name="demo", role="client", join=join, plugins=("rpc",))
    return replace(like, node=node, plugins={})


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Painter:
    """Has a picture computed, with a progress bar where standard error is a terminal."""

    rpc: Rpc
    view: View
    bands: int
    console: Console

    async def baseline_s(self, process: NodeProcess) -> float | None:
        """The seconds that one node takes alone, over the same network and in the same bands; None if it dies."""
        alone = self._timed("one node alone", on=[process.name])
        done = await unless_all_end([process], alone)
        if done is None:
            _say(self.console, f"guthi: {process.name} was to compute the picture alone; there will be no speed-up")
            return None
        return done[2]

    async def picture(
        self, processes: Sequence[NodeProcess], band_done: Callable[[int], None]
    ) -> tuple[EscapeTimes, list[Share], float]:
        """The picture, the share of each node, and the seconds. Raises NoProvider when all nodes die."""
        done = await unless_all_end(processes, self._timed(f"{len(processes)} nodes", band_done=band_done))
        if done is None:
            fates = ", ".join(f"{process.name} {process.fate}" for process in processes)
            raise NoProvider(f"no node is left to compute the picture: {fates}")
        times, shares, wall_s = done
        by_name = {share.node: share for share in shares}
        started = {process.name: Share(process.name) for process in processes}
        return times, list({**started, **by_name}.values()), wall_s

    async def _timed(
        self, title: str, *, on: Sequence[str] | None = None, band_done: Callable[[int], None] = lambda _: None
    ) -> tuple[EscapeTimes, tuple[Share, ...], float]:
        columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task(title, total=min(self.bands, self.view.height))
            start, done = time.perf_counter(), count(1)

            def one_more(_node: str) -> None:
                progress.advance(task)
                band_done(next(done))

            times, shares = await render_distributed(self.rpc, self.view, self.bands, on=on, progress=one_more)
            return times, shares, time.perf_counter() - start
