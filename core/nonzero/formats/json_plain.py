"""The plain decoder of one JSON example: it reads what the compiled reader left, and says what is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from nonzero.batches.limits import MAX_ID, MAX_INDEX, MAX_TIME
from nonzero.errors import InputError
from nonzero.fields.counts import Fields
from nonzero.fields.hashing import NO_FIELD
from nonzero.formats.assembly import PlainRow
from nonzero.formats.json_plain_features import features_of
from nonzero.formats.json_values import (
    SHOWN,
    Members,
    Number,
    check_text,
    decode,
    is_list,
    is_text,
    shown_value,
)
from nonzero.formats.numbers import value_of, weight_of

MEMBERS: Final = ("features", "indices", "values", "label", "weight", "id", "time")


def row_of(text: bytes, fields: Fields) -> PlainRow:
    """Read one example.

    Parameters
    ----------
    text
        The example.
    fields
        What the fields are; it is told in which kinds values came.

    Raises
    ------
    InputError
        Where it breaks a rule; the message says which.
    """
    members = _members(decode(text))
    features: list[tuple[str, str, float]] = []
    came: list[tuple[bytes, int]] = []
    if "features" in members:
        features.extend(features_of(members["features"], fields, came))
    elif "indices" not in members:
        raise InputError('the example has neither "features" nor "indices"; give "features": {} for none')
    slots = _slots(members)
    label, weight, name, time = (members.get(member) for member in ("label", "weight", "id", "time"))
    row = PlainRow(
        label=_label(label),
        weight=1.0 if weight is None else weight_of(_number(weight, "the weight").encode()),
        id=_id(name),
        time=-1 if time is None else _time(time),
    )
    for key, feature, value in features:
        row.add_named(feature.encode(), value, key.encode())
    for slot, value in slots:
        row.indices.append(slot)
        row.values.append(value)
        row.fields.append(NO_FIELD)
    fields.came(came)
    return row


def _members(example: Any) -> dict[str, Any]:
    """Take an example apart; no member may be unknown, or stand twice."""
    if not isinstance(example, Members):
        raise InputError(f'an example is an object such as {{"features": {{}}}}, not {shown_value(example)}')
    members: dict[str, Any] = {}
    for name, value in example:
        if name not in MEMBERS:
            raise InputError(
                f"the member {shown_value(name)} is unknown; an example has {', '.join(MEMBERS)}, and its "
                'features stand within: {"features": {"site": "news"}, "label": 1}'
            )
        if name in members:
            raise InputError(f'the member "{name}" stands twice')
        members[name] = value
    return members


def _slots(members: dict[str, Any]) -> list[tuple[int, float]]:
    """Read "indices" and "values" as pairs."""
    if "indices" not in members:
        if "values" in members:
            raise InputError('there are "values" without "indices"')
        return []
    slots = [_whole(slot, "the index", MAX_INDEX) for slot in _list(members, "indices")]
    if "values" not in members:
        return [(slot, 1.0) for slot in slots]
    texts = [_number(value, "the value") for value in _list(members, "values")]
    if len(texts) != len(slots):
        raise InputError(
            f'there are {len(slots)} "indices" and {len(texts)} "values"; give one value an index'
        )
    return [(slot, value_of(float(text), text.encode())) for slot, text in zip(slots, texts, strict=True)]


def _list(members: dict[str, Any], name: str) -> list[Any]:
    value = members[name]
    if not is_list(value):
        raise InputError(f'"{name}" is {shown_value(value)}, not a list')
    return value


def _number(value: Any, what: str) -> Number:
    if not isinstance(value, Number):
        raise InputError(f"{what} is {shown_value(value)}, not a number")
    return value


def _whole(value: Any, what: str, largest: int) -> int:
    """Read a whole number from 0 on."""
    text = _number(value, what)
    if not text.isdigit() or len(text) > len(str(largest)) or int(text) > largest:
        raise InputError(f"{what} {shown_value(text)} is not a whole number from 0 to {largest}")
    return int(text)


def _time(value: Any) -> int:
    """Read milliseconds since 1970."""
    try:
        return _whole(value, "the time", MAX_TIME - 1)
    except InputError as error:
        raise InputError(f"{error}; give milliseconds since 1970{_milliseconds(value)}") from error


def _milliseconds(value: Any) -> str:
    """Say what a time that was given as text is, where it says its offset from UTC (RFC 3339)."""
    try:
        moment = datetime.fromisoformat(value) if is_text(value) else None
        if moment is None or moment.tzinfo is None or moment.timestamp() < 0:
            return ""
    except (ValueError, OverflowError):
        return ""
    return f", here {round(1000 * moment.timestamp())}"


def _label(value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, Number) or float(value) not in (0, 1, -1):
        raise InputError(
            f"the label is {shown_value(value)}; it is 1, 0 or -1, true or false, or null for none"
        )
    return float(float(value) == 1)


def _id(value: Any) -> str | None:
    if value is None:
        return None
    if not is_text(value):
        way_out = f'; write "{value}"' if isinstance(value, Number) and len(value) <= SHOWN else ""
        raise InputError(f"the id is {shown_value(value)}, not a string{way_out}")
    if len(value) > MAX_ID:
        raise InputError(f"the id {shown_value(value)} is longer than {MAX_ID} characters")
    check_text(value, "the id")
    return value
