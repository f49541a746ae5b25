"""``nonzero train``: one pass of progressive validation over files."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from nonzero import LogisticRegression
from nonzero.diagnostics.unseen import Unseen, fields_of
from nonzero.errors import InputError
from nonzero.fields.schema import SEPARATORS
from nonzero.sources.examples import read_examples, usable
from nonzero.sources.files import Source
from nonzero_service.commands.conflicts import conflicts_said, unseen_said
from nonzero_service.commands.display import Display, figures_line, figures_table
from nonzero_service.commands.options import (
    FILE_HELP,
    NEW_FILE,
    Reading,
    as_json,
    bits,
    interactions,
    learner_of,
    learning_rate,
    optimizer,
    reading,
    source_of,
)
from nonzero_service.commands.rejects import Rejects, label_trouble
from nonzero_service.commands.tables import reader_of, remember, tables_of

__all__ = ["train"]


@click.command
@click.argument("files", metavar="FILE...", nargs=-1, required=True, help=FILE_HELP)
@click.option("--model", type=NEW_FILE, help="Save what was learned, as safetensors.")
@reading
@bits
@learning_rate
@optimizer
@interactions
@click.option(
    "--namespace-separator",
    type=click.Choice(SEPARATORS),
    default="=",
    show_default=True,
    help="vw: how the feature f of the namespace ns is named, ns=f or ns^f.",
)
@as_json
def train(
    files: Sequence[str],
    model: Path | None,
    reading: Reading,
    bits: int,
    learning_rate: str,
    optimizer: str,
    interactions: Sequence[str],
    namespace_separator: str,
    as_json: bool,
) -> None:
    """Learn from files in one pass; every example is predicted before it is learned from.

    A line that cannot be read, or has no label, is counted, reported on stderr and not learned from.
    What the columns of csv files are is decided once, over samples of all files, before the first row is
    learned from. It is written into the model's schema, which binds whoever asks the model later.
    Where more than half of the rows were refused for their label, or all labels are alike, the exit status
    is 1.
    """
    sources = [source_of(file) for file in files]
    if model is not None and not model.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {model.absolute().parent}", param_hint="--model")
    schema = reading.schema(namespace_separator)
    start = time.perf_counter()
    tables = tables_of(sources, schema, reading)
    judging = time.perf_counter() - start
    learner = learner_of(
        bits, learning_rate, optimizer, interactions, schema if tables is None else tables.schema
    )
    readers = [reader_of(source, learner.schema, reading, tables) for source in sources]
    rejects = Rejects()
    unseen = Unseen(fields_of(learner.interactions))
    sizes = [source.size for source in sources if source.size is not None]

    start = time.perf_counter() - judging
    learner.table.take_ahead(2 * sum(sizes))  # what a small file could never fill stays untouched
    with Display("learning", sum(sizes) if len(sizes) == len(sources) else None) as display:
        for note in [] if tables is None else tables.notes:
            display.say(note)
        for source, reader in zip(sources, readers, strict=True):
            with closing(read_examples(source, reader)) as parts:
                for parsed in parts:
                    rows = usable(parsed, bits, labelled=True)
                    learner.learn_checked(rows.batch)
                    unseen.look(rows.batch)
                    rejects.report(source.name, rows.errors, display.say)
                    display.show(_position(sources), lambda: figures_line(learner.metrics(recent=False)))
            for note in reader.format.notes:
                display.say(f"{source.name}: {note}")
        seconds = time.perf_counter() - start
        display.finish(_position(sources), figures_line(learner.metrics(recent=False)))
    rejects.finish(display.say)
    for line in (*conflicts_said(learner.schema), *unseen_said(unseen.left, learner.schema.known.names())):
        display.say(line)
    trouble = label_trouble(learner, rejects)
    _check_any(learner, sources, trouble)
    if tables is not None:
        remember(learner, tables)
    if model is not None:
        learner.save(model)
    summary = _summary(learner, seconds, rejects.count)
    click.echo(json.dumps(summary) if as_json else figures_table(summary))
    if trouble:
        raise InputError(trouble)


def _check_any(learner: LogisticRegression, sources: list[Source], trouble: str | None) -> None:
    """Refuse files in which nothing could be learned from."""
    if not learner.examples:
        names = ", ".join(source.name for source in sources)
        why = f": {trouble}" if trouble else ""
        raise InputError(f"there is no example to learn from in {names}{why}")


def _position(sources: list[Source]) -> int:
    return sum(source.position for source in sources)


def _summary(learner: LogisticRegression, seconds: float, rejected: int) -> dict[str, Any]:
    figures = learner.metrics(recent=False)
    shown = ("examples", "log_loss", "auc", "normalized_entropy", "calibration")
    return {key: figures[key] for key in shown} | {
        "examples_per_second": learner.examples / seconds,
        "seconds": seconds,
        "rejected": rejected,
    }
