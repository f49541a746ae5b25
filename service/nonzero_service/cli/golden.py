"""Golden predictions beside an export: of random rows, or of the first of a log."""

from __future__ import annotations

from collections.abc import Iterator

from nonzero import Batch, LogisticRegression
from nonzero.errors import InputError
from nonzero.export.golden import golden_lines, random_rows
from nonzero.formats.assembly import PlainRow
from nonzero.formats.named_rows import NamedRows
from nonzero.formats.registry import COLUMNAR
from nonzero.sources.files import Source
from nonzero_service.cli.display import Display
from nonzero_service.cli.input_files import InputFiles, is_rows
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.options import source_of
from nonzero_service.cli.reading import ReadingOptions


def golden_of(model: LogisticRegression, n: int, log: str | None) -> Iterator[str]:
    """Return the lines of golden predictions.

    Parameters
    ----------
    model
        The model.
    n
        How many rows; fewer where the log has no more.
    log
        The log whose first rows they are; None: random rows.

    Raises
    ------
    click.BadParameter
        For a log that is not there, or whose name does not tell its format.
    InputError
        For one without a row that can be read.
    """
    if log is None:
        return golden_lines(model, random_rows(model, n))
    batch, rows = _first_rows(model, source_of(log), n)
    if not len(batch):
        raise InputError(f"there is no row to predict in {log}")
    return golden_lines(model, batch, rows)


def _first_rows(model: LogisticRegression, source: Source, n: int) -> tuple[Batch, list[PlainRow] | None]:
    """Return the first rows of a log, with their names where it is text."""
    options = ReadingOptions()
    nameless = is_rows(source, options) or options.format_of(source) in COLUMNAR
    inputs = InputFiles([source], options, like=model, allow_missing=True)
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
        for _, part in parts:
            rejected.report(source.name, part.parsed.errors, display.say, inputs.what(source))
            batches.append(part.parsed.batch)
            rows += part.rows
            if sum(map(len, batches)) >= n:
                break
        rejected.finish(display.say)
    found = Batch.concatenate(batches)
    return found.rows(0, min(n, len(found))), rows[:n] or None
