"""Starts and ends the namespaces that stand for a host, and says why there can be none where there can be none."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.chaos.switch import mac_of

__all__ = ["ROOT", "Namespaces", "why_there_are_no_hosts"]

ROOT = Path(__file__).parents[2]
PROGRAMS = ("unshare", "nsenter", "setpriv", "prlimit", "ip", "mount")
PATIENCE_S = 30.0


@cache
def why_there_are_no_hosts() -> str:
    """The reason, for people; empty where hosts can be made."""
    if sys.platform != "linux":
        return "hosts are network namespaces, which Linux has"
    missing = [each for each in PROGRAMS if shutil.which(each) is None]
    if missing:
        return f"hosts need {', '.join(missing)}, of util-linux and iproute2"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "hosts need /dev/net/tun, to be read and written"
    done = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"hosts need root, or user namespaces: {done.stderr.strip()}"


def _unshare() -> list[str]:
    own_users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", "--net", "--mount", *own_users, "--"]


class Namespaces:
    """Network and mounts of one host; `tap` is the cable of its network card. Raises OSError where that fails."""

    def __init__(self, number: int, address: str, disk: Path, disk_bytes: int) -> None:
        disk.mkdir(parents=True, exist_ok=True)
        self._disk = disk
        self._ours, theirs = socket.socketpair()
        arguments = [address, mac_of(number).hex(":"), str(disk), str(disk_bytes)]
        self._keeper = subprocess.Popen(
            [*_unshare(), sys.executable, "-m", "tests.chaos.keeper", *arguments],
            stdin=theirs.fileno(), stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        try:
            self.tap = self._met()
        except BaseException:
            self.close()
            raise

    def _met(self) -> int:
        assert self._keeper.stdout is not None
        said = json.loads(self._keeper.stdout.readline() or '{"problem": "its keeper ended at once"}')
        if "problem" in said:
            raise OSError(f"a host cannot be made: {said['problem']}")
        self._ours.settimeout(PATIENCE_S)
        _, descriptors, _, _ = socket.recv_fds(self._ours, 16, 1)
        return descriptors[0]

    @property
    def disk(self) -> Path:
        """The host's disk, as seen from here."""
        return Path(f"/proc/{self._keeper.pid}/root{self._disk}")

    def entering(self) -> list[str]:
        """The words before a command that is to run there, and to die with the harness, even when it is stopped."""
        into = ["nsenter", f"--target={self._keeper.pid}", "--net", "--mount"]
        if os.geteuid() != 0:
            into += ["--user", "--preserve-credentials"]
        return [*into, f"--wdns={ROOT}", "--", "setpriv", "--pdeathsig", "KILL", "--"]

    def close(self) -> None:
        """End the keeper, and with it the namespaces, if no other process is in them."""
        self._ours.close()
        self._keeper.kill()
        self._keeper.wait()
        assert self._keeper.stdout is not None
        self._keeper.stdout.close()
