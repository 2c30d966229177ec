"""`make soak`, or `make soak MINUTES=20`: real nodes under steady load; what they use has to be flat.

Three hosts as in `tests.chaos`, without faults. Every few seconds resident memory, descriptors, tasks and the latency
of calls are sampled. Ends with 0 if none of the first three has grown, with 1 if one has or if a node ended, with 2
where hosts cannot be made.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.chaos.cluster import Cluster
from tests.chaos.host import Host
from tests.chaos.journal import Entry, calls
from tests.chaos.load import Orders
from tests.chaos.namespaces import why_there_are_no_hosts
from tests.soak.samples import LATENCY, MEASURES, Sample, compared, middle

__all__ = ["main"]

NODES = ("alice", "bob", "carol")
EACH_S = 5.0
SAY_S = 300.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


async def soak(folder: Path, seconds: float, pace: float) -> tuple[list[Sample], list[str]]:
    """The samples, and what went wrong."""
    samples: list[Sample] = []
    async with Cluster.of(folder, NODES) as cluster:
        begin = cluster.mark()
        cluster.order(Orders(False, time.monotonic(), 1))
        await cluster.until_told("prepared", ["alice"], begin)
        started_at, told_at = time.monotonic(), 0.0
        cluster.order(Orders(True, started_at, 1, pace, grows=False))
        while (at_s := time.monotonic() - started_at) < seconds and not cluster.surprises:
            with suppress(OSError):  # a node has ended, which is a surprise
                samples += await _sampled(cluster, at_s)
            if at_s - told_at >= SAY_S:
                told_at = at_s
                _say(samples[-len(NODES) :])
        return samples, cluster.surprises


async def _sampled(cluster: Cluster, at_s: float) -> list[Sample]:
    begin = cluster.mark()
    await asyncio.sleep(EACH_S)
    entries = cluster.entries(begin)
    return [
        _sample(host, at_s, [each for each in entries if each.node == name]) for name, host in cluster.hosts.items()
    ]


def _sample(host: Host, at_s: float, entries: list[Entry]) -> Sample:
    process = Path(f"/proc/{host.pid}")
    resident = int((process / "statm").read_text().split()[1]) * PAGE_BYTES
    begun = {(each.life, each.told["call"]) for each in entries if each.kind == "called"}
    whole = [each for each in entries if "call" not in each.told or (each.life, each.told["call"]) in begun]
    times = [each.returned_at - each.called_at for each in calls(whole, "rpc") if each.is_ok]
    tasks = [_tasks(each.told) for each in entries if each.kind == "status"]
    return Sample(at_s, host.name, resident, len(os.listdir(process / "fd")), max(tasks, default=0), middle(times))


def _tasks(status: Mapping[str, int]) -> int:
    return status["tasks"]


def _say(samples: list[Sample]) -> None:
    for each in samples:
        shown = "  ".join(f"{measure.of(each):8.1f} {measure.name}" for measure in (*MEASURES, LATENCY))
        print(f"[{each.at_s:6.0f}] {each.node:<6}{shown}", flush=True)


def main() -> int:
    """Returns the exit code."""
    parser = ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--pace", type=float, default=1.0, help="2: half as many calls")
    options = parser.parse_args()
    if reason := why_there_are_no_hosts():
        print(f"soak: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="guthi-soak-") as folder:
        samples, problems = asyncio.run(soak(Path(folder), options.minutes * 60, options.pace))
    for problem in problems:
        print(f"soak: {problem}", file=sys.stderr)
    rows = compared(samples, (*MEASURES, LATENCY))
    print(f"{'node':<8}{'measure':<14}{'first':>10}{'last':>10}{'':>8}")
    for row in rows:
        grown = "" if row.is_flat or row.measure == LATENCY.name else "  GROWN"
        print(
            f"{row.node:<8}{row.measure:<14}{row.first:>10.1f}{row.last:>10.1f}{_change(row.first, row.last):>8}{grown}"
        )
    return int(bool(problems) or not all(row.is_flat for row in rows if row.measure != LATENCY.name))


def _change(first: float, last: float) -> str:
    return f"{(last - first) / first:+.1%}" if first else ""


if __name__ == "__main__":
    sys.exit(main())
