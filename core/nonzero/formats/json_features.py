"""Features given as Python dicts, an example each: written as JSON, and read as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np

from nonzero.batches.batch import Batch
from nonzero.errors import BatchError, InputError
from nonzero.formats.json_plain import row_of
from nonzero.formats.json_workspace import ROWS_AT_ONCE, own_workspace

__all__ = ["batch_of_features"]

ENCODING_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def batch_of_features(examples: Iterable[Mapping[str, Any]]) -> Batch:
    """Hash features given as mappings, an example each; see :meth:`nonzero.Batch.from_dicts`.

    The mappings are written as JSON, by msgspec, and read as it is: tuples and sets are lists, numpy's
    scalars and arrays are what they hold, dates and UUIDs are text, bytes are base64, and what has no form in
    JSON is an error.

    Raises
    ------
    BatchError
        For a value that is no feature, naming its row and its name.
    """
    workspace = own_workspace()
    batches: list[Batch] = []
    first = 0
    rest = iter(examples)
    while piece := list(islice(rest, ROWS_AT_ONCE)):
        try:
            lines = _encoder.encode_lines([{"features": features} for features in piece])
        except ENCODING_ERRORS as error:
            raise _refusal(piece, first) from error
        n, wrong = workspace.read(lines)
        if wrong:
            raise _refusal(piece, first)
        batches.append(workspace.batch(n))
        first += n
    return Batch.concatenate(batches)


def _encodable(value: Any) -> Any:
    """Give msgspec something that it knows in place of what it does not."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no feature")


_encoder: Final = msgspec.json.Encoder(enc_hook=_encodable, decimal_format="number")


def _refusal(piece: Sequence[Any], first: int) -> BatchError:
    """Say which feature of these examples, of which the first is row `first`, is the first bad one."""
    for r, features in enumerate(piece):
        if not isinstance(features, Mapping):
            return BatchError(f"row {first + r}: {features!r:.40} is no mapping of features")
        for name, value in features.items():
            if isinstance(value, float | np.floating) and not math.isfinite(value):
                reason = f"the feature {name!r} is {value}, not a finite number; leave it out"
            else:
                try:
                    row_of(_encoder.encode({"features": {name: value}}))
                    continue
                except InputError as error:
                    reason = str(error)
                except ENCODING_ERRORS:
                    reason = (
                        f"the feature {name!r} is {value!r:.40}, of type {type(value).__name__}; "
                        "it is a string, a number, True, False or a list of strings"
                    )
            return BatchError(f"row {first + r}: {reason}")
    raise AssertionError("the examples are right one by one")
