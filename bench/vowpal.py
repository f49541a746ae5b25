"""Vowpal Wabbit's progressive log loss under 18 settings, to be matched without tuning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nonzero import Batch

SETTINGS = (
    *(f"-l {rate}" for rate in (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4)),
    *(f"--adaptive -l {rate}" for rate in (0.05, 0.2, 0.5, 2)),
    *(f"--sgd -l {rate}" for rate in (0.05, 0.5)),
    "--sgd -l 0.05 --power_t 0",
    *(f"--ftrl --ftrl_alpha {rate} --ftrl_beta 1" for rate in (0.05, 0.2, 1)),
)


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


def best(batch: Batch) -> tuple[str, float]:
    """Return the best setting and its loss."""
    tried = losses(batch)
    setting = min(tried, key=lambda name: tried[name] if np.isfinite(tried[name]) else np.inf)
    return setting, tried[setting]
