"""Which network a command of `guthi fs` is for, and what it does when that cannot be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

import guthi
from guthi.cli import client_config, client_options
from guthi.runner import run_loop
from guthi_gutfs.errors import SourceGone
from guthi_gutfs.service import GUTFS, Gutfs

__all__ = ["Network", "on_network"]

T = TypeVar("T")

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, slots=True)
class Network:
    """Which network a command is for."""

    join: Sequence[guthi.Address]
    config_file: Path | None
    timeout_s: float

    def run(self, work: Callable[[Gutfs], Awaitable[T]]) -> T:
        """Join as a client, do the work, and leave."""
        try:
            return run_loop(self._run(work))
        except (SourceGone, guthi.DeadlineExceeded, guthi.PeerLost) as error:
            click.echo(f"guthi: {error}", err=True)
            raise click.exceptions.Exit(TRY_AGAIN) from None
        except guthi.GuthiError:
            raise
        except OSError as error:  # of this machine's disk
            raise guthi.UsageError(str(error)) from error

    def config(self) -> guthi.Config:
        """That of a client of it."""
        return client_config(self.join, self.config_file, self.timeout_s, plugins=["gutfs"])

    async def _run(self, work: Callable[[Gutfs], Awaitable[T]]) -> T:
        async with self._joined() as tree:
            return await work(tree)

    @asynccontextmanager
    async def _joined(self) -> AsyncIterator[Gutfs]:
        async with guthi.Node(self.config()) as node:
            tree = node.require(GUTFS)
            try:
                async with asyncio.timeout(self.timeout_s):
                    await tree.synced()
            except TimeoutError:
                raise guthi.DeadlineExceeded(f"no node has told within {self.timeout_s:g} s who exports what") from None
            yield tree


def on_network(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which network it is for, as one argument."""

    @client_options
    @click.pass_context
    def with_network(
        context: click.Context,
        /,
        join: Sequence[guthi.Address],
        config_file: Path | None,
        timeout_s: float,
        **arguments: Any,
    ) -> None:
        context.invoke(command, network=Network(join, config_file, timeout_s), **arguments)

    with_network.__name__, with_network.__doc__ = command.__name__, command.__doc__
    with_network.__click_params__ = [  # type: ignore[attr-defined]
        *with_network.__click_params__,  # type: ignore[attr-defined]
        *getattr(command, "__click_params__", []),
    ]
    return with_network
