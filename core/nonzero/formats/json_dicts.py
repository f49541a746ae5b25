"""Features given as Python dicts, an example each: written as JSON, and read as it is."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np

from nonzero.batches.batch import Batch, Dicts
from nonzero.batches.columns import checked_labels, checked_weights
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.errors import BatchError, InputError
from nonzero.fields.counts import Fields
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.json_plain import row_of
from nonzero.formats.json_workspace import ROWS_AT_ONCE, Workspace, own_workspace

ENCODING_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)

AS_THEY_ARE: Final = frozenset({str, int, float, bool, type(None)})
"""What JSON holds as Python does."""

LABELS: Final = frozenset({bool, int, float, np.bool_})
WEIGHTS: Final = frozenset({int, float})
"""The types of labels and weights that are taken as they are; all others are read as columns are."""

TIMES: Final = (datetime.date, datetime.time)  # a datetime, and so a Timestamp, is a date


def batch_of_features(
    examples: Dicts, schema: Schema | Mapping[str, Any] | None = None, *, in_order: bool = False
) -> Batch:
    """Hash features given as mappings, an example each; see :meth:`nonzero.Batch.from_dicts`.

    With `in_order` those of an example are taken in the alphabetical order of their names.

    The mappings are written as JSON, by msgspec, and read as it is; what JSON has no form for is given one
    before: NumPy's scalars and arrays are what they hold, bytes are text, sets are sorted, dates and times
    are text, UUIDs and enumerations what msgspec makes of them. What has no form is an error.

    Raises
    ------
    BatchError
        For a value that is no feature, naming its row and its name.
    """
    workspace = own_workspace(untracked if schema is None else Schema.of(schema))
    try:
        return _read(examples, workspace, in_order)
    finally:
        workspace.fields.take()


def batch_of_example(
    features: Mapping[str, Any],
    label: float,
    weight: float,
    schema: Schema | Mapping[str, Any] | None = None,
    *,
    in_order: bool = False,
) -> Batch:
    """Hash one example with its label; in less time than columns of one row would be checked.

    Raises
    ------
    BatchError
        For a value that is no feature, a label that is none, or a weight out of its range.
    """
    batch = batch_of_features((features,), schema, in_order=in_order)
    if type(label) in LABELS and label in (0, 1) and type(weight) in WEIGHTS and 0 <= weight <= MAX_WEIGHT:
        batch.labels[0], batch.weights[0] = label, weight
    else:
        vars(batch).update(labels=checked_labels([label], 1), weights=checked_weights([weight], 1))
    return batch


def _read(examples: Dicts, workspace: Workspace, in_order: bool) -> Batch:
    batches: list[Batch] = []
    first = 0
    rest = iter(examples)
    while piece := list(islice(rest, ROWS_AT_ONCE)):
        try:
            lines = _written(piece, in_order)
        except ENCODING_ERRORS as error:
            raise _refusal(piece, first, workspace) from error
        # msgspec writes NaN and infinities as null.
        if b"null" in lines and any(map(_has_no_number, piece)):
            raise _refusal(piece, first, workspace)
        n, wrong = workspace.read(lines)
        if wrong:
            raise _refusal(piece, first, workspace)
        batches.append(workspace.batch(n))
        first += n
    return Batch.concatenate(batches)


def _written(piece: Sequence[Any], in_order: bool) -> bytes:
    """Write examples as JSON, a line each."""
    held = [_jsonable(features) for features in piece]
    if not in_order:
        return _encoder.encode_lines([{"features": features} for features in held])
    try:
        return _encoder_in_order.encode_lines([{"features": features} for features in held])
    except TypeError:  # msgspec puts texts in order, and no other names
        return _encoder_in_order.encode_lines([{"features": _with_texts(features)} for features in held])


def _with_texts(features: Any) -> Any:
    """Give every name of an example the text that JSON has for it."""
    if not isinstance(features, Mapping):
        return features
    names = [[*msgspec.json.decode(_encoder.encode({name: None}))][0] for name in features]  # noqa: RUF015
    return dict(zip(names, features.values(), strict=True))


def _has_no_number(features: Any) -> bool:
    """Whether a feature is a float that is no finite number."""
    return isinstance(features, Mapping) and any(_is_no_number(_plain(value)) for value in features.values())


def _is_no_number(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _jsonable(features: Any) -> Any:
    """Give every name and value of an example a form in JSON; most have it."""
    if not isinstance(features, dict) or not AS_THEY_ARE.issuperset(map(type, features.values())):
        return _converted(features)
    try:
        "".join(features)  # the quickest look at whether all names are text
    except TypeError:
        return _converted(features)
    return features


def _converted(features: Any) -> Any:
    if not isinstance(features, Mapping):
        return features
    return {_plain(name): _plain(value) for name, value in features.items()}


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it; what is left is msgspec's."""
    if type(value) in AS_THEY_ARE:
        return value
    if isinstance(value, (np.datetime64, *TIMES)):
        return _time(value)
    if isinstance(value, np.generic | np.ndarray):
        return _plain((value.astype(str) if value.dtype.kind == "M" else value).tolist())
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        if AS_THEY_ARE.issuperset(map(type, value)):
            return value
        return [_plain(item) for item in value]
    return value


def _time(value: Any) -> str:
    """Return a date or a time as ISO 8601 writes it."""
    if value != value:
        raise ValueError(f"{value} is no time")
    return str(value) if isinstance(value, np.datetime64) else str(value.isoformat())


def _encodable(value: Any) -> Any:
    """Give msgspec something that it knows in place of what it does not."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no feature")


_encoder: Final = msgspec.json.Encoder(enc_hook=_encodable, decimal_format="number")
_encoder_in_order: Final = msgspec.json.Encoder(enc_hook=_encodable, decimal_format="number", order="sorted")


def _refusal(piece: Sequence[Any], first: int, workspace: Workspace) -> BatchError:
    """Say which feature of these examples, of which the first is row `first`, is the first bad one."""
    asked = Fields(workspace.schema)  # what is counted here was counted before
    for r, features in enumerate(piece):
        if not isinstance(features, Mapping):
            return BatchError(f"row {first + r}: {features!r:.40} is no mapping of features")
        for name, value in features.items():
            try:
                held = _plain(value)
                if _is_no_number(held):
                    raise InputError(f"the feature {name!r} is {held}, not a finite number; leave it out")
                row_of(_encoder.encode({"features": {_plain(name): held}}), asked)
                continue
            except UnicodeDecodeError as error:
                reason = f"the feature {name!r} is {value!r:.40}, not UTF-8 ({error.reason}); decode it"
            except UnicodeEncodeError as error:  # half of a pair of surrogates, in the name or in the value
                reason = f"the feature {name!r} is {value!r:.40}, which UTF-8 cannot write ({error.reason})"
            except InputError as error:
                reason = str(error)
            except ENCODING_ERRORS:
                reason = (
                    f"the feature {name!r} is {value!r:.40}, of type {type(value).__name__}; "
                    "it is a string, a number, True, False or a list of strings"
                )
            return BatchError(f"row {first + r}: {reason}")
    raise AssertionError("the examples are right one by one")
