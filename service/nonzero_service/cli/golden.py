"""Golden predictions beside an export: of random rows, or of the first of a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from nonzero import Batch, LogisticRegression
from nonzero.errors import InputError
from nonzero.export.golden import golden_lines, random_rows
from nonzero.formats.assembly import PlainRow
from nonzero.formats.named_rows import NamedRows
from nonzero.sources.files import Source
from nonzero.sources.places import Named
from nonzero_service.cli.display import Display
from nonzero_service.cli.input_files import InputFiles, is_rows
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.options import source_of
from nonzero_service.cli.tables import reading_of


def golden_of(model: LogisticRegression, n: int, log: Sequence[Named]) -> Iterator[str]:
    """Return the lines of golden predictions.

    Parameters
    ----------
    model
        The model.
    n
        How many rows; fewer where the log has no more.
    log
        The files of the log whose first rows they are; none: random rows.

    Raises
    ------
    click.BadParameter
        For a log that is not there, or whose name does not tell its format.
    InputError
        For one without a row that can be read.
    """
    if not log:
        return golden_lines(model, random_rows(model, n))
    batch, rows = _first_rows(model, [source_of(file, "--golden-from") for file in log], n)
    if not len(batch):
        raise InputError(f"there is no row to predict in {', '.join(map(str, log))}")
    return golden_lines(model, batch, rows)


def _first_rows(
    model: LogisticRegression, sources: Sequence[Source], n: int
) -> tuple[Batch, list[PlainRow] | None]:
    """Return the first rows of a log, with their names where all of it has some."""
    options = reading_of(model)
    try:
        nameless = any(is_rows(one, options) for one in sources)
    except click.BadParameter as error:  # there is no option that says the format
        raise click.BadParameter(error.message, param_hint="--golden-from") from error
    inputs = InputFiles(sources, options, like=model, allow_missing=True)
    batches: list[Batch] = []
    rows: list[PlainRow] = []
    rejected = RejectedLines()
    with Display("reading rows", None, quiet=True) as display:
        if nameless:
            parts: Iterator[tuple[Source, NamedRows]] = (
                (one, NamedRows(parsed, [])) for one, parsed in inputs.read(display.say)
            )
        else:
            parts = inputs.read_named(display.say)
        for source, part in parts:
            rejected.report(source.name, part.parsed.errors, display.say, inputs.what(source))
            batches.append(part.parsed.batch)
            rows += part.rows
            if sum(map(len, batches)) >= n:
                break
        rejected.finish(display.say)
    found = Batch.concatenate(batches)
    return found.rows(0, min(n, len(found))), rows[:n] or None
