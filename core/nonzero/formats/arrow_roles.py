"""The columns of Arrow that are no features: labels, weights, ids and times."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.ids import Ids
from nonzero.batches.limits import MAX_ID, MAX_TIME, MAX_WEIGHT
from nonzero.errors import FormatError, InputError
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_types import Meaning, listed, meaning_of
from nonzero.formats.arrow_values import codes, distinct, numbers, readable, texts_of, validity
from nonzero.formats.calendars import MOST_SECONDS
from nonzero.formats.delimited_labels import label_of_cell
from nonzero.formats.numbers import weight_of
from nonzero.formats.times import TimeFormat

_READ: Final = {
    "label": (Meaning.NOTHING, Meaning.TEXT, Meaning.TRUTH, Meaning.NUMBER),
    "weight": (Meaning.NOTHING, Meaning.TEXT, Meaning.NUMBER),
    "id": (Meaning.NOTHING, Meaning.TEXT, Meaning.NUMBER),
    "time": (Meaning.NOTHING, Meaning.NUMBER, Meaning.MOMENT),
}

_UNITS: Final = {"s": 1000, "ms": 1, "us": 1000, "ns": 1_000_000}

_DAY: Final = 86_400_000


def check_role(role: str, column: str, kind: Any, form: TimeFormat | None = None) -> None:
    """Refuse a column whose type cannot be a label, a weight, an id or a time; with `form` texts are times.

    Raises
    ------
    FormatError
        It names the column and its type.
    """
    if listed(kind) is None:
        meaning = meaning_of(kind, column)
        floating = import_arrow().types.is_floating(kind) or import_arrow().types.is_decimal(kind)
        if (
            role == "time"
            and form is not None
            and (meaning is Meaning.TEXT or (floating and form.text == "s"))
        ):
            return
        if meaning in _READ[role] and not (role in ("id", "time") and meaning is Meaning.NUMBER and floating):
            return
    way_out = {
        "label": "give 0 and 1, or true and false",
        "weight": "give numbers",
        "id": "give text, or integers",
        "time": "give a timestamp, or milliseconds since 1970 as integers; or say how it is written",
    }[role]
    raise FormatError(f"the column {column!r} is of the type {kind}, which is no {role}; {way_out}")


def labels_in(array: Any, column: str, positive: bytes) -> tuple[NDArray[np.float32], dict[int, InputError]]:
    """Return float32[n], the labels, NaN for none, and what is wrong with others, by row.

    Parameters
    ----------
    array
        The column.
    column
        Its name.
    positive
        The label that is a click, where all others are none; nothing where labels are 0 and 1.
    """
    found, valid, texts = _texts(array, column)
    table = np.full(len(texts) + 1, 0 if positive else np.nan, np.float32)
    wrong: dict[int, InputError] = {}
    for code, text in enumerate(texts):
        if text is None or (text in ("", "nan") and not positive):
            continue
        try:
            table[code] = label_of_cell(text.encode(), positive)
        except InputError as error:
            wrong[code] = error
    return _taken(table, found, valid), _of_rows(wrong, found, valid)


def weights_in(array: Any, column: str) -> tuple[NDArray[np.float32], dict[int, InputError]]:
    """Return float32[n], the weights, 1 for none, and what is wrong with others, by row."""
    tests = import_arrow().types
    if tests.is_integer(array.type) or tests.is_floating(array.type):
        valid = validity(array)
        given = numbers(array)
        with np.errstate(over="ignore"):
            weights = given.astype(np.float64).astype(np.float32)
        if valid.size:
            weights[valid == 0] = 1
        bad = np.flatnonzero(~((weights >= 0) & (weights <= np.float32(MAX_WEIGHT)))).tolist()
        return weights, {r: _no_weight(str(given[r])) for r in bad}
    found, valid, texts = _texts(array, column)
    table = np.ones(len(texts) + 1, np.float32)
    wrong: dict[int, InputError] = {}
    for code, text in enumerate(texts):
        if text is not None:
            try:
                table[code] = weight_of(text.encode())
            except InputError as error:
                wrong[code] = error
    return _taken(table, found, valid), _of_rows(wrong, found, valid)


def _no_weight(text: str) -> InputError:
    return InputError(f"the importance weight {text} is not from 0 to {MAX_WEIGHT:g}")


def ids_in(array: Any, column: str) -> tuple[Ids, dict[int, InputError]]:
    """Return the ids, an integer's digits among them, and what is wrong with others, by row."""
    arrow = import_arrow()
    tests = arrow.types
    if tests.is_dictionary(array.type) or tests.is_run_end_encoded(array.type):
        found, valid, values = codes(array)
        taken = arrow.array(found, mask=valid == 0) if valid.size else arrow.array(found)
        array = readable(values, column).take(taken)
    array = readable(array, column)
    if tests.is_null(array.type) or not len(array):
        return Ids.of([None] * len(array)), {}
    texts = array.cast(arrow.large_string())
    given = validity(texts)
    whole = texts.fill_null("") if given.size else texts
    _, ends, data = whole.buffers()
    ends = np.frombuffer(ends, np.int64, len(array) + 1, whole.offset * 8)
    text = b"" if data is None else data.to_pybytes()[int(ends[0]) : int(ends[-1])]
    ids = Ids(text, ends - ends[0], None if not given.size else given != 0)
    wrong: dict[int, InputError] = {}
    for r in np.flatnonzero(np.diff(ends) > MAX_ID).tolist():
        name = ids[r] or ""
        if len(name) > MAX_ID:
            wrong[r] = InputError(f"the id {name[:40]!r}... is longer than {MAX_ID} characters")
    return ids, wrong


