"""An evaluation as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nonzero.statistics.difference_text import difference_text
from nonzero.statistics.progressive import FIGURES
from nonzero_service.cli.display import number_text

_ROWS: Final = {**FIGURES, "brier": ("Brier score", ".5f")}

_OF_SLICES: Final = ("log_loss", "auc", "calibration")
"""Of a slice so many have room in a line."""

_LONGEST: Final = 40
"""Of a value so many characters are shown."""


def evaluation_text(found: Mapping[str, Any]) -> str:
    """Return the figures of an evaluation, in lines."""
    models: Sequence[Mapping[str, Any]] = found["models"]
    lines = _table(
        [
            *([["", *(one["model"] for one in models)]] if len(models) == 2 else []),
            ["examples", f"{found['examples']:,}"],
            ["clicks", f"{found['clicks']:,.0f}"],
            ["lines rejected", f"{found['rejected']:,}"],
            *(
                [title, *(number_text(one[key], form) for one in models)]
                for key, (title, form) in _ROWS.items()
            ),
        ]
    )
    if len(models) == 2:
        lines += ["", difference_text(found["difference"], *(one["model"] for one in models))]
    for field, slices in found.get("slices", {}).items():
        lines += ["", *_slices_table(field, slices)]
    if "days" in found:
        lines += ["", *_slices_table("day", found["days"])]
    return "\n".join(lines)


def _slices_table(field: str, slices: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each slice."""
    several = bool(slices) and len(slices[0]["models"]) == 2
    figures = [(key, *_ROWS[key]) for key in _OF_SLICES]
    names = ("1", "2") if several else ("",)
    heads = [f"{title} {name}".rstrip() for name in names for _, title, _ in figures]
    rows = [[field, "examples", "clicks", *heads, *(["1 less 2, 95 %"] if several else [])]]
    for one in slices:
        models = one["models"]
        row = [_name(one), f"{models[0]['examples']:,}", f"{models[0]['clicks']:,.0f}"]
        row += [number_text(model[key], form) for model in models for key, _, form in figures]
        rows.append([*row, *([_interval(one["difference"])] if several else [])])
    return _table(rows)


def _name(one: Mapping[str, Any]) -> str:
    if one["slice"] == "value":
        value = str(one["value"])
        shown = value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
        return shown if shown.isprintable() else repr(shown)
    if one["slice"] == "without":
        return "(none)"
    return "(all others)" if one["values"] is None else f"({one['values']:,} others)"


def _interval(difference: Mapping[str, Any] | None) -> str:
    """Return a difference with its interval, and a star where it is one that can be told."""
    if difference is None or difference["low"] is None:
        return "too few  "
    mean, low, high = (difference[key] for key in ("mean", "low", "high"))
    return f"{mean:+.5f}, {low:+.5f} to {high:+.5f} {' ' if low <= 0 <= high else '*'}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column at the left, the others at the right."""
    columns = max(map(len, rows))
    widths = [max(len(row[k]) for row in rows if k < len(row)) for k in range(columns)]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
