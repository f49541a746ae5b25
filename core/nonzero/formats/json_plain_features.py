"""Features by name, as JSON has them: what each value is, by the schema or by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from nonzero.errors import InputError
from nonzero.fields.counts import ContradictionError, Fields
from nonzero.fields.known import CATEGORY, IGNORE, INFER, NUMBER
from nonzero.fields.texts import FALSE, TRUE, text_of_number
from nonzero.formats.json_values import Members, Number, check_text, is_list, is_text, shown_value
from nonzero.formats.numbers import number_of, value_of


def named_features(example: Members, fields: Fields) -> list[tuple[str, str, float]]:
    """Return the features of a decoded example that can be read: (field, name, value) of each nonzero."""
    return [
        feature for name, value in example if name == "features" for feature in features_of(value, fields, [])
    ]


def features_of(
    features: Any, fields: Fields, came: list[tuple[bytes, int]]
) -> Iterator[tuple[str, str, float]]:
    """Name the features: (key, name, value) of each nonzero; add to `came` how undeclared fields came."""
    if not isinstance(features, Members):
        raise InputError(f'"features" is {shown_value(features)}, not an object')
    for key, value in features:
        check_text(key, "the feature's name")
        kind = fields.kind_of(key.encode())
        if kind == IGNORE or value is None:
            continue
        if kind == INFER:
            came.append((key.encode(), CATEGORY if is_text(value) or isinstance(value, list) else NUMBER))
        if kind == CATEGORY:
            parts = value if is_list(value) else [value]
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
        check_text(value, f"the feature {shown_value(key)}")
        yield key, f"{key}={value}", 1.0
    elif is_list(value):
        for item in value:
            if not is_text(item):
                raise InputError(
                    f"the feature {shown_value(key)} is a list with {shown_value(item)} in it; "
                    "a list holds strings"
                )
            check_text(item, f"the feature {shown_value(key)}")
            yield key, f"{key}={item}", 1.0
    else:
        raise InputError(
            f"the feature {shown_value(key)} is {shown_value(value)}; it is a string, a number, true, "
            "false or a list of strings, or null or left out"
        )


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
    check_text(value, f"the feature {shown_value(key)}")
    return value


def _number_of(key: str, value: Any) -> float:
    """Return the number that a value of a number's field is."""
    if isinstance(value, Number | bool):
        return _value(key, value)
    try:
        if is_text(value):
            text = value.encode()
            return value_of(number_of(text, "the value"), text)
    except InputError as error:
        raise ContradictionError(
            f"the feature {shown_value(key)} is a number, says the schema: {error}", key
        ) from error
    except UnicodeEncodeError:
        check_text(value, f"the feature {shown_value(key)}")
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
