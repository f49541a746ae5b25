"""``python -m bench``: every benchmark against its peers in one run, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from bench import candidates, footprint, library, service
from bench.measure import Comparison, Outcome, compare
from bench.roofline import rows_per_second
from bench.workloads import FIELDS, ClickLog
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

BITS = 22


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, within two minutes")
    parser.add_argument("--runs", type=int, default=5, help="how often each side runs")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument(
        "--output", type=Path, default=Path("bench"), help="where the table goes: .txt and .json are added"
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NONZERO_DATA", "../shared/data")))
    chosen = parser.parse_args()
    console = Console(width=max(Console().width, 160))
    log = ClickLog(50_000 if chosen.quick else 500_000)
    rooflines = {lanes: rows_per_second(BITS, lanes) for lanes in (1, 8)}
    rows = chain(
        library.comparisons(log, chosen.data),
        service.comparisons(log, 1 if chosen.quick else 3),
        candidates.comparisons(log, 1 if chosen.quick else 3),
        footprint.comparisons(log),
    )
    outcomes = list(measured(rows, chosen.only, chosen.runs, console))
    with chosen.output.with_suffix(".txt").open("w") as text:
        for place in (console, Console(file=text, width=console.width)):
            place.print(table_of(outcomes, rooflines))
            for lanes, rate in rooflines.items():
                place.print(
                    f"The memory's limit: {rate / 1e6:,.0f} M random rows of {8 * lanes} bytes updated a "
                    f"second, of 2**{BITS}; {rate / FIELDS / 1e6:.1f} M examples of {FIELDS}."
                )
            place.print(
                "What comes again soon is still in a cache, so a log may be learned faster than that."
            )
    found = {
        "rooflines": {f"{8 * lanes} bytes": rate for lanes, rate in rooflines.items()},
        "rows": [asdict(row) for row in outcomes],
    }
    chosen.output.with_suffix(".json").write_text(json.dumps(found, indent=1))


def measured(rows: Iterator[Comparison], only: str, runs: int, console: Console) -> Iterator[Outcome]:
    with Progress(console=console, transient=True) as progress:
        for row in rows:
            if only in row.name:
                task = progress.add_task(row.name, total=row.total_runs(runs))
                yield compare(row, runs, lambda task=task: progress.advance(task))  # type: ignore[misc]
                progress.remove_task(task)


def table_of(outcomes: list[Outcome], rooflines: dict[int, float]) -> Table:
    table = Table(title="Medians of alternating runs; yellow falls short")
    for heading in (
        "work",
        "ours",
        "theirs",
        "peer",
        "ratio",
        "least to most",
        "to reach",
        "of memory's limit",
    ):
        table.add_column(heading, justify="left" if heading in ("work", "peer") else "right")
    for row in outcomes:
        table.add_row(
            row.name,
            f"{shown(row.ours)} {row.unit}",
            shown(row.peer),
            row.peer_name,
            f"{row.ratio:.2f}",
            f"{row.least:.2f} to {row.most:.2f}",
            f"{row.target:.2f}",
            f"{row.ours * FIELDS / rooflines[row.lanes]:.2f}" if row.lanes else "",
            style="" if row.ratio >= row.target else "yellow",
        )
    return table


def shown(figure: float) -> str:
    """Write three digits or so of a rate or a cost."""
    if figure >= 1e5:
        return f"{figure / 1e6:,.2f} M"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}"


if __name__ == "__main__":
    main()
