"""The plain decoder of one JSON example: it reads what the compiled reader left, and says what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NoReturn

from nonzero.batches.limits import MAX_ID, MAX_INDEX, MAX_TIME
from nonzero.errors import InputError
from nonzero.fields.counts import ContradictionError, Fields
from nonzero.fields.hashing import NO_FIELD, field_of, index_of
from nonzero.fields.known import CATEGORY, IGNORE, INFER, NUMBER
from nonzero.fields.texts import FALSE, TRUE, text_of_number
from nonzero.formats.assembly import PlainRow
from nonzero.formats.numbers import number_of, value_of, weight_of

MEMBERS: Final = ("features", "indices", "values", "label", "weight", "id", "time")

SHOWN: Final = 40


class Members(list[tuple[str, Any]]):
    """A JSON object, its members in order: a name may stand in it twice."""


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _refuse_constant(text: str) -> NoReturn:
    raise InputError(f"{text} is no JSON number; leave the feature out")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=Members, parse_float=Number, parse_int=Number, parse_constant=_refuse_constant
)


def decode(text: bytes) -> Any:
    """Decode JSON into Members, lists, str, Number, bool and None.

    Raises
    ------
    InputError
        Where it is not JSON in UTF-8.
    """
    try:
        return _decoder.decode(text.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start + 1} is not UTF-8: {text[error.start : error.end]!r}") from error
    except json.JSONDecodeError as error:
        near = error.doc[error.pos : error.pos + SHOWN]
        where = f"at character {error.pos + 1}, {near!r}" if near else "at the end"
        raise InputError(f"this is not JSON: {error.msg} {where}") from error
    except RecursionError as error:
        raise InputError(
            "objects or lists are nested too deeply; an example has lists of strings at most"
        ) from error


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
        features.extend(_features(members["features"], fields, came))
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
        row.add(index_of(feature), value, field_of(key))
    for slot, value in slots:
        row.indices.append(slot)
        row.values.append(value)
        row.fields.append(NO_FIELD)
    fields.came(came)
    return row


def named_features(example: Members, fields: Fields) -> list[tuple[str, str, float]]:
    """Return the features of a decoded example that can be read: (field, name, value) of each nonzero."""
    return [
        feature for name, value in example if name == "features" for feature in _features(value, fields, [])
    ]


def shown_value(value: Any) -> str:
    """Show a decoded value: cut where it is long."""
    if isinstance(value, Members):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    text = str(value) if isinstance(value, Number) else repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _members(example: Any) -> dict[str, Any]:
    """Take an example apart; no member may be unknown, or stand twice."""
    if not isinstance(example, Members):
        raise InputError(f'an example is an object such as {{"features": {{}}}}, not {shown_value(example)}')
    members: dict[str, Any] = {}
    for name, value in example:
        if name not in MEMBERS:
            raise InputError(
                f"the member {shown_value(name)} is unknown; an example has {', '.join(MEMBERS)}"
            )
        if name in members:
            raise InputError(f'the member "{name}" stands twice')
        members[name] = value
    return members


def _features(
    features: Any, fields: Fields, came: list[tuple[bytes, int]]
) -> Iterator[tuple[str, str, float]]:
    """Name the features: (key, name, value) of each nonzero; add to `came` how undeclared fields came."""
    if not isinstance(features, Members):
        raise InputError(f'"features" is {shown_value(features)}, not an object')
    for key, value in features:
        _check_text(key, "the feature's name")
        kind = fields.kind_of(key.encode())
        if kind == IGNORE or value is None:
            continue
        if kind == INFER:
            came.append((key.encode(), CATEGORY if _is_text(value) or isinstance(value, list) else NUMBER))
        if kind == CATEGORY:
            parts = value if _is_list(value) else [value]
            yield from ((key, f"{key}={text}", 1.0) for part in parts if (text := _text(key, part)))
        elif kind == NUMBER:
            if number := _number_of(key, value):
                yield key, key, number
        else:
            yield from _inferred(key, value)


def _inferred(key: str, value: Any) -> Iterator[tuple[str, str, float]]:
    """Name the features that a value is by itself."""
    if isinstance(value, Number | bool):
        if number := _value(key, value):
            yield key, key, number
    elif isinstance(value, str):
        _check_text(value, f"the feature {shown_value(key)}")
        yield key, f"{key}={value}", 1.0
    elif _is_list(value):
        for item in value:
            if not _is_text(item):
                raise InputError(
                    f"the feature {shown_value(key)} is a list with {shown_value(item)} in it; "
                    "a list holds strings"
                )
            _check_text(item, f"the feature {shown_value(key)}")
            yield key, f"{key}={item}", 1.0
    else:
        raise InputError(
            f"the feature {shown_value(key)} is {shown_value(value)}; it is a string, a number, true, "
            "false or a list of strings, or null or left out"
        )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and not isinstance(value, Members)


def _text(key: str, value: Any) -> str:
    """Return the text that a value of a category is, empty for none."""
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, Number):
        if not math.isfinite(float(value)) and not value.lstrip("-").isdigit():
            raise InputError(
                f"the feature {shown_value(key)}: {shown_value(value)} is beyond what float64 holds"
            )
        return text_of_number(value)
    if not isinstance(value, str):
        raise InputError(
            f"the feature {shown_value(key)} is {shown_value(value)}; the schema says that it is a category: "
            "a string, a number, true, false or a list of them, or null or left out"
        )
    _check_text(value, f"the feature {shown_value(key)}")
    return value


def _number_of(key: str, value: Any) -> float:
    """Return the number that a value of a number's field is."""
    if isinstance(value, Number | bool):
        return _value(key, value)
    try:
        if _is_text(value):
            text = value.encode()
            return value_of(number_of(text, "the value"), text)
    except InputError as error:
        raise ContradictionError(
            f"the feature {shown_value(key)} is a number, says the schema: {error}", key
        ) from error
    except UnicodeEncodeError:
        _check_text(value, f"the feature {shown_value(key)}")
    raise ContradictionError(
        f"the feature {shown_value(key)} is {shown_value(value)}; the schema says that it is a number", key
    )


def _value(key: str, value: Number | bool) -> float:
    """Return a feature's value, as float32 keeps it; a truth is 1 or 0."""
    if isinstance(value, bool):
        return float(value)
    try:
        return value_of(float(value), value.encode())
    except InputError as error:
        raise InputError(f"the feature {shown_value(key)}: {error}") from error


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
    if not isinstance(value, list) or isinstance(value, Members):
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
        moment = datetime.fromisoformat(value) if _is_text(value) else None
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
    if not isinstance(value, str) or isinstance(value, Number):
        way_out = f'; write "{value}"' if isinstance(value, Number) and len(value) <= SHOWN else ""
        raise InputError(f"the id is {shown_value(value)}, not a string{way_out}")
    if len(value) > MAX_ID:
        raise InputError(f"the id {shown_value(value)} is longer than {MAX_ID} characters")
    _check_text(value, "the id")
    return value


def _check_text(text: str, what: str) -> None:
    r"""Refuse half a surrogate pair, which ``\ud800`` writes and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} holds half a surrogate pair: {shown_value(text)}") from error
