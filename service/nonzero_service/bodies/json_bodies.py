"""JSON bodies: one example, or ``{"examples": [...]}``; right as a whole, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nonzero import Batch, FormatError, LineError, Schema
from nonzero.fields.counts import Fields
from nonzero.fields.hashing import NO_FIELD, field_of, index_of
from nonzero.formats.json_bodies import NOT_JSON, Bounded, parse_body, skim
from nonzero.formats.json_candidates import CandidateRows, parse_candidates
from nonzero.formats.json_plain_features import named_features
from nonzero.formats.json_values import decode
from nonzero.kernels.products import product_index
from nonzero_service.problems import Problem


def batch_of(body: bytes, schema: Schema, bounded: Bounded) -> Batch:
    """Return the examples of a body, read by a model's schema.

    Parameters
    ----------
    body, schema
        Both.
    bounded
        Told how many examples a list has, before they are read.

    Raises
    ------
    Problem
        400 where it is not JSON; 422 where it is something else than examples, or naming every bad example,
        the first being number 1.
    """
    try:
        return parse_body(body, schema, bounded)
    except FormatError as error:
        if error.lines:
            raise bad_examples(error.lines) from error
        raise Problem(422 if _is_json(body) else 400, str(error)) from error


def bad_examples(errors: Sequence[LineError], one: str = "an example", many: str = "examples") -> Problem:
    """Return the problem that names every bad example of a body."""
    first = errors[0]
    count = f"{len(errors)} {many} cannot be used" if len(errors) > 1 else f"{one} cannot be used"
    return Problem(422, f"{count}, and nothing was done; number {first.line}: {first.reason}", errors=errors)


def read_candidates(body: bytes, schema: Schema, bounded: Bounded) -> CandidateRows:
    """Return the candidates of a body and what they share, read by a model's schema.

    Parameters
    ----------
    body, schema, bounded
        As for :func:`batch_of`.

    Raises
    ------
    Problem
        As for :func:`batch_of`.
    """
    try:
        return parse_candidates(body, schema, bounded)
    except FormatError as error:
        if error.lines:
            raise bad_candidates(error.lines) from error
        raise Problem(422 if _is_json(body) else 400, str(error)) from error


def bad_candidates(errors: Sequence[LineError]) -> Problem:
    """Return the problem that names every bad candidate of a body by its place in the list."""
    named = [LineError(line, f"candidates[{line - 1}]: {reason}") for line, reason in errors]
    count = f"{len(named)} candidates" if len(named) > 1 else "a candidate"
    return Problem(422, f"{count} cannot be used, and nothing was done; {named[0].reason}", errors=named)


class Feature(NamedTuple):
    """A feature of an example, as people know it."""

    name: str
    """Its name; a slot that was given directly, its number."""
    field: str | None
    """The name of the group that it came from; None for a slot."""
    nonzero: tuple[int, int]
    """Its index and the number of its field: what a batch holds."""


def features_of(body: bytes, batch: Batch, schema: Schema, interactions: Sequence[str] = ()) -> list[Feature]:
    """Return the feature that each nonzero is, of the one example in a body, which `batch` holds.

    They are named as the schema has it. Products of interactions are named after the features that they are
    made of, ``site=news*hour=9``.
    """
    members = decode(body)
    example = dict(members)
    if "examples" in example:
        members = example["examples"][0]
        example = dict(members)
    named = named_features(members, Fields(schema))
    features = [Feature(name, field, (index_of(name), field_of(field))) for field, name, _ in named]
    slots = [int(slot) for slot in example.get("indices") or ()]
    features += [Feature(str(slot), None, (slot, NO_FIELD)) for slot in slots]
    features += [product for pair in interactions for product in _products(features, pair)]
    # A feature whose value is false or 0 is no nonzero; the others stand in the batch in order.
    fields = [NO_FIELD] * batch.nnz if batch.fields is None else batch.fields.tolist()
    nonzeros = zip(batch.indices.tolist(), fields, strict=True)
    known = {feature.nonzero: feature for feature in reversed(features)}
    return [known[nonzero] for nonzero in nonzeros]


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
