"""Python values -> JSON: what the library's ``Batch.from_dicts`` takes, and to the same features.

NumPy, pandas and their kin are known by what their values can do; none of them is imported.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from nonzero_client.errors import InputError

SHOWN: Final = 40
"""So many characters of a value are shown."""

_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)


def _plain(value: Any) -> Any:
    """Return what JSON has in the place of a value that it does not know."""
    if hasattr(value, "isoformat"):
        return _time(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _held(value)
    match value:
        case bytes() | bytearray() | memoryview():
            return bytes(value).decode()
        case set() | frozenset():
            return sorted((item if isinstance(item, str) else _plain(item) for item in value), key=str)
        case Mapping():
            return dict(value)
        case enum.Enum():
            return value.value
        case UUID():
            return str(value)
        case Decimal():
            whole = value.is_finite() and value == value.to_integral_value()
            return int(value) if whole else float(value)
    raise TypeError(f"{type(value).__name__} is no feature")


def _time(value: Any) -> str:
    """Return a date or a time as ISO 8601 writes it."""
    if value != value:
        raise ValueError(f"{value} is no time")
    return str(value.isoformat())


def _held(value: Any) -> Any:
    """Return what a scalar or an array holds: of NumPy, or one that is used alike."""
    if getattr(value.dtype, "kind", "") == "M":
        if (value != value).any():
            raise ValueError(f"{value} is no time")
        return value.astype(str).tolist()
    return value.tolist()


_encode: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
).encode


def encoded(value: Any) -> bytes:
    """Write a value as JSON.

    Raises
    ------
    InputError
        For what has no form there; it names the value.
    """
    try:
        return _encode(value).encode()
    except _UNENCODABLE as error:
        raise InputError(f"{value!r:.{SHOWN}} has no form in JSON: {error}") from error


def example_line(example: Any) -> bytes:
    """Write an example, or a label, as a line of NDJSON without its end.

    Raises
    ------
    InputError
        For what is none; it names the member or the feature.
    """
    if not isinstance(example, Mapping):
        raise InputError(f"{example!r:.{SHOWN}}, of type {type(example).__name__}, is no example: {_FORM}")
    try:
        return _encode(example).encode()
    except _UNENCODABLE:
        reason = _first_fault(example)
    raise InputError(reason)


_FORM: Final = (
    'one is a mapping such as {"features": {"site": "news"}, "label": 1}. from_rows() makes some of a '
    "DataFrame, or of mappings of features alone"
)


def _first_fault(example: Mapping[Any, Any]) -> str:
    """Say which value of an example has no form in JSON."""
    for member, held in example.items():
        inside = held.items() if isinstance(held, Mapping) else [(None, held)]
        for name, value in inside:
            try:
                _encode({name or "": value}).encode()
            except _UNENCODABLE as error:
                what = f"the member {member!r}" if name is None else f"the feature {name!r}"
                return f"{what} is {value!r:.{SHOWN}}{_why(value, error)}"
    return f"{example!r:.{SHOWN}} has no form in JSON"


def _why(value: Any, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f", not UTF-8 ({error.reason}); decode it"
    if isinstance(error, UnicodeEncodeError):
        return ", which has half of a surrogate pair and is no text"
    if isinstance(error, ValueError) and not isinstance(value, list | tuple | Mapping):
        if isinstance(value, float) and not math.isfinite(value):
            return ", not a finite number; leave it out"
        return f" ({error}); leave it out"
    return (
        f", of type {type(value).__name__}; it is a string, a number, True, False or a list of strings, "
        "and no number in it is NaN"
    )
