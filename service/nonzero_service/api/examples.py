"""Examples, as the routes have them in common: which can be used, and what is seen of their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nonzero import Batch, LineError
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.formats import Parsed
from nonzero_service.bodies.body_reader import Chunk
from nonzero_service.bodies.json_bodies import bad_examples
from nonzero_service.bodies.tables import TableQuery
from nonzero_service.models.names import LOOK, Looker
from nonzero_service.problems import Problem
from nonzero_service.writer.teachable import teachable


def check_examples(
    batch: Batch,
    bits: int,
    *,
    labelled: bool,
    max_weight: float = MAX_WEIGHT,
    refusal: Callable[[Sequence[LineError]], Problem] = bad_examples,
) -> None:
    """Refuse a JSON body's examples that a model cannot use, or that weigh more than may be learned from.

    Parameters
    ----------
    batch
        The examples.
    bits, labelled, max_weight
        As for :func:`~nonzero_service.writer.teachable.teachable`.
    refusal
        Makes the problem of those that are bad.

    Raises
    ------
    Problem
        422, naming every one.
    """
    n = len(batch)
    parsed = Parsed(batch, np.arange(1, n + 1), (), n)
    errors = teachable(parsed, bits, max_weight, labelled=labelled).errors
    if errors:
        raise refusal(errors)


def look_at(names: Looker, media: str, columns: TableQuery | None, chunk: Chunk) -> None:
    """Have the beginning of a stream looked at for names."""
    shown = bytes(chunk[:LOOK])
    if columns is not None and columns.delimiter is not None:  # as a table says it itself
        shown = f"sep={columns.delimiter}\n".encode() + shown
    names.look(media, shown)