def times_in(
    array: Any, column: str, form: TimeFormat | None = None
) -> tuple[NDArray[np.int64], dict[int, InputError]]:
    """Return int64[n], milliseconds since 1970, -1 for none, and what is wrong with others, by row.

    A timestamp without a zone is taken as UTC. A date is its midnight. Where `form` says how times are
    written, texts and numbers are read as it says.
    """
    if form is not None and meaning_of(array.type, column) in (Meaning.TEXT, Meaning.NUMBER):
        return _written_times(array, column, form)
    arrow = import_arrow()
    tests = arrow.types
    if tests.is_dictionary(array.type) or tests.is_run_end_encoded(array.type):
        found, valid, values = codes(array)
        table, bad = times_in(values, column)
        times = _taken(np.append(table, -1), found, valid)
        return times, _of_rows(bad, found, valid)
    if tests.is_null(array.type):
        return np.full(len(array), -1, np.int64), {}
    valid = validity(array)
    if tests.is_time(array.type):
        raise FormatError(
            f"the column {column!r} is of the type {array.type}, without a day; give a timestamp"
        )
    if tests.is_date32(array.type):
        times = numbers(array.cast(arrow.int32())).astype(np.int64) * _DAY
    elif tests.is_timestamp(array.type):
        counts = numbers(array.cast(arrow.int64()))
        unit, factor = array.type.unit, _UNITS[array.type.unit]
        if unit == "s":  # of which int64 holds more than it holds milliseconds
            return _checked_times(np.clip(counts, -1, MAX_TIME // factor) * factor, valid, counts, factor)
        times = counts if unit == "ms" else counts // factor
    else:
        given = numbers(array.cast(arrow.int64()) if tests.is_date64(array.type) else array)
        return _checked_times(np.where(given > MAX_TIME, MAX_TIME, given).astype(np.int64), valid, given)
    return _checked_times(times, valid)


def _written_times(
    array: Any, column: str, form: TimeFormat
) -> tuple[NDArray[np.int64], dict[int, InputError]]:
    """Read times that are texts, or numbers."""
    tests = import_arrow().types
    if tests.is_integer(array.type) and form.text in ("ms", "s"):
        factor, most = (1000, int(MOST_SECONDS)) if form.text == "s" else (1, MAX_TIME)
        given = numbers(array)
        times = np.maximum(np.where(given < most, given, -1).astype(np.int64), -1)
        return _checked_times(times * factor, validity(array), given)
    found, valid, texts = _texts(array, column)
    table = np.full(len(texts) + 1, -1, np.int64)
    wrong: dict[int, InputError] = {}
    for code, text in enumerate(texts):
        if text:
            try:
                table[code] = form.read(text.encode())
            except InputError as error:
                wrong[code] = error
    return _taken(table, found, valid), _of_rows(wrong, found, valid)


def _checked_times(
    times: NDArray[np.int64], valid: NDArray[np.uint8], given: NDArray[Any] | None = None, factor: int = 1
) -> tuple[NDArray[np.int64], dict[int, InputError]]:
    """Return times, -1 for what is null, and what is wrong with others, by row.

    What was `given` is told; where it is of another unit, as so many milliseconds.
    """
    bad_times = (times < 0) | (times >= MAX_TIME)
    if valid.size:
        bad_times &= valid != 0
        times = np.where(valid != 0, times, -1)
    received = times if given is None else given
    wrong = {
        r: InputError(
            f"the time {received[r].item() * factor} is not a whole number of milliseconds "
            "since 1970 below 10**18"
        )
        for r in np.flatnonzero(bad_times).tolist()
    }
    return times, wrong


def _texts(array: Any, column: str) -> tuple[NDArray[np.int32], NDArray[np.uint8], list[str | None]]:
    """Return the texts that values are as a category, each but once, with codes."""
    tests = import_arrow().types
    if tests.is_null(array.type) or not len(array):
        return np.zeros(len(array), np.int32), np.zeros(len(array), np.uint8), []
    if tests.is_dictionary(array.type) or tests.is_run_end_encoded(array.type):
        found, valid, values = codes(array)
        return found, valid, texts_of(readable(values, column), column)
    array = readable(array, column)
    if tests.is_decimal(array.type):
        array = array.cast(import_arrow().string())
    found, valid, values = distinct(array)
    return found, valid, texts_of(values, column)


def _taken(table: NDArray[Any], found: NDArray[np.int32], valid: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the entries of a table, of which the last is for what is null."""
    last = len(table) - 1
    known = np.where(valid != 0, found, last) if valid.size else found
    if known.size and (known.min() < 0 or known.max() > last or (not valid.size and known.max() == last)):
        raise FormatError(f"a code is none of the {last} entries of its dictionary")
    taken: NDArray[Any] = table[known]
    return taken


def _of_rows(
    wrong: dict[int, InputError], found: NDArray[np.int32], valid: NDArray[np.uint8]
) -> dict[int, InputError]:
    """Return what is wrong, by row, given what is by code."""
    if not wrong:
        return {}
    places = np.isin(found, list(wrong))
    if valid.size:
        places &= valid != 0
    return {r: wrong[int(found[r])] for r in np.flatnonzero(places).tolist()}
