"""Memory that was given back is used again, instead of being had from the system anew."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# In a process of its own: what a test before this one gave back has taught the C library already.
PROGRAM = """
import resource
from guthi.host.memory import keep_freed_memory

def pages() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        messages = [bytearray(b"x") * (1 << 20) for _ in range(8)]
        del messages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
pages()
print(pages())
"""
SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "PYTHONMALLOC", "LD_PRELOAD")  # who sets these has chosen otherwise


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory as they like")
def test_blocks_of_a_megabyte_are_not_had_anew_each_time() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 8 * 8 * 256 / 10  # of the pages that 64 blocks have, where they are of 4 KiB
