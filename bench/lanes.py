"""``python -m bench.lanes``: the default model on every click log, beside Vowpal Wabbit.

It prints the tables of ``lanes.md``. Every log is learned once, in its own order; both predict each example
before they learn from it. Vowpal Wabbit's 18 settings take hours on all logs, and give the same figures each
time: ``--vowpal FILE`` keeps them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench import click_logs, vowpal

from nonzero import Batch, LogisticRegression

BITS: Final = 22
SMALL: Final = 5000
"""Of logs of fewer rows the difference stands in nats too: one row is a large share of them."""

Losses = dict[str, dict[str, float]]
"""The mean loss of a log under each setting."""


class KnownLosses:
    """Vowpal Wabbit's losses: those that a file has, and those that are measured now, written into it."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.losses: Losses = json.loads(path.read_text()) if path is not None and path.exists() else {}

    def of(self, name: str, batch: Batch) -> dict[str, float]:
        """Return the loss of each setting on a log."""
        if name not in self.losses:
            self.losses[name] = vowpal.losses(batch)
            if self.path is not None:
                self.path.write_text(json.dumps(self.losses, indent=1) + "\n")
        return self.losses[name]


def row(name: str, batch: Batch, rivals: Mapping[str, float]) -> str:
    """Return the row of a log."""
    setting = vowpal.best(rivals)
    model = LogisticRegression(BITS)
    model.learn(batch)
    ours, best = model.metrics()["log_loss"], rivals[setting]
    nats = f", {(ours - best) * len(batch):+.1f} nats" if len(batch) < SMALL else ""
    default = rivals[vowpal.DEFAULT]
    return (
        f"| {name} | {len(batch):,} | {batch.labels.mean():.2%} | {default:.5f} | `{setting}` | {best:.5f} "
        f"| {ours:.5f} | {ours / default - 1:+.2%} | {ours / best - 1:+.2%}{nats} |"
    )


def print_table(logs: Mapping[str, Callable[[], Batch]], known: KnownLosses) -> None:
    """Print a table of the logs that are at hand."""
    print("\n| log | rows | clicks | VW | best of 18 | its loss | Nonzero | to VW | to the best |")
    print("|---" * 9 + "|")
    for name, batch in click_logs.at_hand(logs):
        print(row(name, batch, known.of(name, batch)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lanes", description=__doc__)
    parser.add_argument("--vowpal", metavar="FILE", type=Path, help="where Vowpal Wabbit's losses are kept")
    known = KnownLosses(parser.parse_args().vowpal)
    for logs in (
        click_logs.LOGS,
        click_logs.readers(click_logs.CHOOSE),
        click_logs.readers(click_logs.ASIDE),
    ):
        print_table(logs, known)


if __name__ == "__main__":
    main()
