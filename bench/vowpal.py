"""Vowpal Wabbit: its progressive log loss under 18 settings, and how far a run of one label moves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nonzero import Batch

SETTINGS = (
    *(f"-l {rate}" for rate in (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4)),
    *(f"--adaptive -l {rate}" for rate in (0.05, 0.2, 0.5, 2)),
    *(f"--sgd -l {rate}" for rate in (0.05, 0.5)),
    "--sgd -l 0.05 --power_t 0",
    *(f"--ftrl --ftrl_alpha {rate} --ftrl_beta 1" for rate in (0.05, 0.2, 1)),
)
DEFAULT = "-l 0.5"
"""The setting that Vowpal Wabbit has by itself: adaptive, normalized, invariant."""


def lines(batch: Batch) -> Iterator[str]:
    """Write each example as a line of VW's text."""
    values = batch.explicit_values()
    for r, label in enumerate(batch.labels):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        named = " ".join(
            f"{i}:{x:.9g}" for i, x in zip(batch.indices[span].tolist(), values[span].tolist(), strict=True)
        )
        yield f"{1 if label else -1} | {named}"


def progressive_loss(text: list[str], setting: str) -> float:
    """Return VW's mean log loss over one pass, in nats, each example predicted before it is learned from."""
    from vowpalwabbit import Workspace

    vw = Workspace(f"--loss_function logistic -b 22 --quiet {setting}")
    for line in text:
        vw.learn(line)
    loss = vw.get_sum_loss() / len(text)
    vw.finish()
    return float(loss)


def losses(batch: Batch) -> dict[str, float]:
    """Return the loss under each setting."""
    text = list(lines(batch))
    return {setting: progressive_loss(text, setting) for setting in SETTINGS}


def best(tried: Mapping[str, float]) -> str:
    """Return the setting of the least loss."""
    return min(tried, key=lambda name: tried[name] if np.isfinite(tried[name]) else np.inf)


def moves(
    text: Sequence[str], before: int, label: int, lengths: Sequence[int], after: int
) -> tuple[float, list[float]]:
    """Return the default's mean prediction on the rows after a run of one label, without it and with it.

    Parameters
    ----------
    text
        The lines of a log, at least ``before + max(lengths) + after``.
    before
        Rows that are learned with their own labels.
    label
        What the rows of the run are said to be, whatever they are.
    lengths
        How many rows the run has, rising.
    after
        How many rows are predicted, from the longest run's end on.
    """
    from vowpalwabbit import Workspace

    last = before + lengths[-1]
    features = [line.split(" ", 1)[1] for line in text[: last + after]]
    vw = Workspace(f"--loss_function logistic --link logistic -b 22 --quiet {DEFAULT}")

    def mean() -> float:
        return float(np.mean([vw.predict(line) for line in features[last:]]))

    for line in text[:before]:
        vw.learn(line)
    still, moved, learned = mean(), [], 0
    for length in lengths:
        for line in features[before + learned : before + length]:
            vw.learn(f"{1 if label else -1} {line}")
        learned = length
        moved.append(mean())
    vw.finish()
    return still, moved
