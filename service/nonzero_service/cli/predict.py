"""``nonzero predict``: one probability an example."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from select import select

import click
import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.formats import Parsed
from nonzero.persistence.pages import keep_freed
from nonzero.sources.examples import usable
from nonzero.sources.files import STDIN, Source
from nonzero.sources.places import Place
from nonzero_service.cli.display import Display
from nonzero_service.cli.file_arguments import file_named
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.notices import RejectedLines, conflict_lines
from nonzero_service.cli.options import (
    FILE_HELP,
    MODEL_FILE,
    NEW_FILE,
    check_output,
    complete_file,
    interactions,
    listed,
    overwrite,
    source_of,
)
from nonzero_service.cli.options import allow_missing as missing_allowed
from nonzero_service.cli.outputs import left, opened
from nonzero_service.cli.reading import ReadingOptions, reading_again
from nonzero_service.cli.stopping import Stopping, stoppable


@click.command
@click.argument("file", help=FILE_HELP, shell_complete=complete_file)
@click.option(
    "--model",
    type=MODEL_FILE,
    required=True,
    help="The model: a file that train saved.",
)
@click.option(
    "--output",
    "-o",
    type=NEW_FILE,
    help="Write the probabilities here, not to stdout. With .gz or .zst behind its name it is compressed.",
)
@missing_allowed("predict")
@reading_again
@interactions
@overwrite
@stoppable
def predict(
    file: str,
    model: Place,
    output: Place | None,
    allow_missing: bool,
    reading: ReadingOptions,
    interactions: Sequence[str],
    overwrite: bool,
    stopping: Stopping,
) -> None:
    """Print the probability of a click for each example of a file, one a line, in order.

    Labels in the file are ignored. For a line that cannot be read, nan is printed, the reason goes to stderr,
    and the exit status is 1. Blank lines of VW text and libsvm, and comments of libsvm, are no examples.

    The file that --output names must not be there yet, unless --overwrite is given. It is there when all is
    predicted.

    The columns of a csv file are read as train found them. Where one is missing, nothing is printed.

    A rows file must have been hashed as the model reads, else it is refused.

    The model has its own interactions. Where --interactions is given, it must name the same.
    """
    keep_freed()
    stopping.kept = lambda: "nothing was predicted"
    named = file_named(file)
    source = source_of(named)
    if output is not None:
        check_output(output, "--output", overwrite=overwrite, read=(named, model))
        output = None if str(output) == STDIN else output
    expected = {"interactions": listed(interactions)} if interactions else {}
    learner = LogisticRegression.load(model, **expected)
    inputs = InputFiles([source], reading, like=learner, allow_missing=allow_missing, labels=False)
    rejected = RejectedLines()
    done = lines = 0
    stopping.kept = lambda: _kept(done, lines, source, output)
    with ExitStack() as stack:
        write = _writer(output, stack)
        # Beside probabilities on the terminal, a bar would only get in the way.
        display = stack.enter_context(Display("predicting", source.size, quiet=output is None))
        parts = stack.enter_context(closing(inputs.read(display.say)))
        for _, parsed in stopping.each(parts):
            rows = usable(parsed, learner.bits, labelled=False)
            predicted = _lines(rows, learner.predict(rows.batch))
            with stopping.waiting():
                write(predicted)
            rejected.report(source.name, rows.errors, display.say, inputs.what(source))
            done += len(rows.batch)
            lines += parsed.lines_read
            display.show(source.position, partial("{:,} examples".format, done))
        display.finish(source.position, f"{done:,} examples")
        stopping.finish()
    stopping.kept = lambda: (
        f"all {done:,} examples were predicted, and {output or 'standard output'} is whole"
    )
    rejected.finish(display.say)
    for line in conflict_lines(learner.schema):
        display.say(line)
    if rejected.count:
        raise click.exceptions.Exit(1)


def _kept(done: int, lines: int, source: Source, output: Place | None) -> str:
    """Say what is kept of predictions that were stopped."""
    if output is not None:
        return f"{done:,} examples were predicted, and {left(output)}"
    if not select([], [sys.stdout], [], 0)[1]:  # whoever reads it stands still
        return "standard output takes no more, and what was printed is cut"
    sys.stdout.flush()
    return f"{done:,} examples were predicted and printed, as far as line {lines:,} of {source.name}"


def _writer(output: Place | None, stack: ExitStack) -> Callable[[str], object]:
    """Return what writes text to standard output, or to a file that is there when the stack is left."""
    if output is None:
        return sys.stdout.write
    file = stack.enter_context(opened(output))
    return lambda text: file.write(text.encode())


def _lines(rows: Parsed, probabilities: NDArray[np.float32]) -> str:
    """Return a line for each row and each unreadable line, in the file's order."""
    texts = probabilities.astype(str).tolist()  # the shortest text that reads back as the same float32
    if rows.errors:
        unread = ((error.line, "nan") for error in rows.errors)
        texts = [text for _, text in sorted([*zip(rows.lines.tolist(), texts, strict=True), *unread])]
    return "".join(f"{text}\n" for text in texts)
