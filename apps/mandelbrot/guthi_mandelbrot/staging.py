"""How the picture is computed: nodes are started as processes of this machine, joined, given work, and stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import guthi
from guthi import PeerLost
from guthi.configuration.cluster import Cluster
from guthi.configuration.config import Config, NodeConfig
from guthi.launcher import Launcher, NodeProcess
from guthi_dvar import DVAR, Dvar
from guthi_mandelbrot.bands import Band
from guthi_mandelbrot.canvas import Canvas
from guthi_mandelbrot.contribution import contributions, shares
from guthi_mandelbrot.job import Job, view_numbers
from guthi_mandelbrot.kernel import EscapeTimes, View
from guthi_mandelbrot.leading import PAINT
from guthi_mandelbrot.mischief import Mischief, Troublemaker
from guthi_mandelbrot.painting import BEGIN
from guthi_mandelbrot.plugin import render_distributed
from guthi_mandelbrot.report import Report
from guthi_mandelbrot.share import Share
from guthi_mandelbrot.spectator import unwatched
from guthi_mandelbrot.watch import deaths_told, unless_all_end
from guthi_rpc import RPC, NoProvider, Rpc

__all__ = ["Order", "compute"]

_READY_TIMEOUT_S: Final = 15.0
_PICTURE: Final = "demo"


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
                await rpc.available(PAINT, nodes=order.nodes, timeout=_READY_TIMEOUT_S)
                entry = processes[-1].address  # the last to be killed
                _say(console, f"guthi: watch it with: guthi demo mandelbrot --watch {entry}")
                painter = _Painter(rpc, node.require(DVAR), launcher, order.view, order.bands, console)
                baseline_s = await painter.baseline_s(processes[0]) if order.baseline else None
                bands = len(Job.first(order.view, order.bands, node.id, node.name).bands)
                trouble = Troublemaker(order.mischief, launcher, latecomers, bands, lambda line: _say(console, line))
                try:
                    painted = await painter.picture(processes, bands, trouble.band_done)
                finally:
                    await trouble.close()
                await unwatched(node)
                lost = {process.name: process.fate for process in processes if process.returncode is not None}
    return painted.times, Report(output, painted.shares, painted.wall_s, baseline_s, lost, painted.leaders)


def _client_config(like: Config, processes: Sequence[NodeProcess]) -> Config:
    """A node with the keys and the timeouts of the others, which gives them work and gets none.

    It may join through any of them, since the first could be dead already.
    """
    join = tuple(process.address for process in processes if process.address is not None)
    node = NodeConfig(name="demo", role="client", join=join, plugins=("rpc", "dvar"))
    return replace(like, node=node, plugins={})


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Painted:
    """A finished picture, who did what for it, the seconds, and who gave out the bands."""

    times: EscapeTimes
    shares: Sequence[Share]
    wall_s: float
    leaders: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Painter:
    """Has a picture computed, with a progress bar where standard error is a terminal."""

    rpc: Rpc
    dvar: Dvar
    launcher: Launcher
    view: View
    bands: int
    console: Console

    async def baseline_s(self, process: NodeProcess) -> float | None:
        """The seconds that one node takes alone, over the same network and in the same bands; None if it dies."""
        alone = self._alone(process.name)
        done = await unless_all_end([process], alone)
        if done is None:
            _say(self.console, f"guthi: {process.name} was to compute the picture alone; there will be no speed-up")
        return done

    async def _alone(self, name: str) -> float:
        with self._bar("one node alone", min(self.bands, self.view.height)) as advance:
            start = time.perf_counter()
            await render_distributed(self.rpc, self.view, self.bands, on=[name], progress=lambda _: advance())
            return time.perf_counter() - start

    async def picture(
        self, processes: Sequence[NodeProcess], bands: int, band_done: Callable[[int, str], None]
    ) -> _Painted:
        """The picture, which the nodes compute and keep among themselves. Raises NoProvider when all nodes die."""
        done = await unless_all_end(processes, self._watched(processes, bands, band_done))
        if done is None:
            fates = ", ".join(f"{process.name} {process.fate}" for process in processes)
            raise NoProvider(f"no node is left to compute the picture: {fates}")
        return done

    async def _watched(
        self, processes: Sequence[NodeProcess], bands: int, band_done: Callable[[int, str], None]
    ) -> _Painted:
        times = np.empty((self.view.height, self.view.width), np.uint32)
        with self._bar(f"{len(processes)} nodes", bands) as advance:
            start, done = time.perf_counter(), count(1)
            await self._begin(processes)
            canvas = await Canvas.open(self.dvar, _PICTURE)
            initiator = (await canvas.job()).leaders[0][1]

            def band_is_there(band: Band, values: EscapeTimes) -> None:
                times[band[0] : band[0] + band[1]] = values
                advance()
                band_done(next(done), initiator)

            job = await canvas.follow(band_is_there)
            wall_s = time.perf_counter() - start
        by_name = {name: Share(name) for name in self.launcher.processes}  # also those that were started late
        lost = [name for name, process in self.launcher.processes.items() if process.returncode is not None]
        by_name.update((share.node, share) for share in shares(await contributions(self.dvar, _PICTURE), lost))
        return _Painted(times, list(by_name.values()), wall_s, [name for _, name in job.leaders])

    async def _begin(self, processes: Sequence[NodeProcess]) -> None:
        """Let the first that lives begin the picture, and lead."""
        for process in processes:
            if process.returncode is None:
                try:
                    await self.rpc.call(BEGIN, _PICTURE, *view_numbers(self.view), self.bands, on=process.name)
                    return
                except PeerLost:
                    continue
        raise NoProvider("no node is left to begin the picture")

    @contextmanager
    def _bar(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)
