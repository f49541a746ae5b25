"""``nonzero inspect``: what a saved model holds."""

from __future__ import annotations

import json
from typing import Annotated, Any

import numpy as np
import typer

from nonzero import LogisticRegression
from nonzero_service.commands.display import figures_table
from nonzero_service.commands.options import JSONOption, ModelArgument

__all__ = ["inspect"]


def inspect(
    model: ModelArgument,
    top: Annotated[int, typer.Option("--top", min=0, help="How many of the largest weights to show.")] = 10,
    as_json: JSONOption = False,
) -> None:
    """Show a saved model: settings, examples seen, how well it predicted them, the largest weights."""
    report = _report(LogisticRegression.load(model), top)
    typer.echo(json.dumps(report) if as_json else _text(report))


def _report(model: LogisticRegression, top: int) -> dict[str, Any]:
    weights = model.weights
    slots = weights[:-1]
    largest = np.argsort(-np.abs(slots), kind="stable")[:top]
    return {
        "settings": model.settings,
        "examples": model.examples,
        "metrics": model.metrics(),
        "shares": model.shares.tolist(),
        "bytes": model.nbytes,
        "digest": model.digest(),
        "intercept": float(weights[-1]),
        "nonzero_weights": int(np.count_nonzero(slots)),
        "weights": [{"slot": int(slot), "weight": float(slots[slot])} for slot in largest if slots[slot]],
    }


def _text(report: dict[str, Any]) -> str:
    bits = report["settings"]["bits"]
    lines = [
        f"{2**bits:,} slots ({bits} bits), {report['bytes'] / 2**20:,.0f} MiB, digest {report['digest']}",
        "",
        "learning rate   epsilon   decay     share of the mixture",
        *(
            f"{lane['learning_rate']:<13g}   {lane['epsilon']:<7g}   {lane['decay']:<7g}   {share:.4f}"
            for lane, share in zip(report["settings"]["lanes"], report["shares"], strict=True)
        ),
        "",
        "over the whole stream",
        figures_table(report["metrics"]),
    ]
    recent = report["metrics"]["recent"]
    if recent["examples"] < report["examples"]:
        lines += ["", f"over the last {recent['examples']:,} examples", figures_table(recent)]
    lines += ["", f"intercept {report['intercept']:+.4f}; {report['nonzero_weights']:,} slots have a weight"]
    if report["weights"]:
        lines += [
            "",
            "      slot    weight",
            *(f"{row['slot']:>10}  {row['weight']:+.4f}" for row in report["weights"]),
        ]
    return "\n".join(lines)
