"""Golden predictions: rows and what the model makes of them, for another implementation to check itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from nonzero import Batch, LogisticRegression
from nonzero.export.coordinates import coordinates_of
from nonzero.fields.hashing import field_of
from nonzero.formats.assembly import PlainRow

LONGEST: Final = 24
"""Features of a random row, at most."""

FAR_ROW: Final = 2
FAR: Final = 1e5
"""A value beyond what is believed of most fields, in a row of those that are scaled."""

INDICES: Final = 2**31
"""Indices are below that, but for one hash in 2^32 that is that."""


def random_rows(model: LogisticRegression, n: int, seed: int = 0) -> Batch:
    """Return rows of features that a model knows, and of some that it does not.

    The first is empty, the second names one feature twice, and where values are scaled the third has one far
    beyond its scale. Fields are those whose values came and those of interactions; some features have none.

    Parameters
    ----------
    model
        The model.
    n
        How many.
    seed
        Of the random numbers: the same seed gives the same rows.

    Returns
    -------
    Batch
        Without labels.

    Examples
    --------
    >>> rows = random_rows(LogisticRegression(bits=10), 3)
    >>> len(rows), int(rows.indptr[1])
    (3, 0)
    """
    rng = np.random.default_rng(seed)
    formula = model.formula()
    slots = np.concatenate([np.zeros(0, np.int64), *(some.slots for some in coordinates_of(model, formula))])
    lengths = rng.integers(1, LONGEST + 1, n)
    lengths[:1], lengths[1:2] = 0, 3
    nnz = int(lengths.sum())
    indices = rng.integers(0, 2**model.bits, nnz)
    if slots.size:
        known = rng.random(nnz) < 0.8
        indices[known] = rng.choice(slots, int(known.sum()))
    fields = rng.choice(_fields(model, formula.scales), nnz)
    # A hash has more bits than a slot; an index that was given directly is one.
    indices += np.where(fields != 0, rng.integers(0, INDICES >> model.bits, nnz) << model.bits, 0)
    values = np.where(rng.random(nnz) < 0.5, 1, rng.normal(0, 2, nnz)).astype(np.float32)
    fields[:2] = fields[:1]
    indices[:2] = slots[:1] if slots.size else indices[:1]
    if formula.scales is not None and n > FAR_ROW:
        values[lengths[:FAR_ROW].sum()] = FAR
    return Batch(np.concatenate([[0], np.cumsum(lengths)]), indices, values, fields=fields)


def _fields(model: LogisticRegression, scales: Any) -> list[int]:
    of_interactions = {field_of(name) for pair in model.interactions for name in pair.split("*")}
    scaled = [] if scales is None else np.flatnonzero(scales).tolist()
    return [0, *sorted({*of_interactions, *scaled})]


def golden_lines(
    model: LogisticRegression, batch: Batch, rows: Sequence[PlainRow] | None = None
) -> Iterator[str]:
    """Yield a line of JSON for each row: its features, and its probability.

    Parameters
    ----------
    model
        The model.
    batch
        The rows.
    rows
        The same with names, where they are known.

    Yields
    ------
    str
        ``indices``, ``values`` and ``fields`` as they came: before interactions, scales and slots; ``names``
        where they are known; and ``probability``.

    Raises
    ------
    BatchError
        For an index outside the table.

    Examples
    --------
    >>> model = LogisticRegression(bits=10)
    >>> print(*golden_lines(model, Batch([0, 1], [7])))
    {"indices": [7], "values": [1.0], "fields": [0], "probability": 0.5}
    """
    values = batch.explicit_values().astype(str).tolist()
    fields = np.zeros(batch.nnz, np.uint16) if batch.fields is None else batch.fields
    probabilities = model.predict(batch).astype(str).tolist()
    for r, probability in enumerate(probabilities):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        named = "" if rows is None else f'"names": {_names(rows[r])}, '
        yield (
            f'{{{named}"indices": {batch.indices[span].tolist()}, "values": [{", ".join(values[span])}], '
            f'"fields": {fields[span].tolist()}, "probability": {probability}}}'
        )


def _names(row: PlainRow) -> str:
    found = (row.names.get(place) for place in range(len(row.indices)))
    return json.dumps([None if name is None else name[0].decode(errors="replace") for name in found])
