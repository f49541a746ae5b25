"""JSON bodies: one example, or ``{"examples": [...]}``; right as a whole, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from nonzero import Batch, FormatError, LineError
from nonzero.formats.ndjson import parse_body
from nonzero.hashing import index_of
from nonzero_service.problems import Problem

__all__ = ["bad_examples", "batch_of", "names_of"]


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


def names_of(body: bytes, batch: Batch) -> list[str]:
    """Return the name of each nonzero of the one example in a body, which `batch` holds.

    A slot that was given directly is named by its number.
    """
    example = dict(json.loads(body, object_pairs_hook=list))
    if "examples" in example:
        example = dict(example["examples"][0])
    names = _names(example)
    # A feature whose value is false or 0 is no nonzero; the others stand in the batch in order.
    return [next(name for name, at in names if at == index) for index in batch.indices.tolist()]


def _names(example: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Name each feature as it is hashed; with its index."""
    for key, value in example.get("features") or ():
        parts = value if isinstance(value, list) else [value]
        names = [f"{key}={part}" for part in parts] if isinstance(value, str | list) else [key]
        yield from ((name, index_of(name)) for name in names)
    yield from ((str(slot), slot) for slot in example.get("indices") or ())


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
