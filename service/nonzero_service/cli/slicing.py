"""Figures by slice: by the values of fields, and by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.formats.registry import TABLES
from nonzero.sources.columnar import ColumnarReader
from nonzero.sources.field_values import FieldValues, LineValues
from nonzero.sources.files import Source
from nonzero.sources.rows_file import RowsReader
from nonzero.statistics.tallies import Tallies
from nonzero_service.cli.aligned import LAST_LINE, LinePart, LineStream, key_of
from nonzero_service.cli.input_files import is_rows, read_rows
from nonzero_service.cli.notices import unseen_lines
from nonzero_service.cli.reading import ReadingOptions
from nonzero_service.cli.scoring import ScoredPart

VALUES: Final = 1024
"""So many values of a field have figures of their own, which take 64 MiB a model: those that come first."""

_DAY: Final = 86_400_000

_OTHERS, _WITHOUT = 0, 1
"""The groups of all other values, and of the examples without any."""


class SliceTallies:
    """Figures by the values of one field.

    Parameters
    ----------
    models
        How many models have predicted.
    """

    def __init__(self, models: int) -> None:
        self.tallies = Tallies(models, 2)
        self.groups: dict[int, int] = {}
        """The group of each value that has figures of its own."""
        self.is_full = False
        """Whether there were more values than that."""

    def add(self, part: ScoredPart, rows: NDArray[np.intp], values: NDArray[np.int64]) -> None:
        """Count some examples.

        Parameters
        ----------
        part
            The examples.
        rows, values
            intp[k], int64[k]: examples, and a value that each has. An example with several is in the slice of
            each, and those that are not named have none.
        """
        distinct, places = np.unique(values, return_inverse=True)
        groups = np.array([self._group_of(value) for value in distinct.tolist()], np.intp)[places]
        if 2 + len(self.groups) > self.tallies.counts.size:
            self.tallies.grow(2 + min(2 * len(self.groups), VALUES))
        if (rows[1:] <= rows[:-1]).any():  # some have several values: those that share a group are one
            size = self.tallies.counts.size
            rows, groups = np.divmod(np.unique(rows * size + groups), size)
        has_none = np.ones(part.keys.size, np.bool_)
        has_none[rows] = False
        without = np.flatnonzero(has_none)
        self.tallies.add(
            part.scored,
            np.concatenate([rows, without]),
            np.concatenate([groups, np.full(without.size, _WITHOUT, np.intp)]),
        )

    def _group_of(self, value: int) -> int:
        found = self.groups.get(value)
        if found is None:
            if len(self.groups) == VALUES:
                self.is_full = True
                return _OTHERS
            found = self.groups[value] = 2 + len(self.groups)
        return found

    def results(self, name_of: Callable[[int], str], top: int) -> list[dict[str, Any]]:
        """Return the figures of each slice.

        Parameters
        ----------
        name_of
            Returns what a value is called.
        top
            So many values are told, those of the most examples first; the others as one.

        Returns
        -------
        list of dict
            ``slice`` says what it is: a ``value``, the ``rest`` of them, or the examples ``without`` any.
            Then ``value``, its name, or None; ``values``, how many there are in it (None where nobody counted
            them); ``models``, the figures of each; and ``difference``, of two.
        """
        counts = self.tallies.counts
        values = sorted(self.groups, key=lambda value: -int(counts[self.groups[value]]))
        told, rest = values[:top], [self.groups[value] for value in values[top:]]
        found = [self._described("value", [self.groups[value]], name_of(value)) for value in told]
        if rest or counts[_OTHERS]:
            found.append(self._described("rest", [*rest, _OTHERS]))
        if counts[_WITHOUT]:
            found.append(self._described("without", [_WITHOUT]))
        return found

    def _described(self, what: str, groups: list[int], value: str | None = None) -> dict[str, Any]:
        tallies = self.tallies.joined(np.array(groups, np.intp))
        values = len(groups) - 1 if what == "rest" else int(what == "value")
        return {
            "slice": what,
            "value": value,
            "values": None if what == "rest" and self.is_full else values,
            "models": [tallies.described(0, model) for model in range(tallies.models)],
            **({"difference": tallies.difference()} if tallies.models == 2 else {}),
        }


class SlicesByField:
    """Figures by the values of some fields, which the files are read for once more.

    Parameters
    ----------
    fields
        Their names.
    models
        How many models have predicted.
    sources
        The files.
    reading
        How they are read.

    Raises
    ------
    click.BadParameter
        For a format that cannot be told.
    """

    def __init__(
        self, fields: Sequence[str], models: int, sources: Sequence[Source], reading: ReadingOptions
    ) -> None:
        self.values = FieldValues(fields)
        self.slices = {field: SliceTallies(models) for field in fields}
        self._have_rows = any(is_rows(source, reading) for source in sources)
        self._stream = LineStream(self._parts(sources, reading))

    def add(self, part: ScoredPart) -> None:
        """Count some examples, which follow on those before."""
        found = self._stream.until(part.upto)
        if found is None:  # there is no file
            return
        keys, (fields, features) = found.keys, found.columns
        rows = np.searchsorted(part.keys, keys)
        there = rows < part.keys.size
        there[there] = part.keys[rows[there]] == keys[there]
        for place, slices in enumerate(self.slices.values()):
            chosen = there & (fields == place)
            slices.add(part, rows[chosen], features[chosen].astype(np.int64))

    def results(self, top: int) -> dict[str, list[dict[str, Any]]]:
        """Return the figures of each field's slices, as :meth:`SliceTallies.results`."""
        return {field: slices.results(self._name_of, top) for field, slices in self.slices.items()}

    def remarks(self, known: list[str]) -> Iterator[str]:
        """Yield what there is to say of the fields, once all is read; `known` are names that models know."""
        missing = {field: f"--slice {field}" for field, slices in self.slices.items() if not slices.groups}
        yield from unseen_lines(missing, known)
        if self._have_rows:
            yield "rows files hold hashes only: a value that no text has shown is called # and its number"
        for field, slices in self.slices.items():
            if slices.is_full:
                yield f"{field} has more than {VALUES:,} values: those that came later are among the rest"

    def _name_of(self, feature: int) -> str:
        return self.values.names.get(feature, f"#{feature}")

    def _parts(self, sources: Sequence[Source], reading: ReadingOptions) -> Iterator[LinePart]:
        for file, source in enumerate(sources):
            begin = key_of(file, 0)
            for found in self._values_in(source, reading):
                yield LinePart(found.lines | begin, (found.fields, found.features), (), found.upto | begin)
            nothing = np.empty(0, np.intp)
            yield LinePart(
                nothing.astype(np.int64), (nothing, nothing.astype(np.uint32)), (), begin | LAST_LINE
            )

    def _values_in(self, source: Source, reading: ReadingOptions) -> Iterator[LineValues]:
        if is_rows(source, reading):
            rows = RowsReader(source)
            return self.values.of_rows(read_rows(rows, rows.head.schema))
        if reading.format_of(source) not in TABLES:
            return self.values.of_text(source, reading.reader(source, self.values.schema))
        options = {"labels": False, "label": None, "positive": None, "boolean": ()}
        reader = reading.table_reader(source, self.values.schema, **options)
        if isinstance(reader, ColumnarReader):
            return self.values.of_columns(reader)
        return self.values.of_text(source, reader)


class SlicesByDay:
    """Figures by the day of each example, in UTC."""

    def __init__(self, models: int) -> None:
        self.slices = SliceTallies(models)

    def add(self, part: ScoredPart) -> None:
        """Count some examples."""
        rows = np.flatnonzero(part.times >= 0)
        self.slices.add(part, rows, part.times[rows] // _DAY)

    def results(self) -> list[dict[str, Any]]:
        """Return the figures of each day, in order, as :meth:`SliceTallies.results`."""
        found = self.slices.results(_date, VALUES)
        known = (one for one in found if one["slice"] == "value")
        days = sorted(known, key=lambda one: (len(one["value"]), one["value"]))
        return [*days, *(one for one in found if one["slice"] != "value")]


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))  # of any year: that of datetime has four digits
