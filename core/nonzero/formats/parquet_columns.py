"""What the values of a column of a Parquet file are: cells of a feature, or labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import InputError
from nonzero.fields.known import CATEGORY, INFER, NUMBER
from nonzero.formats.arrow_roles import labels_of
from nonzero.formats.arrow_types import Meaning
from nonzero.formats.arrow_values import short_text_of
from nonzero.formats.column_cells import NO_NULL, Cells, Column
from nonzero.formats.parquet_foot import Leaf
from nonzero.formats.parquet_kernels import find_values, hash_values
from nonzero.formats.thrift import DamagedError


class Meant(Protocol):
    """What makes cells of values."""

    leaf: Leaf
    none: int
    """The cell of null."""

    def of_texts(self, data: NDArray[np.uint8], at: int, end: int, n: int) -> tuple[Cells, int]:
        """Return the cells of the next `n` texts, each behind its length, and where they end."""

    def of_values(self, values: NDArray[Any]) -> Cells:
        """Return the cells of numbers, or of truths."""


class ParquetColumn(Column):
    """A column of features; see :class:`Column`."""

    def __init__(self, leaf: Leaf, said: int, *, truths: bool = False) -> None:
        kind = said
        if said == INFER:
            kind = CATEGORY if leaf.meaning is Meaning.TEXT else NUMBER
        super().__init__(leaf.name, said, kind, truths=truths)
        self.leaf = leaf
        self.none = self._none

    def of_texts(self, data: NDArray[np.uint8], at: int, end: int, n: int) -> tuple[Cells, int]:
        """Return the cells of texts; as :class:`Meant` says."""
        if self.kind == CATEGORY and not self._truths and not self._empty:
            words = np.empty(n, np.uint32)
            stop = hash_values(data, at, end, self._beginning, self._length, self._names, words)
            return Cells(words, NO_NULL, {}), _checked(stop)
        texts, stop = texts_in(data, at, end, n)
        return (self._numbers_in(texts) if self.kind == NUMBER else self._named(texts)), stop

    def of_values(self, values: NDArray[Any]) -> Cells:
        """Return the cells of numbers, or of truths; as :class:`Meant` says."""
        if self.kind == NUMBER:
            return self._numbers(values, NO_NULL)
        distinct, places = _distinct(values)
        cells = self._named(texts_of_values(distinct))
        if distinct.dtype.kind == "f":
            self._refuse_infinite(distinct.tolist(), cells)
        return taken(cells, places)


class LabelColumn:
    """The column of labels, whose cells are the bits of a label as float32.

    Parameters
    ----------
    leaf
        What stands in the file.
    positive
        The label that is a click, where all others are none; nothing where labels are 0 and 1.
    """

    def __init__(self, leaf: Leaf, positive: bytes) -> None:
        self.leaf = leaf
        self._positive = positive
        self.none = int(labels_of([], positive)[0].view(np.uint32)[0])

    def of_texts(self, data: NDArray[np.uint8], at: int, end: int, n: int) -> tuple[Cells, int]:
        """Return the labels that texts are; as :class:`Meant` says."""
        texts, stop = texts_in(data, at, end, n)
        return self._labels(texts), stop

    def of_values(self, values: NDArray[Any]) -> Cells:
        """Return the labels that numbers, or truths, are; as :class:`Meant` says."""
        distinct, places = _distinct(values)
        return taken(self._labels(texts_of_values(distinct)), places)

    def _labels(self, texts: Sequence[str]) -> Cells:
        labels, wrong = labels_of(texts, self._positive)
        return Cells(labels[:-1].view(np.uint32), NO_NULL, wrong)


def spans_in(data: NDArray[np.uint8], at: int, end: int, n: int) -> tuple[NDArray[np.int64], int]:
    """Return where each of the next `n` texts begins and ends, one pair after another, and where all end."""
    spans = np.empty(2 * n, np.int64)
    return spans, _checked(find_values(data, at, end, spans))


def texts_in(data: NDArray[np.uint8], at: int, end: int, n: int) -> tuple[list[str], int]:
    """Return the next `n` texts, and where they end; what is no UTF-8 stays as it is, escaped."""
    spans, stop = spans_in(data, at, end, n)
    found = data[at:stop].tobytes()
    places = (spans - at).tolist()
    return [
        found[first:last].decode(errors="surrogateescape")
        for first, last in zip(places[::2], places[1::2], strict=True)
    ], stop


def texts_of_values(values: NDArray[Any]) -> list[str]:
    """Return the texts that numbers, or truths, are as a category."""
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype.kind == "f":
        return [short_text_of(value) for value in values.tolist()]
    return [str(value) for value in values.tolist()]


def taken(cells: Cells, places: NDArray[np.int64]) -> Cells:
    """Return the cells at some places, none of which is null."""
    wrong: dict[int, InputError] = {}
    if cells.wrong:
        rows = np.flatnonzero(np.isin(places, list(cells.wrong))).tolist()
        wrong = {row: cells.wrong[int(places[row])] for row in rows}
    return Cells(cells.words[places], NO_NULL, wrong)


def _distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return each value but once, and the place of each; -0.0 is another one than 0.0."""
    bits = values.view(f"u{values.dtype.itemsize}") if values.dtype.kind == "f" else values
    distinct, places = np.unique(bits, return_inverse=True)
    return distinct.view(values.dtype), places.astype(np.int64, copy=False)


def _checked(stop: int) -> int:
    if stop < 0:
        raise DamagedError("a text is longer than its page")
    return int(stop)
