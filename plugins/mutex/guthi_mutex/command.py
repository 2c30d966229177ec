"""`guthi lock` runs a command while it holds a lock; `guthi locks` lists who holds what.

While it waits for the lock, a signal ends `guthi lock` as any program. While the command runs, signals are passed on to
it, and its end is awaited: the lock is never released under a command that still runs, unless the lock has been lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

import guthi
from guthi.cli import client_config, client_options, print_table
from guthi.cli.parameters import ADDRESS, DURATION
from guthi.runner import run_loop
from guthi_mutex.errors import LockLost, NoQuorum
from guthi_mutex.grant import Grant
from guthi_mutex.service import MUTEX, LockInfo

__all__ = ["lock", "locks"]

NOT_HAD, LOST, CANNOT_RUN, NOT_FOUND, BY_SIGNAL = 75, 76, 126, 127, 128
GRACE_S = 5.0
JOIN_TIMEOUT_S = 5.0
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) if sys.platform != "win32" else ()


@click.command
@click.argument("name")
@click.argument("words", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--timeout", "timeout_s", type=DURATION, help="Give up after waiting so long; without it, never.")
@click.option("--no-wait", is_flag=True, help="Give up at once where no majority of the nodes is reached.")
@click.option("--keep-going", is_flag=True, help="Let the command run on when the lock has been lost.")
@click.option("--join", type=ADDRESS, multiple=True, help="A node of the network; may be repeated, one has to answer.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="A node file of the network.")
def lock(
    name: str,
    words: tuple[str, ...],
    timeout_s: float | None,
    no_wait: bool,
    keep_going: bool,
    join: Sequence[guthi.Address],
    config_file: Path | None,
) -> None:
    """Run COMMAND while holding the lock NAME.

    The command finds the fence of the grant in GUTHI_FENCE and the name in GUTHI_LOCK. Exit codes: the command's own;
    128 and its number for a signal that ended it; 75 the lock was not to be had; 76 it was lost while the command ran,
    which is ended then; 126 the command cannot be run, 127 it is not found.

    \b
    Example:
      guthi lock nightly --timeout 10s -- ./backup.sh
    """
    config = client_config(join, config_file, JOIN_TIMEOUT_S, plugins=["mutex"])
    code = run_loop(_hold(config, name, words, timeout_s, no_wait, keep_going))
    if code:
        raise click.exceptions.Exit(code)


async def _hold(
    config: guthi.Config, name: str, words: Sequence[str], timeout_s: float | None, no_wait: bool, keep_going: bool
) -> int:
    with _Signals() as signals:
        try:
            async with guthi.Node(config) as node:
                mutex = node.require(MUTEX)
                grant = await mutex.acquire(name, timeout=timeout_s, wait_for_majority=not no_wait)
                code = await _run(words, grant, signals, keep_going)
                await mutex.release(grant)
                return code
        except (guthi.JoinFailed, guthi.DeadlineExceeded, NoQuorum) as error:
            return _say(str(error), NOT_HAD)
        except LockLost as error:
            return _say(str(error), LOST)
        except asyncio.CancelledError:
            if signals.number is None:
                raise
            return BY_SIGNAL + signals.number


def _say(message: str, code: int) -> int:
    click.echo(f"guthi: {message}", err=True)
    return code


class _Signals:
    """Lets signals end this task while it waits for the lock, and passes them on to the command from then on."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that ended the wait."""
        self.process: asyncio.subprocess.Process | None = None
        self._task = asyncio.current_task()

    def __enter__(self) -> _Signals:
        for number in PASSED_ON:
            asyncio.get_running_loop().add_signal_handler(number, self._take, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in PASSED_ON:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _take(self, number: int) -> None:
        if self.process is not None:
            _pass_on(self.process, number)
        elif self.number is None and self._task is not None:
            self.number = number
            self._task.cancel()


async def _run(words: Sequence[str], grant: Grant, signals: _Signals, keep_going: bool) -> int:
    """Run the command to its end, and end it if the lock is lost."""
    environment = {**os.environ, "GUTHI_LOCK": grant.lock, "GUTHI_FENCE": str(grant.fence)}
    try:
        process = signals.process = await asyncio.create_subprocess_exec(*words, env=environment)
    except FileNotFoundError:
        return _say(f"{words[0]}: command not found", NOT_FOUND)
    except OSError as error:
        return _say(f"{words[0]}: {error.strerror}", CANNOT_RUN)
    lost = asyncio.create_task(grant.lost.wait())
    ended = asyncio.create_task(process.wait())
    await asyncio.wait([lost, ended], return_when=asyncio.FIRST_COMPLETED)
    if not ended.done() and not keep_going:
        await _end(process, ended)
    code = await ended
    lost.cancel()
    return code if code >= 0 else BY_SIGNAL - code


def _pass_on(process: asyncio.subprocess.Process, number: int) -> None:
    """Ctrl-C on a terminal reaches the command without us."""
    if process.returncode is None and not (number == signal.SIGINT and sys.stdin.isatty()):
        with suppress(ProcessLookupError):
            process.send_signal(number)


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
        await asyncio.wait([ended], timeout=GRACE_S)
        if not ended.done():
            process.kill()


@click.command
@client_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def locks(join: Sequence[guthi.Address], config_file: Path | None, timeout_s: float, as_json: bool) -> None:
    """List the locks that are held or waited for.

    \b
    Example:
      guthi locks --join 127.0.0.1:6969
    """
    found = run_loop(_found(client_config(join, config_file, timeout_s, plugins=["mutex"])))
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found]))
        return
    print_table(("name", "holder", "fence", "age", "queue"), [_cells(each) for each in found])


async def _found(config: guthi.Config) -> list[LockInfo]:
    async with guthi.Node(config) as node:
        return await node.require(MUTEX).locks()


def _cells(info: LockInfo) -> Sequence[str]:
    fence, age = (str(info.fence), f"{info.age_s:.1f} s") if info.fence is not None else ("", "")
    return info.name, info.holder, fence, age, ", ".join(info.queue)


def _as_json(info: LockInfo) -> dict[str, object]:
    return {
        "name": info.name,
        "holder": info.holder,
        "fence": info.fence,
        "age_s": round(info.age_s, 3),
        "queue": list(info.queue),
    }
