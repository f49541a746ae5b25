"""What the compiled reader of delimited text is told of each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.fields.hashing import beginning_of, field_of, index_of
from nonzero.native import types

LEFT_OUT: Final = 0
CATEGORY: Final = 1
NUMBER: Final = 2
LABEL: Final = 3
BOOLEAN: Final = 4  # a category of which True is written true, and False false


class Columns(NamedTuple):
    """What the compiled reader needs to know of each column."""

    kinds: NDArray[np.uint8]
    """uint8[columns]: LEFT_OUT, CATEGORY, NUMBER, LABEL or BOOLEAN."""
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


def columns_of(names: Sequence[str], kinds: Sequence[int], positive: bytes) -> Columns:
    """Prepare the columns for compiled code."""
    features = [name + "=true" if kind == BOOLEAN else name for name, kind in zip(names, kinds, strict=True)]
    return Columns(
        kinds=np.array(kinds, np.uint8),
        beginnings=np.array([beginning_of(name.encode()) for name in names], np.uint64),
        lengths=np.array([len(name.encode()) + 1 for name in names], np.int64),
        indices=np.array([index_of(name) for name in features], np.uint32),
        falses=np.array([index_of(name + "=false") for name in names], np.uint32),
        fields=np.array([field_of(name) for name in names], np.uint16),
        positive=np.array([*positive], np.uint8),
    )


COLUMNS: Final = types.like(columns_of([], [], b""))
