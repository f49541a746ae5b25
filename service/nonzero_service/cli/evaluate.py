"""``nonzero evaluate``: how well saved models predict labelled files that they do not learn from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import click

from nonzero import InputError, LogisticRegression
from nonzero.errors import LineError
from nonzero.persistence.pages import keep_freed
from nonzero.sources.places import Named, Place
from nonzero.statistics.tallies import EXACT, Tallies
from nonzero_service.cli.aligned import line_of
from nonzero_service.cli.display import Display, figures_line
from nonzero_service.cli.evaluation_text import evaluation_text
from nonzero_service.cli.file_arguments import files_named
from nonzero_service.cli.notices import RejectedLines, conflict_lines, label_problem
from nonzero_service.cli.options import FILE_HELP, MODEL_FILE, as_json, complete_file, listed, source_of
from nonzero_service.cli.options import allow_missing as missing_allowed
from nonzero_service.cli.reading import ReadingOptions, positive, reading_again
from nonzero_service.cli.scoring import Reading, ScoredPart, check_again, readings_of, scored_parts
from nonzero_service.cli.slicing import VALUES, SlicesByDay, SlicesByField
from nonzero_service.cli.stopping import Stopping, stoppable
from nonzero_service.cli.tables import order_of


@click.command
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, help=FILE_HELP, shell_complete=complete_file
)
@click.option(
    "--model",
    "paths",
    type=MODEL_FILE,
    required=True,
    multiple=True,
    help="The model: a file that train saved. Given twice, two models are compared.",
)
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="FIELD",
    help="Tell the figures of each value of a field too, such as site. It need not be one that a model "
    "knows. May be repeated.",
)
@click.option(
    "--top",
    type=click.IntRange(1, VALUES),
    default=10,
    help="So many values of a field are told, those of the most examples first; the others as one.",
)
@click.option(
    "--by-day", is_flag=True, help="Tell the figures of each day too (UTC), by the examples' times."
)
@missing_allowed("evaluate")
@positive
@reading_again
@as_json
@stoppable
def evaluate(
    files: Sequence[str],
    paths: Sequence[Place],
    slices: Sequence[str],
    top: int,
    by_day: bool,
    allow_missing: bool,
    reading: ReadingOptions,
    as_json: bool,
    stopping: Stopping,
) -> None:
    """Tell how well a saved model predicts labelled files. It does not learn from them.

    Of two models, the figures are of the same examples. Their mean losses are compared with an interval that
    takes into account that examples which follow on each other are alike.

    The columns of a csv file are read as train found them, for each model as it found them.

    A line that cannot be read, or has no label, is reported on stderr and left out, for both models where one
    cannot read it. The exit status is 1 where most labels cannot be read, or all are alike.
    """
    keep_freed()
    if len(paths) > 2:
        raise click.BadParameter(
            f"there are {len(paths)} models; give one, or two to compare", param_hint="--model"
        )
    stopping.kept = lambda: "no figures were told"
    named = files_named(files)
    models = [LogisticRegression.load(path) for path in paths]
    readings = readings_of(
        models, lambda: [source_of(file) for file in named], reading, allow_missing=allow_missing
    )
    fields = list(dict.fromkeys(listed(slices)))
    found = _Evaluation(
        paths,
        _slices_by_field(fields, models, named, reading) if fields else None,
        SlicesByDay(len(models)) if by_day else None,
    )
    stopping.kept = lambda: f"{found.tallies.examples:,} examples were read, and no figures were told"
    _read(readings, models, found)
    counts = found.tallies
    problem = label_problem(counts.examples, counts.clicks, counts.weight, found.rejected)
    if not counts.examples:
        why = f": {problem}" if problem else ""
        raise InputError(f"there is no labelled example in {', '.join(map(str, named))}{why}")
    results = found.results(top)
    click.echo(json.dumps(results) if as_json else evaluation_text(results))
    if problem:
        raise InputError(problem)


class _Evaluation:
    """What is found.

    Parameters
    ----------
    paths
        The models' files.
    by_field, by_day
        What counts by slice; None where nobody asked.
    """

    def __init__(
        self, paths: Sequence[Place], by_field: SlicesByField | None, by_day: SlicesByDay | None
    ) -> None:
        self.paths = paths
        self.tallies = Tallies(len(paths), exact=EXACT)
        self.rejected = RejectedLines()
        self.alone = 0
        """How many lines only one of the models could read."""
        self.by_field, self.by_day = by_field, by_day

    def add(self, part: ScoredPart) -> None:
        """Count some examples."""
        self.tallies.add(part.scored)
        self.alone += part.alone
        for one in (self.by_field, self.by_day):
            if one is not None:
                one.add(part)

    def remarks(self, readings: Sequence[Reading]) -> Iterator[str]:
        """Yield what there is to say, once all is read."""
        if self.alone:
            yield f"{self.alone:,} lines are left out because only one of the models could read them"
        for one in readings:
            yield from conflict_lines(one.inputs.schema)
        if self.by_field is not None:
            yield from self.by_field.remarks(
                [name for one in readings for name in one.inputs.schema.known.names()]
            )
        if self.by_day is not None and not self.by_day.slices.groups:
            yield "no example has a time, by which its day could be told"

    def results(self, top: int) -> dict[str, Any]:
        """Return the figures; of each field so many values have some of their own."""
        tallies = self.tallies
        found: dict[str, Any] = {
            "examples": tallies.examples,
            "clicks": tallies.clicks,
            "weight": tallies.weight,
            "rejected": self.rejected.count,
            "models": [
                {"model": str(path), **tallies.described(0, model)} for model, path in enumerate(self.paths)
            ],
        }
        if len(self.paths) == 2:
            found |= {"alone": self.alone, "difference": tallies.difference()}
        if self.by_field is not None:
            found["slices"] = self.by_field.results(top)
        if self.by_day is not None:
            found["days"] = self.by_day.results()
        return found


def _read(readings: Sequence[Reading], models: Sequence[LogisticRegression], found: _Evaluation) -> None:
    """Have models predict all examples, and count what they predict."""
    inputs, rejected = readings[0].inputs, found.rejected

    def line() -> str:
        return figures_line(found.tallies.described(0))

    with Display("evaluating", inputs.size) as display:
        if len(models) == 2 and _are_alike(models):
            display.say(f"{found.paths[0]} and {found.paths[1]} are the same model")
        for part in scored_parts(readings, models, display.say):
            found.add(part)
            for name, what, errors in _by_file(readings[0], part.errors):
                rejected.report(name, errors, display.say, what)
            display.show(inputs.position, line)
        display.finish(inputs.position, line())
    rejected.finish(display.say)
    for remark in found.remarks(readings):
        display.say(remark)


def _slices_by_field(
    fields: Sequence[str],
    models: Sequence[LogisticRegression],
    files: Sequence[Named],
    reading: ReadingOptions,
) -> SlicesByField:
    """Return slices by fields.

    Raises
    ------
    click.BadParameter
        For what is no field's name, and for a file that can be read but once.
    """
    for field in fields:
        if "*" in field:
            raise click.BadParameter(f"{field!r} has a star in it; name one field", param_hint="--slice")
    sources = [source_of(file) for file in files]
    check_again(sources, "--slice reads it once more")
    if reading.no_header and reading.columns is None:
        order = next((names for names in map(order_of, models) if names), ())
        reading = replace(reading, columns=",".join(order))
    return SlicesByField(fields, len(models), sources, reading)


def _are_alike(models: Sequence[LogisticRegression]) -> bool:
    one, other = models
    return (one.settings, one.examples) == (other.settings, other.examples) and one.digest() == other.digest()


def _by_file(reading: Reading, errors: Sequence[LineError]) -> Iterator[tuple[str, str, list[LineError]]]:
    """Yield the lines that could not be read, by file: its name, what they are called, and the lines."""
    for file, theirs in groupby(errors, key=lambda error: line_of(error.line)[0]):
        source = reading.inputs.sources[file]
        lines = [LineError(line_of(error.line)[1], error.reason) for error in theirs]
        yield source.name, reading.inputs.what(source), lines
