"""Decides what `guthi` is as a program: which commands it has, and what an error becomes.

Standard output is for data, standard error for words. Exit codes: 0 done; 2 the caller can mend it, one line says how;
130 stopped by Ctrl-C; 1 a bug, with its traceback. `GUTHI_DEBUG=1` shows the traceback of every error. Completion for
shells is click's: `eval "$(_GUTHI_COMPLETE=bash_source guthi)"`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import NoReturn

import click
from click.shell_completion import shell_complete

from guthi.cli.demo import demo
from guthi.cli.groups import SuggestingGroup
from guthi.cli.init import init
from guthi.cli.keygen import keygen
from guthi.cli.keys import keys
from guthi.cli.new import new
from guthi.cli.nodes import nodes
from guthi.cli.plugins import commands_of, plugins
from guthi.cli.run import run
from guthi.cli.sim import sim
from guthi.cli.up import up
from guthi.errors import GuthiError, PluginError
from guthi.plugins import installed_plugins, limited
from guthi.runner import end_process

__all__ = ["execute", "main"]

DONE, BUG, MENDABLE, INTERRUPTED = 0, 1, 2, 130
_COMPLETION = "_GUTHI_COMPLETE"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Program(SuggestingGroup):
    """The built-in commands, and those of the installed plugins, which are imported only when one may be meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_plugin_commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _plugin_commands().get(cmd_name)


def _plugin_commands() -> dict[str, click.Command]:
    """Commands of all installed plugins, by name; a plugin that cannot be imported has none (see `guthi plugins`)."""
    commands: dict[str, click.Command] = {}
    installed = installed_plugins()
    for name in limited(installed, os.environ.get("GUTHI_PLUGINS")):
        plugin = installed[name]
        try:
            found = commands_of(plugin)
        except PluginError:
            continue
        for command in found:
            commands.setdefault(command.name or plugin.name, command)
    return commands


@click.group(cls=Program, invoke_without_command=True)
@click.version_option(version("guthi"), message="guthi %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """Functions, variables, locks and files that span machines, without a master.

    \b
    Example:
      guthi init && guthi run node.toml
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (init, new, keygen, keys, run, up, demo, plugins, nodes, sim):
    program.add_command(command)


def main() -> NoReturn:
    """The entry point: run the command that the process was given, and end the process."""
    _open_missing_streams()
    try:
        code = execute(sys.argv[1:])
    except SystemExit as end:  # the app's own: sys.exit(7)
        code = _code_of(end)
    except BaseException:  # noqa: BLE001 - Python would show it as well, and then wait for busy threads
        sys.excepthook(*sys.exc_info())
        code = BUG
    end_process(code)


def _open_missing_streams() -> None:
    """A process may be started without standard streams (`>&-`); its first sockets would then take their place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it is the lowest free number: this one
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
            setattr(sys, name, stream)


def _code_of(end: SystemExit) -> int:
    if end.code is None:
        return DONE
    if isinstance(end.code, int):
        return end.code & 0xFF
    click.echo(end.code, err=True)
    return BUG


def execute(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; an exception that leaves this function is a bug."""
    completion = os.environ.get(_COMPLETION)
    if completion:
        return shell_complete(program, {}, "guthi", _COMPLETION, completion)
    try:
        with program.make_context("guthi", list(arguments)) as context:
            program.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # as in `guthi nodes | head -1`: the reader has what it wants
        _write_no_more()
        return DONE
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _write_no_more()
        return _complain(f"cannot write: {error.strerror}; make room, or write elsewhere")
    except click.ClickException as error:
        return _complain(_usage(error))
    except GuthiError as error:
        return _complain(str(error))
    return DONE


def _usage(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return error.format_message() + (f" (see {context.command_path} --help)" if context is not None else "")


def _complain(message: str) -> int:
    """Say it in one line, whatever the message holds."""
    if os.environ.get("GUTHI_DEBUG", "0") not in ("", "0"):
        traceback.print_exc()
    with suppress(OSError):  # standard error may be what is full
        click.echo(f"guthi: error: {' '.join(message.split())}", err=True)
    return MENDABLE


def _write_no_more() -> None:
    # Python flushes standard output once more at its end, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
