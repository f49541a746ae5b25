"""The fold: the model is a function of the journal's rows, and of nothing else.

Nothing here reads a clock, a setting or a random number that is not in the rows. The live learner applies
what it journals. A start, a check and a rebuild apply what they read. The same rows give the same bits.

The first row of a journal is of the kind ``settings``. A model that came as a trained file starts from that
file, which is its first snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from nonzero import Batch, BatchError, LogisticRegression, SettingsError
from nonzero_service.impressions.joined import decode_joined
from nonzero_service.impressions.rows import Teaching, decode_row
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.codec import decode_batch
from nonzero_service.journal.errors import BodyError, PrunedError
from nonzero_service.writer.entries import RowReader, held_examples, remedy_of, resumption_of, start_of


def apply(model: LogisticRegression, row: JournalRow, rows: RowReader | None = None) -> None:
    """Apply one row to the model that the rows before it gave.

    Parameters
    ----------
    model
        The model.
    row
        The row.
    rows
        Reads the journal from a position on: a resumption needs what was held before it.

    Raises
    ------
    BodyError
        Where the row does not fit the model; it names its position.
    """
    if row.first_sequence != model.examples:
        raise BodyError(
            f"position {row.position} follows {row.first_sequence} examples, and the model has learned from "
            f"{model.examples}: they do not belong together"
        )
    match row.kind:
        case "settings":
            _check_start(model, row)
        case "batch" | "joined" | "impression":
            _learn(model, row)
        case "remedy":
            _remedy(model, row)
        case "recalibration":
            model.begin_recalibration()
        case "resume":
            _resume(model, row, rows)


def _learn(model: LogisticRegression, row: JournalRow) -> None:
    try:
        batch = _LEARNED[row.kind](row.body)
        if len(batch) != row.count:
            raise BodyError(f"there are {len(batch)} examples, and the row says {row.count}")
        if len(batch) or row.kind != "impression":
            model.learn(batch, row.time_ms)
    except (BodyError, BatchError) as error:
        raise BodyError(f"position {row.position} cannot be learned from: {error}") from error


def _negatives(body: bytes) -> Batch:
    """Return what an ``impression`` row teaches itself."""
    row = decode_row(body)
    return row.negatives()[0] if row.teaching == Teaching.NOW else Batch.empty()


_LEARNED: Final[dict[str, Callable[[bytes], Batch]]] = {
    "batch": decode_batch,
    "joined": lambda body: decode_joined(body)[0],
    "impression": _negatives,
}


def _remedy(model: LogisticRegression, row: JournalRow) -> None:
    try:
        model.apply_remedy(remedy_of(row))
    except SettingsError as error:
        raise BodyError(f"position {row.position} is no remedy of this model: {error}") from error


def _resume(model: LogisticRegression, row: JournalRow, rows: RowReader | None) -> None:
    resume, before = resumption_of(row), model.examples
    if resume.discard:
        return
    if rows is None:
        raise BodyError(f"position {row.position} resumes from {resume.since}; without the journal it cannot")
    try:
        for batch, _ in held_examples(rows, resume.since, row.position):
            model.learn(batch, row.time_ms)
    except (BodyError, BatchError) as error:
        raise BodyError(f"position {row.position} cannot be resumed: {error}") from error
    except PrunedError as error:
        raise PrunedError(
            f"position {row.position} learns from what was held since position {resume.since}, and only the "
            f"rows from {error.first} on are there: an earlier release gave up the others too soon. If a "
            "snapshot after it is whole, take two more (POST /v1/models/NAME/snapshots, after an update "
            "each), and none that needs them is left. Else restore the directory from a backup; or, to go on "
            "without what came after the newest snapshot that is whole, make a new model of that file",
            error.first,
        ) from error
    if model.examples - before != row.count:
        raise BodyError(
            f"position {row.position} resumes {row.count} examples, and {model.examples - before} were held"
        )


@lru_cache(maxsize=64)
def _digest_of_new(settings: str) -> str:
    """Return the digest of a new model of some settings, as JSON: many models have the same."""
    return LogisticRegression.from_settings(json.loads(settings)).digest()


def _check_start(model: LogisticRegression, row: JournalRow) -> None:
    start = start_of(row)
    new = start.settings == model.settings and model.examples == 0
    if not new or start.digest != _digest_of_new(json.dumps(start.settings)):
        raise BodyError(
            f"position {row.position} starts from another model: {start.settings} with the digest "
            f"{start.digest}, not {model.settings} with {model.digest()}"
        )
