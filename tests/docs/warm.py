"""A Python that has imported Guthi already, and runs each program in a copy of itself: as a new one would, but sooner.

With one argument, a path, it makes a socket there, says `ready` and serves until its standard input ends. Who connects
hands over three descriptors and a line of JSON: the program, a file with its arguments; the folder; the environment;
whether warnings are errors. It is told the process id, and how that ended. With more arguments, PATH PROGRAM
ARGUMENT..., it is itself such a client, which passes Ctrl-C on and ends as the program does: so a shell can start
programs that way, too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress

PRELOADED = ("guthi", "guthi_dvar", "guthi_gutfs", "guthi_health", "guthi_mutex", "guthi_rpc", "click")


def ask(address: str, command: list[str], *, strict: bool = False, output: int | None = None, folder: str = ".",
        environment: dict[str, str] | None = None) -> tuple[int, socket.socket]:  # fmt: skip
    """Start a program; returns its process id, and where `status_of` it comes from.

    `strict` makes warnings errors, `output` is the descriptor for what it prints; else it has those of this process.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    order = [command, os.path.abspath(folder), dict(os.environ) if environment is None else environment, strict]
    socket.send_fds(connection, [b"3"], [0, output or 1, output or 2])
    connection.sendall(json.dumps(order).encode() + b"\n")
    return int(_line(connection)), connection


def status_of(connection: socket.socket, timeout_s: float | None = None) -> int:
    """Wait for the end; negative is the signal that ended it. Raises TimeoutError."""
    with connection:
        connection.settimeout(timeout_s)
        return int(_line(connection))


def _line(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\n"):
        if not (more := connection.recv(65536)):
            raise EOFError("the warm Python has gone")
        found += more
    return found


def client(address: str, *command: str) -> None:
    """Be the program, for whoever has started this."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the program may have printed before its id is here
    pid, connection = ask(address, list(command))
    signal.signal(signal.SIGINT, lambda *_: os.kill(pid, signal.SIGINT))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    status = status_of(connection)
    if status < 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


def serve(address: str) -> str:
    """Serve; returns in copies only, with the file that the copy shall run."""
    import importlib
    import select
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in PRELOADED:
            importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return attend(connection)
        connection.close()
    sys.exit()


def attend(connection: socket.socket) -> str:
    """Start what is asked for, and tell of it; returns in that program's process only."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    order = json.loads(_line(connection))
    if (pid := os.fork()) == 0:
        connection.close()
        return become(descriptors, *order)
    for each in descriptors:
        os.close(each)
    connection.sendall(b"%d\n" % pid)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):  # nobody waits for it any more
        connection.sendall(b"%d\n" % status)
    os._exit(0)


def become(descriptors: list[int], command: list[str], folder: str, environment: dict[str, str], strict: bool) -> str:
    """Make this process what a new Python would be for the program."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = list(command)
    sys.path[0] = os.path.dirname(os.path.abspath(command[0]))
    sys.path[1:1] = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, write_through="PYTHONUNBUFFERED" in environment)  # type: ignore[union-attr]
    if strict:
        import warnings

        warnings.simplefilter("error")
    return command[0]


if __name__ == "__main__":
    if len(sys.argv) > 2:
        client(*sys.argv[1:])
    chosen = serve(sys.argv[1])
    import runpy

    runpy.run_path(chosen, run_name="__main__")
