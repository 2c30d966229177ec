"""Makes a host from within: run in new namespaces, it sets up the network card and the disk, and stays.

The first line of output is JSON: `{}`, or `{"problem": …}`. The tap's descriptor goes back over the socket that is
standard input. The namespaces last as long as a process is in them; this one ends with that socket, so when the harness
ends, by whatever way, they vanish: there is nothing that could be left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys

__all__: list[str] = []

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
CARD = "eth0"


def tap() -> int:
    """A network card whose cable is the descriptor that is returned."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", CARD.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def command(*words: str) -> None:
    """Run it; raises OSError with what it says when it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


def set_up(address: str, mac: str, disk: str, disk_bytes: str) -> int:
    """The card and the disk of the host."""
    descriptor = tap()
    command("ip", "link", "set", "lo", "up")
    command("ip", "link", "set", CARD, "address", mac, "up")
    command("ip", "addr", "add", f"{address}/24", "dev", CARD)
    command("mount", "-t", "tmpfs", "-o", f"size={disk_bytes}", "tmpfs", disk)
    return descriptor


def main() -> None:
    """As the first lines of this file say; the arguments are address, hardware address, folder and size of the disk."""
    harness = socket.socket(fileno=0)
    try:
        descriptor = set_up(*sys.argv[1:])
    except OSError as error:
        print(json.dumps({"problem": str(error)}), flush=True)
        return
    socket.send_fds(harness, [b"tap"], [descriptor])
    os.close(descriptor)
    print("{}", flush=True)
    harness.recv(1)


if __name__ == "__main__":
    main()
