"""The values of Arrow arrays in numpy and Python, whatever their validity, their offset and their codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError
from nonzero.fields.texts import FALSE, TRUE, text_of_float, text_of_number
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_types import BOOL8, UUID, is_binary, is_text, is_view

NONE: Final = np.empty(0, np.uint8)
"""The validity of an array without nulls."""

_EXACT: Final = float(2**53)

_CLOSE: Final = 100


def validity(array: Any) -> NDArray[np.uint8]:
    """Return uint8[n], 1 where a value is not null; or nothing, where none is.

    Of an array that has a validity buffer of its own: neither codes, nor runs, nor a union. Its count of
    nulls is not asked: who made the array may have said anything. A buffer of no bytes says what none says.
    """
    arrow = import_arrow()
    if arrow.types.is_null(array.type):
        return np.zeros(len(array), np.uint8)
    bits = array.buffers()[0]
    if bits is None or not bits.size:
        return NONE
    end = array.offset + len(array)
    if 8 * bits.size < end:
        raise FormatError(f"an array of {end} values has {bits.size} bytes that say which are null")
    packed = np.frombuffer(bits, np.uint8, (end + 7) // 8)
    found = np.unpackbits(packed, bitorder="little")[array.offset : end]
    return NONE if found.all() else found


def items(array: Any, dtype: Any) -> NDArray[Any]:
    """Return the numbers of an array of fixed width; anything where it is null."""
    values = array.buffers()[1]
    if values is None or not len(array):
        return np.zeros(len(array), dtype)
    size = np.dtype(dtype).itemsize
    return np.frombuffer(values, dtype, len(array), array.offset * size)


def numbers(array: Any) -> NDArray[Any]:
    """Return the integers or floats of an array; anything where it is null."""
    return items(array, array.type.to_pandas_dtype())


def codes(array: Any) -> tuple[NDArray[np.int32], NDArray[np.uint8], Any]:
    """Return the codes of a dictionary's array, or of runs, their validity, and what they stand for.

    Raises
    ------
    FormatError
        Where a code is none that fits.
    """
    arrow = import_arrow()
    if arrow.types.is_run_end_encoded(array.type):
        ends = numbers(array.run_ends).astype(np.int64)
        begin, stop = array.offset, array.offset + len(array)
        runs = np.searchsorted(ends, np.arange(begin, stop), side="right")
        if len(array) and runs[-1] >= len(array.values):
            raise FormatError(
                f"the runs of an array end at {int(ends[-1]) if ends.size else 0}, before {stop}"
            )
        return runs.astype(np.int32), NONE, array.values
    found, valid = numbers(array.indices), validity(array.indices)
    if found.dtype.itemsize > 4:
        wide = found if not valid.size else found[valid != 0]
        if wide.size and (wide.min() < 0 or wide.max() >= 2**31):
            raise FormatError("a code of a dictionary is not from 0 to 2**31")
    return found.astype(np.int32, copy=False), valid, array.dictionary


def readable(array: Any, column: str) -> Any:
    """Return an array in a type that can be read: views, bytes and extensions as what they hold.

    Raises
    ------
    FormatError
        For bytes that are not UTF-8.
    """
    arrow = import_arrow()
    name = getattr(array.type, "extension_name", "")
    if name == UUID:
        return arrow.array([None if one is None else str(one) for one in array.to_pylist()], arrow.string())
    if name == BOOL8:
        return array.storage.cast(arrow.bool_())
    if is_binary(array.type):
        if is_view(array.type):
            array = array.cast(arrow.large_binary())
        try:
            return array.cast(arrow.large_string())
        except arrow.ArrowInvalid as error:
            raise FormatError(
                f"the column {column!r} is {array.type}, and not all of its bytes are UTF-8; decode it, or "
                "leave it out: ignore it"
            ) from error
    return array.cast(arrow.large_string()) if is_view(array.type) else array


def distinct(array: Any) -> tuple[NDArray[np.int32], NDArray[np.uint8], Any]:
    """Return each value of an array but once, with codes, as :func:`codes` does.

    Of integers that are close together, as labels are, all from the least to the greatest: so neither
    pyarrow.compute nor pandas is imported, which pyarrow's own way, and its ``array``, would do.
    """
    arrow = import_arrow()
    if arrow.types.is_integer(array.type) and len(array):
        found, valid = numbers(array), validity(array)
        there = found[valid != 0] if valid.size else found
        least, most = (int(there.min()), int(there.max())) if there.size else (0, 0)
        if most - least < _CLOSE:
            places = np.where(valid != 0, found, least) if valid.size else found
            all_of_them = arrow.py_buffer(np.arange(least, most + 1, dtype=found.dtype))
            entries = arrow.Array.from_buffers(array.type, most - least + 1, [None, all_of_them])
            return (places - least).astype(np.int32), valid, entries
    return codes(array.dictionary_encode())


def texts_of(array: Any, column: str) -> list[str | None]:
    """Return the texts that values are as a category: of any type that is a feature.

    NaN and infinities are returned as the texts that Python writes; nobody asks for those.

    Raises
    ------
    FormatError
        For a moment that no calendar has.
    """
    arrow = import_arrow()
    tests = arrow.types
    kind = array.type
    if tests.is_boolean(kind):
        return [None if one is None else TRUE if one else FALSE for one in array.to_pylist()]
    if tests.is_floating(kind):
        return [None if one is None else short_text_of(float(one)) for one in array.to_pylist()]
    if tests.is_decimal(kind):
        return [
            None if one is None else text_of_number(one) for one in array.cast(arrow.string()).to_pylist()
        ]
    if tests.is_date(kind) or tests.is_timestamp(kind) or tests.is_time(kind):
        return _moments(array, column)
    return [None if one is None else str(one) for one in array.to_pylist()]


def cells_as_text(array: Any, column: str) -> list[bytes]:
    """Return the cells of a column as delimited text would have them; empty ones for null.

    Raises
    ------
    FormatError
        As for :func:`texts_of`.
    """
    tests = import_arrow().types
    if tests.is_null(array.type) or not len(array):
        return [b""] * len(array)
    if tests.is_dictionary(array.type) or tests.is_run_end_encoded(array.type):
        found, valid, values = codes(array)
        values = readable(values, column)
    else:
        array = readable(array, column)
        if tests.is_decimal(array.type):
            array = array.cast(import_arrow().string())
        if is_text(array.type) or tests.is_integer(array.type):
            return [b"" if text is None else text.encode() for text in texts_of(array, column)]
        found, valid, values = distinct(array)
    texts = [b"" if text is None else text.encode() for text in texts_of(values, column)]
    there = valid.tolist() if valid.size else [1] * len(found)
    return [texts[code] if known else b"" for code, known in zip(found.tolist(), there, strict=True)]


def short_text_of(number: float) -> str:
    """Return what :func:`text_of_float` does, at once where it is whole, as ids are in a frame with nulls."""
    if abs(number) < _EXACT and number == int(number) and number:
        return str(int(number))
    return text_of_float(number)


def _moments(array: Any, column: str) -> list[str | None]:
    """Return dates and times as ISO 8601 has them, as their ``isoformat()`` does in Python and pandas."""
    arrow = import_arrow()
    kind, rest = array.type, None
    if getattr(kind, "unit", "") == "ns":
        counts = array.cast(arrow.int64())
        nanoseconds = items(counts, np.int64)
        rest = (nanoseconds % 1000).tolist()
        whole = (
            arrow.array(nanoseconds // 1000, arrow.int64(), mask=validity(counts) == 0)
            if (validity(counts).size)
            else arrow.array(nanoseconds // 1000, arrow.int64())
        )
        timed = arrow.types.is_timestamp(kind)
        array = whole.cast(arrow.timestamp("us", kind.tz) if timed else arrow.time64("us"))
    try:
        moments: Sequence[Any] = array.to_pylist()
    except (ValueError, OverflowError, LookupError, OSError, ImportError) as error:
        raise FormatError(
            f"the column {column!r} is {kind}, and not all of it can be written as a date: {error}; cast "
            "it to text, or leave it out: ignore it"
        ) from error
    if rest is None or not any(rest):
        return [None if one is None else one.isoformat() for one in moments]
    return [
        None if one is None else _with_nanoseconds(one, more) for one, more in zip(moments, rest, strict=True)
    ]


def _with_nanoseconds(moment: Any, more: int) -> str:
    """Write a moment with nine digits of its second, where it has nanoseconds."""
    if not more:
        return str(moment.isoformat())
    text = moment.isoformat(timespec="microseconds")
    end = text.index(".") + 7
    return f"{text[:end]}{more:03}{text[end:]}"
