"""`make chaos`, or `make chaos MINUTES=2 SEED=7`: faults by a seeded schedule on real nodes, and what the checkers say.

Ends with 0 if no checker found a violation, with 1 if one did, with 2 where hosts cannot be made. The folder that it
names at the end has the journals and logs of all nodes, and the page.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from tests.chaos.cluster import NAMES, TooSlow
from tests.chaos.host import libfaketime
from tests.chaos.namespaces import why_there_are_no_hosts
from tests.chaos.page import page_of
from tests.chaos.report import lines_of
from tests.chaos.run import chaos
from tests.chaos.schedule import KINDS, schedule

__all__ = ["main"]


def main() -> int:
    """Returns the exit code."""
    parser = ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="kinds of faults, with commas between")
    parser.add_argument("--keep", action="store_true", help="keep the journals and logs also if all went well")
    parser.add_argument("--output", type=Path, default=Path("chaos.html"))
    options = parser.parse_args()
    if reason := why_there_are_no_hosts():
        print(f"chaos: {reason}", file=sys.stderr)
        return 2
    if without := [] if libfaketime() else ["clock"]:
        print("chaos: CLOCKS ARE NOT BENT, for libfaketime is not installed", file=sys.stderr)
    only = options.only.split(",") if options.only else []
    if unknown := sorted(set(only) - set(KINDS)):
        parser.error(f"there is no fault {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    seconds = options.minutes * 60
    planned = schedule(options.seed, NAMES, seconds, without=without, only=only)
    if not planned:
        parser.error("no fault has room in so short a time, with the calm before and after it; take a minute")
    folder = Path(tempfile.mkdtemp(prefix="guthi-chaos-"))
    started_at = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started_at:5.0f}] {text}", flush=True)

    try:
        outcome = asyncio.run(chaos(folder, planned, seconds, options.seed, say))
    except TooSlow as error:
        print(f"chaos: {error}; see {folder}", file=sys.stderr)
        return 1
    print("\n".join(["", *lines_of(outcome), ""]))
    options.output.write_text(page_of(outcome))
    print(f"page: {options.output}")
    is_bad = any(outcome.violations.values())
    if is_bad or options.keep:
        print(f"journals and logs: {folder}; again: make chaos MINUTES={options.minutes:g} SEED={options.seed}")
    else:
        shutil.rmtree(folder)
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
