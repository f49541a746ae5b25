"""``python -m bench.challenger``: whether a challenger is called better when it is, and only then.

A champion without interactions and a challenger learn the same simulated log side by side. Each thousand
examples is predicted by both before either learns from it, in calls of 250, and then somebody looks at the
comparison. The log's truth is a logistic model of its fields and of the products of two pairs of them. Its
click rates are known, and so is what the difference of the losses was to be expected to be.

Each run has a log of its own. The first tables tell what a challenger was called that has nothing to win. In
truth one of two such models is always a little better. So they also tell in how many runs it was called
better or worse at a time when it was not to be expected to be, and in how many the interval ever missed what
was to be expected. The last table tells how many examples it took until a challenger with the true products
was called better. Beside it stands what somebody would have seen who looked as often at an interval of 95 %
that holds at one length of the stream only.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from multiprocessing import Pool
from typing import Any

import numpy as np
from bench.challenger_logs import STREAMS
from bench.challenger_runs import NOTHING_TO_WIN, TRUE, Run, run, run_late


def after(examples: list[int | None]) -> str:
    """Say of how many runs something was said, and when."""
    told = sorted(one for one in examples if one is not None)
    if not told:
        return f"0 of {len(examples)}"
    middle = f", half of them by {told[(len(told) - 1) // 2]:,}" if len(told) > 2 else ""
    return f"{len(told)} of {len(examples)}{middle}"


def print_winners(pool: Any, runs: int, n: int) -> None:
    print(
        "| log | products' effects | better by | called better | by an interval of one length | missed |\n"
        "|---|---|---|---|---|---|"
    )
    for stream in STREAMS:
        for strength in (0.4, 0.8):
            told = pool.map(partial(run, stream, TRUE, n, strength), range(runs))
            print(
                f"| {stream} | {strength} | {100 * np.mean([one.share for one in told]):.2f} % "
                f"| {after([one.better for one in told])} | {after([one.naive for one in told])} "
                f"| {sum(one.missed for one in told)} |",
                flush=True,
            )
    print()


def print_late(pool: Any, runs: int, n: int) -> None:
    """Print the same where clicks come late, and whether the difference is that of labels known at once."""
    print(
        f"| clicks, {runs} runs | challenger | better by | of what it is with labels known at once "
        f"| called better | worse | wrongly | ever missed |"
    )
    print("|---" * 8 + "|")
    for rate in (0.05, 0.01):
        for name, challenger in {"the true products": TRUE, **NOTHING_TO_WIN}.items():
            work = partial(run_late, rate, challenger, n, 0.8 if challenger is TRUE else 0.0)
            told = pool.map(work, range(2000, 2000 + runs))
            seen = [one for one, _ in told]
            ratio = np.mean([one.difference for one in seen]) / np.mean([truly for _, truly in told])
            print(
                f"| {100 * rate:g} % | {name} | {100 * np.mean([one.share for one in seen]):+.3f} % "
                f"| {100 * ratio:.0f} % | {verdicts(seen)} |",
                flush=True,
            )
    print()


def verdicts(told: list[Run]) -> str:
    """Say how many were called better, worse, either of them wrongly, and how many intervals ever missed."""
    figures = ([one.better is not None, one.worse is not None, one.wrong, one.missed] for one in told)
    return " | ".join(str(sum(column)) for column in zip(*figures, strict=True))


def print_losers(pool: Any, runs: int, n: int, streams: list[str]) -> None:
    print(
        f"| log, {runs} runs | challenger | better by | called better | worse | wrongly | ever missed "
        "| by an interval of one length: better | wrongly | ever missed |"
    )
    print("|---" * 10 + "|")
    for stream in streams:
        for name, challenger in NOTHING_TO_WIN.items():
            told = pool.map(partial(run, stream, challenger, n, 0.0), range(1000, 1000 + runs))
            print(
                f"| {stream} | {name} | {100 * np.mean([one.share for one in told]):+.3f} % "
                f"| {verdicts(told)} | {sum(one.naive is not None for one in told)} "
                f"| {sum(one.naive_wrong for one in told)} | {sum(one.naive_missed for one in told)} |",
                flush=True,
            )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.challenger", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of each row with nothing to win")
    parser.add_argument("--examples", type=int, default=100_000, help="of each log")
    chosen = parser.parse_args()
    with Pool(os.cpu_count()) as pool:
        print_losers(pool, chosen.runs, chosen.examples, list(STREAMS)[:1])
        print_losers(pool, max(chosen.runs // 4, 1), chosen.examples, list(STREAMS)[1:])
        print_late(pool, max(chosen.runs // 10, 1), chosen.examples)
        print_winners(pool, max(chosen.runs // 10, 1), 4 * chosen.examples)


if __name__ == "__main__":
    main()
