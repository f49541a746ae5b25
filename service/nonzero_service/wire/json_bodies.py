"""JSON bodies: one example, or ``{"examples": [...]}``; right as a whole, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nonzero import Batch, FormatError, LineError
from nonzero.batches.hashing import NO_FIELD, field_of, index_of
from nonzero.features.interactions import product_index
from nonzero.formats.json_bodies import NOT_JSON, parse_body, skim
from nonzero_service.problems import Problem

__all__ = ["Feature", "bad_examples", "batch_of", "features_of"]


def batch_of(body: bytes) -> Batch:
    """Return the examples of a body.

    Raises
    ------
    Problem
        400 where it is not JSON; 422 where it is something else than examples, or naming every bad example,
        the first being number 1.
    """
    try:
        return parse_body(body)
    except FormatError as error:
        if error.lines:
            raise bad_examples(error.lines) from error
        raise Problem(422 if _is_json(body) else 400, str(error)) from error


def bad_examples(errors: Sequence[LineError]) -> Problem:
    """Return the problem that names every bad example of a body."""
    first = errors[0]
    count = f"{len(errors)} examples cannot be used" if len(errors) > 1 else "an example cannot be used"
    return Problem(422, f"{count}, and nothing was done; number {first.line}: {first.reason}", errors=errors)


class Feature(NamedTuple):
    """A feature of an example, as people know it."""

    name: str
    """Its name; a slot that was given directly, its number."""
    field: str | None
    """The name of the group that it came from; None for a slot."""
    nonzero: tuple[int, int]
    """Its index and the number of its field: what a batch holds."""


def features_of(body: bytes, batch: Batch, interactions: Sequence[str] = ()) -> list[Feature]:
    """Return the feature that each nonzero is, of the one example in a body, which `batch` holds.

    Products of interactions are named after the features that they are made of, ``site=news*hour=9``.
    """
    example = dict(json.loads(body, object_pairs_hook=list))
    if "examples" in example:
        example = dict(example["examples"][0])
    features = list(_features(example))
    features += [product for pair in interactions for product in _products(features, pair)]
    # A feature whose value is false or 0 is no nonzero; the others stand in the batch in order.
    fields = [NO_FIELD] * batch.nnz if batch.fields is None else batch.fields.tolist()
    nonzeros = zip(batch.indices.tolist(), fields, strict=True)
    known = {feature.nonzero: feature for feature in reversed(features)}
    return [known[nonzero] for nonzero in nonzeros]


def _features(example: dict[str, Any]) -> Iterator[Feature]:
    """Name each feature as it is hashed."""
    for key, value in example.get("features") or ():
        parts = value if isinstance(value, list) else [value]
        names = [f"{key}={part}" for part in parts] if isinstance(value, str | list) else [key]
        yield from (Feature(name, key, (index_of(name), field_of(key))) for name in names)
    yield from (Feature(str(slot), None, (slot, NO_FIELD)) for slot in example.get("indices") or ())


def _products(features: Sequence[Feature], pair: str) -> Iterator[Feature]:
    """Name the products of two fields' features."""
    first, _, second = pair.partition("*")
    for left in features:
        for right in features if left.field == first else ():
            if right.field == second:
                index = product_index(left.nonzero[0], right.nonzero[0])
                yield Feature(f"{left.name}*{right.name}", pair, (index, field_of(pair)))


def _is_json(body: bytes) -> bool:
    try:
        skim(body)
    except NOT_JSON:
        return False
    return True
