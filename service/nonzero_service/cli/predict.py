"""``nonzero predict``: one probability an example."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.formats import Parsed
from nonzero.persistence.pages import keep_freed
from nonzero.sources.examples import read_examples, usable
from nonzero_service.cli.display import Display
from nonzero_service.cli.notices import RejectedLines, conflict_lines
from nonzero_service.cli.options import FILE_HELP, NEW_FILE, interactions, listed, source_of
from nonzero_service.cli.reading import ReadingOptions, reading_again
from nonzero_service.cli.tables import reader_alike


@click.command
@click.argument("file", help=FILE_HELP)
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The model: a file that train saved.",
)
@click.option("--output", type=NEW_FILE, help="Write the probabilities here, not to stdout.")
@click.option(
    "--allow-missing",
    is_flag=True,
    help="csv: predict although columns are missing that the model was trained on.",
)
@reading_again
@interactions
def predict(
    file: str,
    model: Path,
    output: Path | None,
    allow_missing: bool,
    reading: ReadingOptions,
    interactions: Sequence[str],
) -> None:
    """Print the probability of a click for each example of a file, one a line, in order.

    Labels in the file are ignored. For a line that cannot be read, nan is printed, the reason goes to stderr,
    and the exit status is 1. Blank lines of VW text and libsvm, and comments of libsvm, are no examples.

    The columns of a csv file are read as train found them. Where one is missing, nothing is printed.

    The model has its own interactions. Where --interactions is given, it must name the same.
    """
    keep_freed()
    source = source_of(file)
    expected = {"interactions": listed(interactions)} if interactions else {}
    learner = LogisticRegression.load(model, **expected)
    if reading.format_of(source) == "csv":
        reader = reader_alike(learner, source, reading, allow_missing=allow_missing)
    else:
        reader = reading.reader(source, learner.schema)
    rejected = RejectedLines()
    done = 0
    with ExitStack() as stack:
        out = sys.stdout if output is None else stack.enter_context(output.open("w"))
        # Beside probabilities on the terminal, a bar would only get in the way.
        display = stack.enter_context(Display("predicting", source.size, quiet=output is None))
        for parsed in stack.enter_context(closing(read_examples(source, reader))):
            rows = usable(parsed, learner.bits, labelled=False)
            out.write(_lines(rows, learner.predict(rows.batch)))
            rejected.report(source.name, rows.errors, display.say)
            done += len(rows.batch)
            display.show(source.position, partial("{:,} examples".format, done))
        for note in reader.format.notes:
            display.say(f"{source.name}: {note}")
        display.finish(source.position, f"{done:,} examples")
    rejected.finish(display.say)
    for line in conflict_lines(learner.schema):
        display.say(line)
    if rejected.count:
        raise click.exceptions.Exit(1)


def _lines(rows: Parsed, probabilities: NDArray[np.float32]) -> str:
    """Return a line for each row and each unreadable line, in the file's order."""
    texts = probabilities.astype(str).tolist()  # the shortest text that reads back as the same float32
    if rows.errors:
        unread = ((error.line, "nan") for error in rows.errors)
        texts = [text for _, text in sorted([*zip(rows.lines.tolist(), texts, strict=True), *unread])]
    return "".join(f"{text}\n" for text in texts)
