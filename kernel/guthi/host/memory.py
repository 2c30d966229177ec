"""Decides that memory which was given back stays with the process for a while, ready to be filled again.

The C library of GNU gets each block of 128 KiB or more from the system, and gives what is free at the end of its heap
back to it. Every page of a new block then costs a fault and 4 KiB of zeros, which for messages of a megabyte is several
times what it costs to fill them. The library learns from what a program does: when a block is given back, blocks of
that size are kept from then on, and up to twice as much at the end of the heap (mallopt(3), M_MMAP_THRESHOLD). So one
block, got and given back, teaches it; its pages are never touched. Other libraries take no notice.
"""

from __future__ import annotations

__all__ = ["KEPT_BYTES", "keep_freed_memory"]

KEPT_BYTES = 16 << 20


def keep_freed_memory() -> None:
    """Let blocks of up to KEPT_BYTES be used again; it holds for the whole process, and costs next to nothing."""
    bytes(KEPT_BYTES)  # zeros that the system only promises: no page of it is ever there
