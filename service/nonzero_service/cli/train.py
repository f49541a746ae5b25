"""``nonzero train``: a model learned from files in one pass, each example predicted first."""

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
from nonzero.persistence.pages import keep_freed
from nonzero.sources.examples import read_examples, usable
from nonzero.sources.files import Source
from nonzero_service.cli.display import Display, figures_line, figures_table
from nonzero_service.cli.notices import RejectedLines, conflict_lines, label_problem, unseen_lines
from nonzero_service.cli.options import (
    FILE_HELP,
    NEW_FILE,
    as_json,
    bits,
    interactions,
    learner_of,
    learning_rate,
    optimizer,
    source_of,
)
from nonzero_service.cli.reading import ReadingOptions, reading
from nonzero_service.cli.tables import reader_of, remember, tables_of


@click.command
@click.argument("files", metavar="FILE...", nargs=-1, required=True, help=FILE_HELP)
@click.option("--model", type=NEW_FILE, help="Save the learned model here, as safetensors.")
@reading
@bits
@learning_rate
@optimizer
@interactions
@click.option(
    "--namespace-separator",
    type=click.Choice(SEPARATORS),
    default="=",
    help="vw: the name of the feature f in the namespace ns: ns=f, as in JSON, or ns^f, as in old models.",
)
@as_json
def train(
    files: Sequence[str],
    model: Path | None,
    reading: ReadingOptions,
    bits: int,
    learning_rate: str,
    optimizer: str,
    interactions: Sequence[str],
    namespace_separator: str,
    as_json: bool,
) -> None:
    """Learn a model from files of labelled examples, in one pass and in order.

    Each example is predicted before the model learns from it. So the figures that are printed at the end are
    honest without a test set.

    A line that cannot be read, or has no label, is reported on stderr and not learned from. The exit status
    is 1 where most labels cannot be read, or all are alike.

    Before it learns, train looks at a sample of each csv file and decides what its columns are. It writes
    that into the model's schema, so that predict and the service read the columns in the same way.
    """
    keep_freed()
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
    rejected = RejectedLines()
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
                    rejected.report(source.name, rows.errors, display.say)
                    display.show(_position(sources), lambda: figures_line(learner.metrics(recent=False)))
            for note in reader.format.notes:
                display.say(f"{source.name}: {note}")
        seconds = time.perf_counter() - start
        display.finish(_position(sources), figures_line(learner.metrics(recent=False)))
    rejected.finish(display.say)
    for line in (*conflict_lines(learner.schema), *unseen_lines(unseen.left, learner.schema.known.names())):
        display.say(line)
    problem = label_problem(learner, rejected)
    _check_any(learner, sources, problem)
    if tables is not None:
        remember(learner, tables)
    if model is not None:
        learner.save(model)
    summary = _summary(learner, seconds, rejected.count)
    click.echo(json.dumps(summary) if as_json else figures_table(summary))
    if problem:
        raise InputError(problem)


def _check_any(learner: LogisticRegression, sources: list[Source], problem: str | None) -> None:
    """Refuse files in which nothing could be learned from."""
    if not learner.examples:
        names = ", ".join(source.name for source in sources)
        why = f": {problem}" if problem else ""
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
