"""``python -m bench``: every benchmark against its peers in one run, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from bench import library
from bench.measure import Outcome, compare
from bench.roofline import rows_per_second
from bench.workloads import ClickLog
from rich.console import Console
from rich.progress import Progress
from rich.table import Table


def shown(outcomes: list[Outcome]) -> Table:
    table = Table(title="Medians of alternating runs")
    for heading in ("work", "ours", "theirs", "peer", "ratio", "spread", "to reach"):
        table.add_column(heading, justify="left" if heading in ("work", "peer") else "right")
    for row in outcomes:
        style = "" if row.ratio >= row.target else "yellow"
        low, high = row.spread
        table.add_row(
            row.name,
            f"{row.ours:,.3f} {row.unit}",
            f"{row.peer:,.3f}",
            row.peer_name,
            f"{row.ratio:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{row.target:.2f}",
            style=style,
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, within two minutes")
    parser.add_argument("--runs", type=int, default=5, help="how often each side runs")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--json", type=Path, help="write the table here too")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NONZERO_DATA", "../shared/data")))
    chosen = parser.parse_args()
    console = Console()
    log = ClickLog(50_000 if chosen.quick else 500_000)
    roofline = {f"{size} bytes": rows_per_second(22, size == 64) for size in (8, 64)}
    outcomes = []
    with Progress(console=console) as progress:
        for comparison in library.comparisons(log, chosen.data):
            if chosen.only in comparison.name:
                outcomes.append(compare(comparison, chosen.runs, progress))
    console.print(shown(outcomes))
    for size, rate in roofline.items():
        console.print(f"Memory alone: {rate:,.0f} M random rows of {size} a second (2**22 slots)")
    if chosen.json:
        chosen.json.write_text(json.dumps({"roofline": roofline, "rows": [asdict(row) for row in outcomes]}, indent=1))


if __name__ == "__main__":
    main()
