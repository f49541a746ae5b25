"""``nonzero inspect``: what a saved model, or a data directory, holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np

from nonzero import LogisticRegression
from nonzero.fields.schema import KINDS
from nonzero.model.notes import noted_fields
from nonzero_service.cli.display import figures_table
from nonzero_service.cli.extra import service_extra
from nonzero_service.cli.names import names, names_of
from nonzero_service.cli.options import as_json
from nonzero_service.cli.source_text import source_lines, source_report
from nonzero_service.cli.verdicts import diagnosis_text

if TYPE_CHECKING:
    from nonzero_service.models.inspecting import Inspected
    from nonzero_service.writer.entries import Pause

MOST_NAMES: Final = 20
"""So many fields of a kind are shown; --json has all."""


@click.command
@click.argument(
    "model",
    metavar="MODEL_OR_DIR",
    type=click.Path(exists=True, path_type=Path),
    help="A model that train saved, or the data directory of a service.",
)
@click.option("--top", type=click.IntRange(0), default=10, help="How many of the largest weights to show.")
@names
@as_json
def inspect(model: Path, top: int, names_from: Sequence[str], as_json: bool) -> None:
    """Show what a saved model holds, and whether it still learns.

    Of a model: its settings, how well it predicted, its largest weights, and the diagnosis. Of a data
    directory: the journal and the snapshots of each model, and the model in the newest snapshot.

    A model keeps no names of features. --names hashes those of a log, or of a list, and so finds them again.
    """
    if model.is_dir():
        reports = _directory_reports(model, top, names_from)
        texts = (_directory_text(name, report) for name, report in reports.items())
        click.echo(json.dumps(reports) if as_json else "\n\n".join(texts))
        return
    report = _report(LogisticRegression.load(model), top, names_from)
    click.echo(json.dumps(report) if as_json else _text(report))


def _directory_reports(directory: Path, top: int, names_from: Sequence[str]) -> dict[str, dict[str, Any]]:
    with service_extra("inspect"):
        from nonzero_service.models.data_directory import models_in
        from nonzero_service.models.inspecting import inspect_model
    reports: dict[str, dict[str, Any]] = {}
    for name, path in models_in(directory).items():
        held = inspect_model(path)
        reports[name] = {
            "first_position": held.first,
            "last_position": held.last,
            "sequence": held.sequence,
            "newest": held.newest.isoformat(timespec="milliseconds"),
            "snapshots": held.snapshots,
            "put_aside": held.put_aside,
            "paused": None if held.paused is None else _pause(held.paused),
            "sources": source_report(held.sources),
            "pending": held.pending,
            "settings": _settings(held),
            "model": None if held.model is None else _report(held.model, top, names_from),
        }
    return reports


def _settings(held: Inspected) -> dict[str, Any] | None:
    found = held.settings if held.model is None else held.model.settings
    return None if found is None else found | held.labelling


def _directory_text(name: str, report: dict[str, Any]) -> str:
    positions = ", ".join(f"{position:,}" for position in report["snapshots"]) or "none yet"
    lines = [
        f"{name}: {report['sequence']:,} examples",
        f"journal: positions {report['first_position']:,} to {report['last_position']:,}, "
        f"the last of {report['newest']}",
        f"snapshots at: {positions}",
        *(f"damaged and put aside: {file}" for file in report["put_aside"]),
        *(_pause_text(name, report["paused"]) if report["paused"] else ()),
        *source_lines(report["sources"]),
        *(f"predictions that wait for their label: {count:,}" for count in [report["pending"]] if count),
    ]
    if report["model"] is not None:
        lines += ["", "the newest snapshot:", _text(report["model"])]
    return "\n".join(lines)


def _pause(pause: Pause) -> dict[str, Any]:
    since = datetime.fromtimestamp(pause.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {"since": since, "reason": pause.reason, "held": pause.examples}


def _pause_text(name: str, pause: dict[str, Any]) -> Iterator[str]:
    reason = pause["reason"]
    yield (
        f"learning is paused since {pause['since']}: {reason['figure']} is {reason['now']:.4g} "
        f"and was {reason['before']:.4g}"
    )
    yield (
        f"{pause['held']:,} examples are held: POST /v1/models/{name}/resume learns from them, "
        "or, with ?discard=true, does not"
    )


def _report(model: LogisticRegression, top: int, names_from: Sequence[str]) -> dict[str, Any]:
    weights = model.weights
    slots = np.flatnonzero(weights[:-1])
    largest = slots[np.argsort(-np.abs(weights[slots]), kind="stable")[:top]]
    found = names_of(model, names_from, np.sort(largest))
    return {
        "settings": model.settings,
        "examples": model.examples,
        "metrics": model.metrics(),
        "shares": model.shares.tolist(),
        "bytes": model.nbytes,
        "diagnosis": model.diagnose(noted_fields(model.notes)),
        "digest": model.digest(),
        "intercept": float(weights[-1]),
        "nonzero_weights": slots.size,
        "weights": [
            {"slot": slot, "weight": float(weights[slot])} | ({"names": found.of(slot)} if found else {})
            for slot in largest.tolist()
        ],
    }


def _text(report: dict[str, Any]) -> str:
    bits = report["settings"]["bits"]
    lanes, interactions = report["settings"]["lanes"], report["settings"].get("interactions")
    lines = [
        f"{2**bits:,} slots ({bits} bits), {report['bytes'] / 2**20:,.0f} MiB, digest {report['digest']}",
        "",
        *(f"interactions: {', '.join(pairs)}" for pairs in [interactions] if pairs),
        *_schema_lines(report["settings"]),
        "share of the mixture   rule",
        *(f"{share:<20.4f}   {_rule(lane)}" for lane, share in zip(lanes, report["shares"], strict=True)),
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
            *map(_weight_line, report["weights"]),
        ]
    return "\n".join([*lines, "", diagnosis_text(report["diagnosis"])])


def _weight_line(row: dict[str, Any]) -> str:
    line = f"{row['slot']:>10}  {row['weight']:+.4f}"
    return f"{line}  {', '.join(row['names']) or '?'}" if "names" in row else line


def _schema_lines(settings: dict[str, Any]) -> Iterator[str]:
    """Yield what fields are; older models say nothing of it, and name the features of VW text with ^."""
    schema = settings.get("schema")
    if schema is not None:
        counts = Counter(schema["fields"].values())
        kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts[kind])
        yield f"schema: {kinds or 'nothing declared'}; all others: {schema['default']}"
        for kind in KINDS:
            names = [name for name, said in schema["fields"].items() if said == kind]
            if names:
                more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
                yield f"{kind}: {', '.join(names[:MOST_NAMES])}{more}"
    yield f"features of VW text: namespace{settings.get('namespace_separator', '^')}feature"


def _rule(lane: dict[str, Any]) -> str:
    """Return a lane's rule and hyperparameters as ``--optimizer`` takes them."""
    return f"{lane['rule']}:{','.join(f'{name}={value:g}' for name, value in lane.items() if name != 'rule')}"
