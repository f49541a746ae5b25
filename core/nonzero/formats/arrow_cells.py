"""A column of Arrow -> cells, an index and a value each; a dictionary of whatever type is hashed but once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError, InputError
from nonzero.fields.known import CATEGORY
from nonzero.fields.texts import text_of_number
from nonzero.formats.arrow_import import import_arrow, import_compute
from nonzero.formats.arrow_kernels import gather
from nonzero.formats.arrow_types import Meaning, is_text, is_view, kind_as, listed, meaning_of
from nonzero.formats.arrow_values import codes, distinct, numbers, readable, texts_of, validity
from nonzero.formats.column_cells import NO_NULL, Cells, Column, Lists

LARGE: Final = 4
"""A dictionary of more entries than so many times the rows is hashed in part, until it comes again."""

_ROWS_LOOKED_UP: Final = 1 << 18
"""So many rows of a whole column are looked up at once: most of what is made meanwhile is of so many."""


class ArrowColumn(Column):
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
        super().__init__(name, said, kind_as(said, arrow_type, name), truths=truths)
        self.lists = listed(arrow_type) is not None
        self.elements = listed(arrow_type) or arrow_type
        self.meaning = meaning_of(self.elements, name)
        self._known: Any = None
        self._entries: Cells | None = None

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
            return self._of_distinct(readable(array, self.name), self._numbers_of)
        if self.meaning is Meaning.TRUTH:
            array = readable(array, self.name).cast(import_arrow().uint8())
        return self._numbers(numbers(array), validity(array))

    def read_whole(self, chunks: Sequence[Any], room: NDArray[np.uint32], most: int) -> Cells | None:
        """Return the cells of a whole column, which has no lists, in `room`; its dictionaries are let go of.

        Parameters
        ----------
        chunks
            Its arrays.
        room
            uint32, one for each row.
        most
            Where more than so many cells cannot be read, None is returned.
        """
        present: list[NDArray[np.uint8]] = []
        wrong: dict[int, InputError] = {}
        at, whole = 0, True
        for chunk in chunks:
            for first in range(0, len(chunk), _ROWS_LOOKED_UP):
                part = chunk.slice(first, _ROWS_LOOKED_UP)
                stop = at + len(part)
                cells = self.cells(part, len(chunk), room[at:stop])
                if cells.words.base is not room.base:
                    room[at:stop] = cells.words
                whole = whole and not cells.present.size
                present.append(cells.present if cells.present.size else np.ones(len(part), np.uint8))
                wrong.update((at + row, error) for row, error in cells.wrong.items())
                at = stop
                if len(wrong) > most:
                    return None
        self._known = self._entries = None
        return Cells(room, NO_NULL if whole else np.concatenate(present), wrong)

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

    def _numbers_of(self, entries: Any) -> Cells:
        """Return the cells of the numbers that texts are."""
        return self._numbers_in(entries.to_pylist())

    # -- categories -----------------------------------------------------------------------------------------

    def _categories(self, array: Any) -> Cells:
        arrow = import_arrow()
        tests = arrow.types
        if self.meaning is Meaning.TEXT:
            array = readable(array, self.name)
            if self._truths:
                return self._of_distinct(array, self._named_values)
            return self._hashed_texts(array)
        if tests.is_integer(array.type):
            return self._hashed_texts(array.cast(arrow.string()))
        if tests.is_decimal(array.type):  # of which not every width can be made distinct
            return self._of_distinct(array.cast(arrow.string()), self._named_decimals)
        if self.meaning is Meaning.TRUTH:
            array = readable(array, self.name)
        return self._of_distinct(array, self._named_values)

    def _named_values(self, entries: Any) -> Cells:
        """Return the cells of values, each of which is written as text in Python."""
        cells = self._named(texts_of(entries, self.name))
        if import_arrow().types.is_floating(entries.type):
            self._refuse_infinite(entries.to_pylist(), cells)
        return cells

    def _named_decimals(self, entries: Any) -> Cells:
        """Return the cells of decimals that were written as text."""
        return self._named([None if text is None else text_of_number(text) for text in entries.to_pylist()])

    def _hashed_texts(self, array: Any) -> Cells:
        """Hash texts."""
        n = len(array)
        _, ends, texts = array.buffers()
        width = np.int64 if import_arrow().types.is_large_string(array.type) else np.int32
        offsets = np.zeros(n + 1, np.int64)
        if n:
            offsets[:] = np.frombuffer(ends, width, n + 1, array.offset * np.dtype(width).itemsize)
        data = np.frombuffer(texts, np.uint8) if texts is not None and texts.size else np.zeros(8, np.uint8)
        return self._hashed(data, offsets, validity(array))

    # -- lists ----------------------------------------------------------------------------------------------

    def _lists(self, array: Any, rows: int) -> Lists:
        """Return the cells of the elements of lists."""
        valid = validity(array)
        lengths = numbers(import_compute().list_value_length(array)).astype(np.int64)
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
