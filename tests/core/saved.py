"""Files of models whose contents a test has changed: their digests are right all the same."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from nonzero import LogisticRegression
from nonzero.persistence import snapshot
from nonzero.persistence.rows import ArrayRows

FileName = str | os.PathLike[str]


class Stored(NamedTuple):
    """What is in a file, as safetensors itself reads it."""

    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, Any]
    rows: dict[str, Any]


def stored_in(path: FileName) -> Stored:
    """Read a file by safetensors' own reader."""
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    return Stored(tensors, json.loads(header["metadata"]), json.loads(header["rows"]))


def forge(path: FileName, stored: Stored) -> None:
    """Write a file by safetensors' own writer, with the digest that is right for what it holds."""
    tensors, metadata, rows = stored
    header = {
        "format": snapshot.FORMAT,
        "digest": snapshot.digest_of(tensors, [metadata, rows]),  # type: ignore[arg-type]
        "metadata": json.dumps(metadata),
        "rows": json.dumps(rows),
    }
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, header)


def arrays_of(model: LogisticRegression) -> dict[str, Any]:
    """Return copies of all arrays of a model, by name."""
    return {name: array.copy() for name, array in model._state.arrays().items()}


def write(
    path: FileName, arrays: Mapping[str, Any], metadata: Mapping[str, Any], like: LogisticRegression
) -> None:
    """Save arrays as those of a model are saved: the larger ones by their touched rows."""
    kept = like._state.kept()
    by_rows = {name: rows.fill for name, rows in kept.items() if not isinstance(rows, np.ndarray)}
    snapshot.write(
        path,
        {
            name: ArrayRows(array, by_rows[name]) if name in by_rows else array
            for name, array in arrays.items()
        },
        metadata,
    )
