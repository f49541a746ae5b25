"""What saved models predict for labelled files that they do not learn from, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray

from nonzero import InputError, LogisticRegression
from nonzero.errors import LineError
from nonzero.sources.examples import usable
from nonzero.sources.files import Source
from nonzero.statistics.tallies import Scored
from nonzero_service.cli.aligned import LinePart, aligned, key_of, line_of
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.reading import ReadingOptions


@dataclass
class Reading:
    """Models that read files alike, and the files as they read them."""

    models: list[LogisticRegression]
    inputs: InputFiles


def readings_of(
    models: Sequence[LogisticRegression],
    sources_of: Callable[[], list[Source]],
    reading: ReadingOptions,
    *,
    allow_missing: bool,
) -> list[Reading]:
    """Return how files are read for some models: once for all that read alike.

    Parameters
    ----------
    models
        The models.
    sources_of
        Opens the files, for each reading anew.
    reading, allow_missing
        As for :class:`InputFiles`.

    Raises
    ------
    click.BadParameter
        Where standard input, or a pipe, would have to be read twice.
    FormatError
        For files that were hashed otherwise than a model reads, or that lack columns.
    """
    found: list[Reading] = []
    for model in models:
        same = next((one for one in found if _reads_alike(one.models[0], model)), None)
        if same is not None:
            same.models.append(model)
            continue
        sources = sources_of()
        if found:
            check_again(sources, "the models read it differently")
        inputs = InputFiles(sources, reading, like=model, allow_missing=allow_missing)
        found.append(Reading([model], inputs))
    return found


def check_again(sources: Sequence[Source], why: str) -> None:
    """Refuse to read once more what can be read but once.

    Raises
    ------
    click.BadParameter
        It names the file.
    """
    for source in sources:
        if source.size is None:
            raise click.BadParameter(
                f"{source.name} can be read only once, and {why}; give a file", param_hint="FILE"
            )


def _reads_alike(one: LogisticRegression, other: LogisticRegression) -> bool:
    return one.schema == other.schema and one.notes == other.notes


@dataclass
class ScoredPart:
    """Some examples that every model could read, in order."""

    keys: NDArray[np.int64]
    """int64[n]: their lines, by :func:`nonzero_service.cli.aligned.key_of`."""
    times: NDArray[np.int64]
    """int64[n]: milliseconds since 1970, -1 for none."""
    scored: Scored
    upto: int
    """All lines up to this one are in this part, or in those before."""
    errors: list[LineError]
    """The lines that a model could not read, by the numbers of `keys`."""
    alone: int
    """How many rows were left out because another model could not read their line."""


def scored_parts(
    readings: Sequence[Reading], models: Sequence[LogisticRegression], say: Callable[[str], None]
) -> Iterator[ScoredPart]:
    """Yield the examples that all models can read, with what each predicts.

    Parameters
    ----------
    readings
        How the files are read.
    models
        The models, in their order.
    say
        Called with a line for what readers have to say; never twice with the same.

    Raises
    ------
    InputError
        Where models read another label in a line.
    FormatError
        For a file that is damaged, or turns out to be hashed otherwise.
    """
    said: set[str] = set()

    def say_once(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    order = [model for one in readings for model in one.models]
    places = [next(k for k, other in enumerate(order) if other is model) for model in models]
    for found in aligned([_parts_of(one, say_once) for one in readings]):
        first = found.parts[0]
        labels, weights, times = first.columns[:3]
        for part in found.parts[1:]:
            _check_labels(readings, first, part)
        probabilities = np.concatenate([part.columns[3] for part in found.parts])
        if len(probabilities) != len(order):  # no row, of a reader without any
            probabilities = np.empty((len(order), 0), np.float32)
        yield ScoredPart(
            first.keys,
            times,
            Scored.of(labels, weights, probabilities[places]),
            first.upto,
            found.errors,
            found.alone,
        )


def _parts_of(reading: Reading, say: Callable[[str], None]) -> Iterator[LinePart]:
    """Yield labels, weights, times and the predictions of some models that read alike."""
    inputs, models = reading.inputs, reading.models
    files = {id(source): number for number, source in enumerate(inputs.sources)}
    bits = min(model.bits for model in models)
    upto = 0
    for source, parsed in inputs.read(say):
        begin = key_of(files[id(source)], 0)
        rows = usable(parsed, bits, labelled=True)
        batch = rows.batch
        errors = tuple(LineError(begin | line, reason) for line, reason in rows.errors)
        skipped = (begin | parsed.skipped[-1],) if parsed.skipped else ()
        last = (begin | int(rows.lines[-1]),) if rows.lines.size else ()
        upto = max((upto, *last, *skipped, *(error.line for error in errors[-1:])))
        times = np.full(len(batch), -1, np.int64) if batch.times is None else batch.times
        predicted = np.stack([model.predict(batch) for model in models])
        columns = (batch.labels, batch.weights, times, predicted)
        yield LinePart(rows.lines | begin, columns, errors, upto)


def _check_labels(readings: Sequence[Reading], first: LinePart, other: LinePart) -> None:
    """Refuse a comparison by different labels.

    Raises
    ------
    InputError
        It names the line and the way out.
    """
    differ = np.flatnonzero(first.columns[0] != other.columns[0])
    if differ.size:
        file, line = line_of(int(first.keys[differ[0]]))
        source = readings[0].inputs.sources[file]
        raise InputError(
            f"{source.name}, {readings[0].inputs.what(source)} {line}: the label is "
            f"{first.columns[0][differ[0]]:g} as one model reads it and {other.columns[0][differ[0]]:g} as "
            "the other does; say which it is, for csv: --label COLUMN"
        )
