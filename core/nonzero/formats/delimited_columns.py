"""What the compiled reader of delimited text is told of each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.fields.hashing import NO_FIELD, beginning_of, field_of, index_of
from nonzero.formats.buckets import bucket_indices
from nonzero.formats.layouts import hour_indices
from nonzero.native import types

LEFT_OUT: Final = 0
CATEGORY: Final = 1
NUMBER: Final = 2
LABEL: Final = 3
BOOLEAN: Final = 4  # a category of which True is written true, and False false
WEIGHT: Final = 5
ID: Final = 6
TIME: Final = 7
BUCKET: Final = 8  # a count, of which the bucket is a category
HOUR: Final = 9  # YYMMDDHH, of which the hour of the day and the day of the week are categories

ROLES: Final = {"weight": WEIGHT, "id": ID, "time": TIME}
"""The columns that are no features, beside the label."""


class Columns(NamedTuple):
    """What the compiled reader needs to know of each column."""

    kinds: NDArray[np.uint8]
    """uint8[columns]: LEFT_OUT, CATEGORY, NUMBER and so on."""
    beginnings: NDArray[np.uint64]
    """uint64[columns]: how ``name=`` begins a feature's name (:func:`nonzero.fields.hashing.begun`)."""
    lengths: NDArray[np.int64]
    """int64[columns]: the length of ``name=``."""
    indices: NDArray[np.uint32]
    """uint32[columns]: the index of ``name``, the feature of a column of numbers; BOOLEAN: ``name=true``."""
    falses: NDArray[np.uint32]
    """uint32[columns]: the index of ``name=false``."""
    fields: NDArray[np.uint16]
    """uint16[columns]: the field of ``name``."""
    positive: NDArray[np.uint8]
    """uint8[n]: the label that is a click, where all others are none; nothing where labels are 0 and 1."""
    times: NDArray[np.uint8]
    """uint8[n]: how times are written (:attr:`nonzero.formats.times.TimeFormat.told`)."""
    made: NDArray[np.uint32]
    """uint32[n]: the indices of the features that are made of columns, those of each column together."""
    places: NDArray[np.int64]
    """int64[columns]: where in `made` those of a column begin."""
    seconds: NDArray[np.uint16]
    """uint16[columns]: the field of the second feature that is made of a column; NO_FIELD where it is left
    out."""


def columns_of(
    names: Sequence[str],
    kinds: Sequence[int],
    positive: bytes,
    times: bytes = b"\0",
    made: Mapping[str, Sequence[str]] | None = None,
) -> Columns:
    """Prepare the columns for compiled code.

    Parameters
    ----------
    names, kinds
        Of each column.
    positive, times
        As :class:`Columns` has them.
    made
        The fields of the features that are made of a column, by its name; empty for one that is left out.
    """
    features = [name + "=true" if kind == BOOLEAN else name for name, kind in zip(names, kinds, strict=True)]
    firsts, seconds = [*names], [""] * len(names)
    indices, places = [np.empty(0, np.uint32)], [0] * len(names)
    for column, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if kind not in (BUCKET, HOUR):
            continue
        fields = (made or {})[name]
        places[column] = sum(map(len, indices))
        indices.append(bucket_indices(*fields) if kind == BUCKET else hour_indices(*fields))
        firsts[column], seconds[column] = (*fields, "")[:2]
    return Columns(
        kinds=np.array(kinds, np.uint8),
        beginnings=np.array([beginning_of(name.encode()) for name in names], np.uint64),
        lengths=np.array([len(name.encode()) + 1 for name in names], np.int64),
        indices=np.array([index_of(name) for name in features], np.uint32),
        falses=np.array([index_of(name + "=false") for name in names], np.uint32),
        fields=np.array([field_of(name) if name else NO_FIELD for name in firsts], np.uint16),
        positive=np.array([*positive], np.uint8),
        times=np.array([*times], np.uint8),
        made=np.concatenate(indices),
        places=np.array(places, np.int64),
        seconds=np.array([field_of(name) if name else NO_FIELD for name in seconds], np.uint16),
    )


COLUMNS: Final = types.like(columns_of([], [], b""))
