"""``python -m bench.cluster``: what several nodes over PostgreSQL do, and what it costs, as rows of a table.

It runs a primary and its synchronous standby for itself, with Debian's programs, on the disk of temporary
files.
"""

from __future__ import annotations

import argparse
import os

from bench.cluster import bulk, folding, following, newcomer, readers, single, takeovers

PARTS = {
    "bulk": bulk.figures,
    "folding": folding.figures,
    "following": following.figures,
    "idle": following.idle,
    "readers": readers.figures,
    "takeovers": takeovers.figures,
    "newcomer": newcomer.figures,
    "single": single.figures,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--examples", type=int, default=400_000, help="lines of a bulk update")
    parser.add_argument("--appends", type=int, default=64, help="bare appends of 1 MB a run")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long a load lasts")
    parser.add_argument("--runs", type=int, default=5, help="how often each side runs")
    parser.add_argument("--times", type=int, default=10, help="how often each fault is done")
    chosen = parser.parse_args()
    unknown = set(chosen.parts) - PARTS.keys()
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    print("| what | figure | aim |\n|---|---|---|")
    for part in chosen.parts or PARTS:
        for figure in PARTS[part](chosen):
            print(f"| {' | '.join(figure)} |", flush=True)
        print(f"load after {part}: {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
