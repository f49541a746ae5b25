"""A column of a table -> cells, an index and a value each, whatever holds the column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.limits import MAX_VALUE
from nonzero.errors import InputError
from nonzero.fields.counts import ContradictionError
from nonzero.fields.hashing import NAME_WORDS, beginning_of, field_of, index_of
from nonzero.fields.known import CATEGORY, INFER
from nonzero.formats import arrow_kernels
from nonzero.formats.numbers import number_of, value_of

_BEHIND: Final = 8
"""So many bytes behind a text may be read by whoever hashes it."""

NO_NULL: Final = np.empty(0, np.uint8)
"""What is present where nothing is null."""

_TRUTHS: Final = {"True": "true", "False": "false"}


class Cells(NamedTuple):
    """The cells of an array, or of the entries of a dictionary."""

    words: NDArray[np.uint32]
    """uint32[n]: each as :mod:`nonzero.formats.arrow_kernels` has it."""
    present: NDArray[np.uint8]
    """uint8[n]: 0 where it is null; nothing where none is."""
    wrong: dict[int, InputError]
    """What is wrong with those that cannot be read, by their place."""


class Lists(NamedTuple):
    """The cells of a column of lists."""

    cells: Cells
    """Of the elements, but for what is present and wrong: that is told of each row."""
    offsets: NDArray[np.int64]
    """int64[rows + 1]: where those of each row begin."""


class Column:
    """What a column of a stream is.

    Parameters
    ----------
    name
        Its name, which is the field's.
    said
        What was said of it: CATEGORY, NUMBER or INFER.
    kind
        What it is: CATEGORY or NUMBER.
    truths
        Whether it is a category of which the text True is ``true``, and False ``false``.

    Attributes
    ----------
    kind
        As given.
    field
        The number of its field.
    """

    def __init__(self, name: str, said: int, kind: int, *, truths: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.field = field_of(name)
        self._index = index_of(name)
        self._beginning = beginning_of(name.encode())
        self._length = len(name.encode()) + 1
        self._empty = int(said == INFER)
        self._truths = truths
        self._names = np.zeros(NAME_WORDS, np.uint32)
        self._none = int(arrow_kernels.NONE) if kind == CATEGORY else 0

    def word_of(self, text: bytes) -> bytes:
        """Return what a cell's text is behind the ``=`` of its feature's name."""
        return _TRUTHS.get(text.decode(), "").encode() or text if self._truths else text

    @property
    def constant(self) -> int:
        """The index of a number's feature; -1 for a category, whose cells are indices."""
        return -1 if self.kind == CATEGORY else self._index

    # -- categories -----------------------------------------------------------------------------------------

    def _hashed(self, data: NDArray[np.uint8], offsets: NDArray[np.int64], valid: NDArray[np.uint8]) -> Cells:
        """Hash the texts ``data[offsets[i]:offsets[i + 1]]``; nothing is read behind the data."""
        n = offsets.size - 1
        words = np.empty(n, np.uint32)
        # Behind the last bytes of a buffer nothing may be read: texts that end there are copied.
        inside = int(np.searchsorted(offsets[1:], data.size - _BEHIND, side="right"))
        begin = int(offsets[inside])
        for part, first, last in (
            (data, 0, inside),
            (np.concatenate([data[begin : offsets[n]], np.zeros(_BEHIND, np.uint8)]), inside, n),
        ):
            if last > first:
                arrow_kernels.hash_texts(
                    part,
                    offsets[first : last + 1] - (begin if first == inside else 0),
                    valid[first:last],
                    self._beginning,
                    self._length,
                    self._empty,
                    self._names,
                    words[first:last],
                )
        return Cells(words, valid, {})

    def _named(self, texts: Sequence[str | None]) -> Cells:
        """Return the cells of texts that Python has written."""
        if self._truths:
            texts = [_TRUTHS.get(text, text) if text is not None else None for text in texts]
        encoded = [b"" if text is None else text.encode() for text in texts]
        offsets = np.zeros(len(texts) + 1, np.int64)
        offsets[1:] = np.cumsum([len(text) for text in encoded])
        valid = NO_NULL
        if None in texts:
            valid = np.array([text is not None for text in texts], np.uint8)
        return self._hashed(np.frombuffer(b"".join([*encoded, bytes(_BEHIND)]), np.uint8), offsets, valid)

    def _refuse_infinite(self, found: Sequence[float | None], cells: Cells) -> None:
        """Note which floats are no numbers."""
        for place, number in enumerate(found):
            if number is not None and not np.isfinite(number):
                cells.wrong[place] = self._not_finite(float(number))

    # -- numbers --------------------------------------------------------------------------------------------

    def _numbers(self, found: NDArray[Any], valid: NDArray[np.uint8]) -> Cells:
        """Return the cells of integers or floats."""
        with np.errstate(over="ignore"):
            values = found.astype(np.float64).astype(np.float32)
        if valid.size:
            values[valid == 0] = 0
        wrong = {
            place: self._too_large(found[place].item())
            for place in np.flatnonzero(~(np.abs(values) <= MAX_VALUE)).tolist()
        }
        values[list(wrong)] = 0
        return Cells(values.view(np.uint32), valid, wrong)

    def _numbers_in(self, texts: Sequence[str | None]) -> Cells:
        """Return the cells of the numbers that texts are."""
        values = np.zeros(len(texts), np.float32)
        wrong: dict[int, InputError] = {}
        for place, text in enumerate(texts):
            if text is None:
                continue
            try:
                values[place] = self._number_of(text.encode())
            except InputError as error:
                wrong[place] = error
        valid = np.array([text is not None for text in texts], np.uint8) if None in texts else NO_NULL
        return Cells(values.view(np.uint32), valid, wrong)

    def _number_of(self, text: bytes) -> float:
        try:
            number = number_of(text, f"the value of the column {self.name!r}")
        except InputError as error:
            raise ContradictionError(str(error), self.name) from error
        try:
            return value_of(number, text)
        except InputError as error:
            raise InputError(f"the column {self.name!r}: {error}") from error

    def _too_large(self, number: float) -> InputError:
        """Return what is wrong with a number that is no feature's value."""
        if not np.isfinite(number):
            return self._not_finite(number)
        try:
            value_of(float(number), str(number).encode())
        except InputError as error:
            return InputError(f"the column {self.name!r}: {error}")
        raise AssertionError(f"{number} is within the limit")

    def _not_finite(self, number: float) -> InputError:
        return InputError(
            f"the column {self.name!r} is {number}, not a finite number; make it null, or leave it out"
        )
