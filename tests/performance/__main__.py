"""`make bench`: which peers are measured, how long, and where the results go."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from performance.machine import BUSY_LOAD, describe, versions
from performance.peers import PEERS, Peer
from performance.report import as_json, as_markdown
from performance.rounds import Limits, Start, run_rounds
from performance.summary import Summary

PAGE = "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def main() -> int:
    """Measure and report; 1 when a peer failed, which is other than missing."""
    options = _options()
    machine = describe()
    if float(str(machine["load_before"])) > BUSY_LOAD:
        print(f"warning: the load is {machine['load_before']}; other work spoils the figures", file=sys.stderr)
    limits = Limits(options.starts, options.seconds, options.minutes * 60)
    starts = run_rounds(_chosen(options.peers), limits, _tell)
    summary = Summary(starts)
    text = as_markdown(summary, machine)
    print(text)
    if options.output is not None:
        found = versions(peer.package for peer in summary.peers)
        _write(options.output, summary, text, as_json(summary, starts, machine, found))
    return 1 if summary.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    families = sorted({peer.family for peer in PEERS} - {"guthi"})
    parser.add_argument("--peers", default="", help=f"only these beside Guthi: {','.join(families)}")
    parser.add_argument("--seconds", type=float, default=0.4, help="of each work item of each start")
    parser.add_argument("--starts", type=int, default=5, help="of each peer at most")
    parser.add_argument("--minutes", type=float, default=6.0, help="no round is begun that would end later")
    parser.add_argument("--output", type=Path, help="the folder for benchmarks.json, .png and the tables in .md")
    options = parser.parse_args()
    options.peers = {name.strip() for name in options.peers.split(",") if name.strip()}
    if unknown := sorted(options.peers - {*families, "guthi"}):
        parser.error(f"no peer is called {', '.join(unknown)}; there are {', '.join(families)}")
    if not (options.starts >= 1 and 0 < options.seconds <= 10):
        parser.error("--starts must be 1 or more, and --seconds more than 0 and at most 10")
    return options


def _chosen(families: set[str]) -> Sequence[Peer]:
    return [peer for peer in PEERS if not families or peer.family in {*families, "guthi"}]


def _tell(start: Start) -> None:
    outcome = (
        start.missing or start.failed or ", ".join(f"{name} {value:,.1f}" for name, value in start.measures.items())
    )
    kind = "missing: " if start.missing else "FAILED: " if start.failed else ""
    print(f"start {start.round + 1}, {start.peer.title}: {kind}{outcome}", file=sys.stderr, flush=True)


def _write(folder: Path, summary: Summary, text: str, results: dict[str, object]) -> None:
    """The JSON, the chart where matplotlib is installed, and, where the page is, the tables between its marks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmarks.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    try:
        from performance.chart import draw
    except ModuleNotFoundError as error:
        print(f"no chart: no module {error.name}", file=sys.stderr)
    else:
        draw(summary, folder / "benchmarks.png", text.partition("\n")[0])
    page = folder / PAGE
    if page.exists():
        before, _, rest = page.read_text().partition(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())
