"""What the demonstration found, in words and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nonzero_service.demo.figures import Truth

__all__ = ["summary"]

_FIGURES = (("log loss", "log_loss", ".5f"), ("AUC", "auc", ".4f"), ("calibration", "calibration", ".4f"))


def summary(
    over_http: Mapping[str, float | None],
    server: Mapping[str, Any],
    examples_before: int,
    rejected: int,
    seconds: float,
    truth: Truth | None,
) -> str:
    """Describe a replay.

    Parameters
    ----------
    over_http
        Figures of what was predicted over HTTP.
    server
        The model's metrics afterwards.
    examples_before
        How many examples the model had learned from before.
    rejected
        How many lines were not learned from.
    seconds
        How long the replay took.
    truth
        How far the predictions are from the true click rates, where those are known.
    """
    examples = over_http["examples"] or 0
    lines = [
        "",
        f"{examples:,.0f} examples predicted, then learned from, in {seconds:.1f} s: "
        f"{examples / seconds:,.0f} a second" + (f"; {rejected:,} lines rejected" if rejected else ""),
        "",
        f"{'':<14}{'server, progressive':>20}{'predicted over HTTP':>22}",
    ]
    for title, key, form in _FIGURES:
        lines.append(f"{title:<14}{_number(server[key], form):>20}{_number(over_http[key], form):>22}")
    lines += [
        "",
        "The server predicts each example after learning from all before it. Over HTTP a chunk is",
        "predicted before any of it is learned from, so that these figures lag a little.",
    ]
    if examples_before:
        lines.append(
            f"The server's include the {examples_before:,} examples that the model had learned from before."
        )
    if truth is not None:
        lines += ["", *_distances(truth)]
    return "\n".join(lines)


def _distances(truth: Truth) -> list[str]:
    distances = truth.distances()
    half = Truth.PARTS // 2
    rows = (
        ("at the start", distances[0]),
        ("just before the change of taste", distances[half - 1]),
        ("just after it", distances[half]),
        ("at the end", distances[-1]),
    )
    return [
        f"Mean distance from the true click rates, a {Truth.PARTS}th of the log each:",
        *(f"  {title:<34}{distance:.4f}" for title, distance in rows),
        f"Whoever knew the true rates would have a log loss of {truth.best_log_loss():.5f}.",
    ]


def _number(value: float | None, form: str) -> str:
    return "undefined" if value is None else format(value, form)
