"""A model as a notebook shows it: its settings, how well it predicts, and whether it still learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nonzero.fields.schema import KINDS, Schema
from nonzero.model.lanes import lanes_of
from nonzero.model.settings import ModelSettings
from nonzero.notebook import table_html
from nonzero.statistics.progressive import FIGURES

_SHOWN: Final = 20
"""So many interactions are shown."""


def model_html(settings: ModelSettings, metrics: Mapping[str, Any], diagnosis: Mapping[str, Any]) -> str:
    """Return what a notebook shows of a model.

    Parameters
    ----------
    settings
        The model's.
    metrics, diagnosis
        As the model's methods of these names return them.

    Returns
    -------
    str
        HTML.
    """
    return table_html("LogisticRegression", [*_settings(settings), *_figures(metrics), _verdict(diagnosis)])


def _settings(settings: ModelSettings) -> Iterator[tuple[str, ...]]:
    yield "table", f"2^{settings.bits} = {2**settings.bits:,} slots"
    yield "learners", _lanes(settings)
    pairs = settings.interactions
    if pairs:
        more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
        yield "interactions", ", ".join(pairs[:_SHOWN]) + more
    yield "schema", _schema(settings.schema)
    if settings.recalibrated:
        yield "recalibrated", "yes"


def _lanes(settings: ModelSettings) -> str:
    lanes = settings.lanes
    if len(lanes) == 1:
        return repr(lanes[0])
    if lanes == lanes_of(None, settings.version):
        return f"{len(lanes)} lanes, mixed: nothing to tune"
    rules = Counter(lane.name for lane in lanes)
    return f"{len(lanes)} lanes, mixed: {', '.join(f'{n} {rule}' for rule, n in rules.items())}"


def _schema(schema: Schema) -> str:
    counts = Counter(schema.fields.values())
    kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
    return f"{kinds or 'nothing declared'}; all others: {schema.default}"


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the figures of the whole stream and, where that is less, of the last examples beside them."""
    columns = [metrics]
    if metrics["recent"]["examples"] < metrics["examples"]:
        columns.append(metrics["recent"])
        yield "", "in all", "lately"
    yield "examples", *(f"{one['examples']:,}" for one in columns)
    for key, (title, form) in FIGURES.items():
        yield title, *("undefined" if one[key] is None else format(one[key], form) for one in columns)


def _verdict(diagnosis: Mapping[str, Any]) -> tuple[str, ...]:
    return "diagnosis", f"{diagnosis['verdict']}: {diagnosis['reason']}"
