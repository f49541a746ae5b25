"""A column of Arrow -> cells, an index and a value each; a dictionary of whatever type is hashed but once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.limits import MAX_VALUE
from nonzero.errors import FormatError, InputError
from nonzero.fields.counts import ContradictionError
from nonzero.fields.hashing import NAME_WORDS, beginning_of, field_of, index_of
from nonzero.fields.known import CATEGORY, INFER
from nonzero.fields.texts import text_of_number
from nonzero.formats import arrow_kernels
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_kernels import gather
from nonzero.formats.arrow_types import Meaning, is_text, is_view, kind_as, listed, meaning_of
from nonzero.formats.arrow_values import codes, distinct, numbers, readable, texts_of, validity
from nonzero.formats.numbers import number_of, value_of

LARGE: Final = 4
"""A dictionary of more entries than so many times the rows is hashed in part, until it comes again."""

_BEHIND: Final = 8
"""So many bytes behind a text may be read by whoever hashes it."""

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


class ArrowColumn:
    """Reads one column of a stream.

    Parameters
    ----------
    name
        Its name, which is the field's.
    said
        What was said of it: CATEGORY, NUMBER or INFER.
    arrow_type
        Its type.
    truths
        Whether it is a category of which the text True is ``true``, and False ``false``.

    Attributes
    ----------
    kind
        CATEGORY or NUMBER: what it is.
    field
        The number of its field.

    Raises
    ------
    FormatError
        For a type that is no feature, or contradicts what was said.
    """

    def __init__(self, name: str, said: int, arrow_type: Any, *, truths: bool = False) -> None:
        self.name = name
        self.kind = kind_as(said, arrow_type, name)
        self.field = field_of(name)
        self.lists = listed(arrow_type) is not None
        self.elements = listed(arrow_type) or arrow_type
        self.meaning = meaning_of(self.elements, name)
        self._index = index_of(name)
        self._beginning = beginning_of(name.encode())
        self._length = len(name.encode()) + 1
        self._empty = int(said == INFER)
        self._truths = truths
        self._names = np.zeros(NAME_WORDS, np.uint32)
        self._known: Any = None
        self._entries: Cells | None = None
        self._none = int(arrow_kernels.NONE) if self.kind == CATEGORY else 0

    @property
    def constant(self) -> int:
        """The index of a number's feature; -1 for a category, whose cells are indices."""
        return -1 if self.kind == CATEGORY else self._index

    def word_of(self, text: bytes) -> bytes:
        """Return what a cell's text is behind the ``=`` of its feature's name."""
        return _TRUTHS.get(text.decode(), "").encode() or text if self._truths else text

    def read(self, array: Any, rows: int, room: NDArray[np.uint32]) -> Cells | Lists:
        """Return the cells of a part of the column.

        Parameters
        ----------
        array
            The part.
        rows
            About how many rows have the same dictionary: those of the chunk that it is a part of.
        room
            uint32, at least one for each row: where the cells may be, if each row has one.
        """
        return self._lists(array, rows) if self.lists else self.cells(array, rows, room[: len(array)])

    def cells(self, array: Any, rows: int, room: NDArray[np.uint32] | None = None) -> Cells:
        """Return the cell of each value of an array, in `room` or elsewhere."""
        tests = import_arrow().types
        n = len(array)
        if not n or self.meaning is Meaning.NOTHING:
            return Cells(np.full(n, self._none, np.uint32), np.zeros(n, np.uint8), {})
        if tests.is_dictionary(array.type) or tests.is_run_end_encoded(array.type):
            return self._coded(*codes(array), rows, room)
        if self.kind == CATEGORY:
            return self._categories(array)
        if self.meaning is Meaning.TEXT or tests.is_decimal(array.type):
            if tests.is_decimal(array.type):
                array = array.cast(import_arrow().string())
            return self._of_distinct(readable(array, self.name), self._numbers_in)
        if self.meaning is Meaning.TRUTH:
            array = readable(array, self.name).cast(import_arrow().uint8())
        return self._numbers(numbers(array), validity(array))

    # -- what is coded --------------------------------------------------------------------------------------

    def _coded(
        self,
        found: NDArray[np.int32],
        valid: NDArray[np.uint8],
        dictionary: Any,
        rows: int,
        room: NDArray[np.uint32] | None,
    ) -> Cells:
        """Look the entries of a dictionary up."""
        known = self._known is not None and _same(self._known, dictionary)
        if not known:
            self._known, self._entries = dictionary, None
            if len(dictionary) > LARGE * rows:
                return self._coded_in_part(found, valid, dictionary)
        if self._entries is None:
            self._entries = self.cells(dictionary, rows)
        return self._gathered(found, valid, self._entries, room)

    def _coded_in_part(self, found: NDArray[np.int32], valid: NDArray[np.uint8], dictionary: Any) -> Cells:
        """Look those entries up that come: of a dictionary that may have been cut to a few rows."""
        arrow = import_arrow()
        there = found if not valid.size else found[valid != 0]
        used, renumbered = np.unique(there, return_inverse=True)
        if used.size and (used[0] < 0 or used[-1] >= len(dictionary)):
            raise self._beyond(len(dictionary))
        few = dictionary.slice(0, 0)
        if used.size:
            if is_view(dictionary.type):
                parts = [dictionary.slice(int(code), 1) for code in used.tolist()]
                few = arrow.concat_arrays([readable(part, self.name) for part in parts])
            else:
                few = dictionary.take(arrow.array(used))
        again = np.zeros(found.size, np.int32)
        again[... if not valid.size else valid != 0] = renumbered
        return self._gathered(again, valid, self.cells(few, used.size))

    def _gathered(
        self,
        found: NDArray[np.int32],
        valid: NDArray[np.uint8],
        entries: Cells,
        room: NDArray[np.uint32] | None = None,
    ) -> Cells:
        """Return the cells of the entries that codes stand for."""
        words = np.empty(found.size, np.uint32) if room is None else room
        if not gather(found, valid, entries.words, self._none, words):
            raise self._beyond(entries.words.size)
        present = valid
        if entries.present.size and found.size:
            present = entries.present[np.where(valid != 0, found, 0) if valid.size else found]
            present = present & valid if valid.size else present
        wrong = {}
        if entries.wrong:
            places = np.isin(found, list(entries.wrong))
            if valid.size:
                places &= valid != 0
            wrong = {r: entries.wrong[int(found[r])] for r in np.flatnonzero(places).tolist()}
        return Cells(words, present, wrong)

    def _beyond(self, size: int) -> FormatError:
        return FormatError(
            f"the column {self.name!r} has a code that is none of the {size} entries of its dictionary"
        )

    def _of_distinct(self, array: Any, make: Callable[[Any], Cells]) -> Cells:
        """Make cells of each value but once, in Python."""
        found, valid, dictionary = distinct(array)
        return self._gathered(found, valid, make(dictionary))

    # -- categories -----------------------------------------------------------------------------------------

    def _categories(self, array: Any) -> Cells:
        arrow = import_arrow()
        tests = arrow.types
        if self.meaning is Meaning.TEXT:
            array = readable(array, self.name)
            if self._truths:
                return self._of_distinct(array, self._named)
            return self._hashed(array)
        if tests.is_integer(array.type):
            return self._hashed(array.cast(arrow.string()))
        if tests.is_decimal(array.type):  # of which not every width can be made distinct
            return self._of_distinct(array.cast(arrow.string()), self._named_decimals)
        if self.meaning is Meaning.TRUTH:
            array = readable(array, self.name)
        return self._of_distinct(array, self._named)

    def _named(self, entries: Any) -> Cells:
        """Return the cells of values, each of which is written as text in Python."""
        texts = texts_of(entries, self.name)
        if self._truths:
            texts = [_TRUTHS.get(text, text) if text is not None else None for text in texts]
        cells = self._hashed(import_arrow().array(texts, import_arrow().large_string()))
        if import_arrow().types.is_floating(entries.type):
            for place, number in enumerate(entries.to_pylist()):
                if number is not None and not np.isfinite(number):
                    cells.wrong[place] = self._not_finite(float(number))
        return cells

    def _named_decimals(self, entries: Any) -> Cells:
        """Return the cells of decimals that were written as text."""
        texts = [None if text is None else text_of_number(text) for text in entries.to_pylist()]
        return self._hashed(import_arrow().array(texts, import_arrow().large_string()))

    def _hashed(self, array: Any) -> Cells:
        """Hash texts."""
        n = len(array)
        words = np.empty(n, np.uint32)
        valid = validity(array)
        _, ends, texts = array.buffers()
        width = np.int64 if import_arrow().types.is_large_string(array.type) else np.int32
        offsets = np.zeros(n + 1, np.int64)
        if n:
            offsets[:] = np.frombuffer(ends, width, n + 1, array.offset * np.dtype(width).itemsize)
        data = np.zeros(_BEHIND, np.uint8)
        if texts is not None and texts.size:
            data = np.frombuffer(texts, np.uint8)
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

    def _numbers_in(self, entries: Any) -> Cells:
        """Return the cells of the numbers that texts are."""
        texts: Sequence[str | None] = entries.to_pylist()
        values = np.zeros(len(texts), np.float32)
        wrong: dict[int, InputError] = {}
        for place, text in enumerate(texts):
            if text is None:
                continue
            try:
                values[place] = self._number_of(text.encode())
            except InputError as error:
                wrong[place] = error
        return Cells(values.view(np.uint32), validity(entries), wrong)

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

    # -- lists ----------------------------------------------------------------------------------------------

    def _lists(self, array: Any, rows: int) -> Lists:
        """Return the cells of the elements of lists."""
        compute = import_arrow().compute
        valid = validity(array)
        lengths = numbers(compute.list_value_length(array)).astype(np.int64)
        if valid.size:
            lengths = np.where(valid != 0, lengths, 0)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        elements = array.flatten()
        if len(elements) != offsets[-1]:
            raise FormatError(
                f"the lists of the column {self.name!r} have {offsets[-1]} elements, and there are "
                f"{len(elements)}"
            )
        cells = self.cells(elements, rows)
        wrong = dict(cells.wrong)
        if cells.present.size:
            for place in np.flatnonzero(cells.present == 0).tolist():
                wrong[place] = InputError(
                    f"the column {self.name!r} has a list with null in it; leave that out"
                )
        at = np.searchsorted(offsets, list(wrong), side="right") - 1
        by_row: dict[int, InputError] = {}
        for row, place in sorted(zip(at.tolist(), wrong, strict=True)):
            by_row.setdefault(row, wrong[place])
        return Lists(Cells(cells.words, valid, by_row), offsets)


def _same(one: Any, other: Any) -> bool:
    """Whether two dictionaries have the same entries; a look at their memory is enough for most."""
    if one is other:
        return True
    if one.type != other.type or len(one) != len(other):
        return False
    if one.offset == other.offset and _addresses(one) == _addresses(other):
        return True
    if one.offset or other.offset or not is_text(one.type) or is_view(one.type):
        return False  # what is cut, or is made of little, is read anew
    # Bytes are compared faster than texts.
    pairs = list(zip(one.buffers(), other.buffers(), strict=True))
    return all(mine is theirs is None or (mine and theirs and mine.equals(theirs)) for mine, theirs in pairs)


def _addresses(array: Any) -> list[int | None]:
    return [None if buffer is None else buffer.address for buffer in array.buffers()]
