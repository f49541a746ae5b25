"""``python -m bench.builds ../before``: this checkout against another, row by row, by processor time.

Each checkout runs our side of its own benchmarks in a process of its own, with its own environment, and the
two take turns. A row that the clock tells is told by processor time here; what a row tells otherwise
(requests for a second of processor time, a percentile, memory) stays as it is. The ratio says how much dearer
this checkout is, with the interval of its mean that Student's t gives.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from bench.measure import cpu_seconds

ROOT = Path(__file__).parent.parent
EXAMPLES = 300_000
T_95 = {4: 2.776, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045}
"""Two-sided 95 % quantiles of Student's t, by degrees of freedom."""
PARTS = ("library", "service", "footprint")
TOLD = ("requests/CPU s", "examples/CPU s", "1/s", "bytes")
"""Units of rows that are taken as they are told."""


class Build:
    """A process of a checkout's that runs its rows one by one."""

    def __init__(self, checkout: Path, place: Path, only: str, parts: Sequence[str]) -> None:
        place.mkdir(exist_ok=True)
        environment = os.environ | {
            "PYTHONPATH": str(checkout),
            "TMPDIR": str(place),
            # A run must not pay for the memory that another gave back.
            "MALLOC_MMAP_THRESHOLD_": "4000000000",
            "MALLOC_TRIM_THRESHOLD_": "4000000000",
        }
        self.process = subprocess.Popen(
            [checkout / ".venv/bin/python", str(Path(__file__)), "--side", "--only", only, "--parts", *parts],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def ask(self, what: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(what, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args!r} ended at {what!r}")
        return json.loads(line)


def pair(before: Build, now: Build, *, swapped: bool) -> Iterator[tuple[str, float, float]]:
    """Yield the rows that both have: their names and costs, after once each that does not count."""
    while name := before.ask("next"):
        while (other := now.ask("next")) != name:
            if other is None:
                raise SystemExit(f"this checkout has no row {name!r}")
        for build in (before, now):
            build.ask("run")
        order = (now, before) if swapped else (before, now)
        found = {build: build.ask("run") for build in order}
        yield name, found[before], found[now]


def side(only: str, parts: Sequence[str]) -> None:
    """Answer ``next`` with the next row's name, and ``run`` with its cost, until there is none."""
    from bench import footprint, library, service
    from bench.workloads import ClickLog

    time.perf_counter = processor_time  # by which the rows of the library tell their rates
    answers, sys.stdout = sys.stdout, sys.stderr
    log = ClickLog(EXAMPLES)
    data = Path(os.environ.get("NONZERO_DATA", "../shared/data"))
    rows = {
        "library": lambda: library.comparisons(log, data),
        "service": lambda: service.comparisons(log, 1),
        "footprint": lambda: footprint.comparisons(log),
    }
    chosen = (row for part in parts for row in rows[part]() if re.search(only, row.name))
    row: Any = None
    for line in sys.stdin:
        if line.strip() == "next":
            row = next(chosen, None)
            answer = row and row.name
        else:
            answer = cost(row)
        print(json.dumps(answer), file=answers, flush=True)


def cost(row: Any) -> float:
    """Do the work of a row once; return its cost: the inverse of its rate, or what it says."""
    before = of_servers()
    start = time.perf_counter()
    figure = row.ours() or row.amount / (time.perf_counter() - start)
    after = of_servers()
    if row.unit not in TOLD and (
        served := sum(after[pid] - before[pid] for pid in after.keys() & before.keys())
    ):
        return served
    return float(figure if row.cost else 1 / figure)


def processor_time() -> float:
    """Return the seconds that this process has computed, and those that it has waited for."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited.ru_utime + waited.ru_stime


def of_servers() -> dict[int, float]:
    """Return the processor time of each server beneath this process."""
    return {
        pid: cpu_seconds(pid)
        for pid in descendants(os.getpid())
        if b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from descendants(child)


def interval(costs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Return the mean ratio of pairs (before, now) and the ends of its 95 % interval, by logarithms."""
    logs = [math.log(now / before) for before, now in costs]
    mean = statistics.fmean(logs)
    half = T_95[len(logs) - 1] * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.builds", description=__doc__)
    parser.add_argument("before", nargs="?", type=Path, help="a checkout with an environment in .venv")
    parser.add_argument("--pairs", type=int, default=15, choices=[n + 1 for n in T_95])
    parser.add_argument("--only", default="", help="rows whose name this regular expression finds")
    parser.add_argument(
        "--parts",
        nargs="+",
        default=PARTS,
        choices=PARTS,
        help="modules whose rows are looked at: a row that is only left out is prepared, which takes long",
    )
    parser.add_argument(
        "--bound", type=float, default=1.03, help="the ratio that a row may not lie wholly beyond"
    )
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        side(chosen.only, chosen.parts)
        return
    if chosen.before is None:
        parser.error("name the checkout to compare with")
    checkouts = [chosen.before.resolve(), ROOT]
    costs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        # Each pair is two new processes: where their memory lies is luck that lasts as long as they do.
        for n in range(chosen.pairs):
            places = [Path(directory, str(k)) for k in range(2)]
            with (
                Build(checkouts[0], places[0], chosen.only, chosen.parts) as before,
                Build(checkouts[1], places[1], chosen.only, chosen.parts) as now,
            ):
                rows = Counter[str]()
                for name, *cost in pair(before, now, swapped=bool(n % 2)):
                    rows[name] += 1
                    known = f"{name} ({rows[name]})" if rows[name] > 1 else name
                    costs[known].append((cost[0], cost[1]))
                    ratio = cost[1] / cost[0]
                    print(f"pair {n + 1} of {chosen.pairs}: {known}: {ratio:.4f}", file=sys.stderr)
    print("| row | ratio of cost | 95 % | |\n|---|---|---|---|")
    beyond = 0
    for name, found in costs.items():
        ratio, low, high = interval(found)
        beyond += low > chosen.bound
        mark = "**beyond**" if low > chosen.bound else ""
        print(f"| {name} | {ratio:.3f} | {low:.3f} to {high:.3f} | {mark} |")
    sys.exit(bool(beyond))


if __name__ == "__main__":
    main()
