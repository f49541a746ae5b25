"""The fold: the model is a function of the journal's rows, and of nothing else.

Nothing here reads a clock, a setting or a random number that is not in the rows. The live learner applies
what it journals. A start, a check and a rebuild apply what they read. The same rows give the same bits.

The first row of a journal is of the kind ``settings``. A model that came as a trained file starts from that
file, which is its first snapshot.

A challenger is another fold over the same rows: it learns what its champion learns. What was done to the
champion alone (a remedy, a promotion) it passes over, and how far topics were read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, BatchError, LogisticRegression, SettingsError
from nonzero.batches.checking import first_unlabelled
from nonzero.model.notes import FIELDS_NOTE, SOURCES_NOTE, TABLES_NOTE
from nonzero_service.impressions.joined import decode_joined
from nonzero_service.impressions.rows import Teaching, decode_row
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.codec import decode_batch
from nonzero_service.journal.errors import BodyError, PrunedError
from nonzero_service.writer.entries import (
    RowReader,
    held_examples,
    promotion_of,
    remedy_of,
    resumption_of,
    start_of,
)
from nonzero_service.writer.pairing import PAIRING_NOTE
from nonzero_service.writer.promotion import Promotion
from nonzero_service.writer.sequences import BEFORE, REACHED, sequence_of
from nonzero_service.writer.source_rows import note_source

Learned = Callable[[Batch, NDArray[np.float32]], object]
"""Told what was learned from, and what was predicted just before."""

Learning = Callable[[Batch], object]
"""Told what is to be learned from, just before."""

FindPromoted = Callable[[Promotion, JournalRow, LogisticRegression], LogisticRegression]
"""Finds what a challenger has become at a ``promotion`` row, given the model that it takes the place of."""


def tell_nobody(*_: object) -> None:
    """Tell nobody."""


def apply(
    model: LogisticRegression,
    row: JournalRow,
    rows: RowReader | None = None,
    learned: Learned = tell_nobody,
    promoted: FindPromoted | None = None,
    learning: Learning = tell_nobody,
) -> LogisticRegression:
    """Apply one row to the model that the rows before it gave.

    Parameters
    ----------
    model
        The model.
    row
        The row.
    rows
        Reads the journal from a position on: a resumption needs what was held before it.
    learned
        Told what the row teaches.
    promoted
        Finds what a challenger has become: a promotion needs it.
    learning
        Told what the row teaches, just before it is learned from.

    Returns
    -------
    LogisticRegression
        The model to go on with: another one after a promotion.

    Raises
    ------
    BodyError
        Where the row does not fit the model; it names its position.
    """
    check_place(model, row)
    match row.kind:
        case "settings":
            _check_start(model, row)
        case "remedy":
            _remedy(model, row)
        case "promotion":
            return _promote(model, row, promoted)
        case "source":
            note_source(model.notes, row)
        case _:
            _teach(model, row, rows, learned, learning)
    return model


def follow(
    model: LogisticRegression, row: JournalRow, rows: RowReader | None = None, learned: Learned = tell_nobody
) -> None:
    """Apply one row of its champion's journal to a challenger.

    Parameters
    ----------
    model, row, rows, learned
        As for :func:`apply`.

    Raises
    ------
    BodyError
        As for :func:`apply`.
    """
    check_place(model, row)
    if row.kind not in ("settings", "remedy", "promotion", "source"):
        _teach(model, row, rows, learned)


def take_over_notes(new: LogisticRegression, old: LogisticRegression) -> None:
    """Let a challenger know what is noted beside the champion whose place it takes.

    By a policy of its own it has learned other examples than the journal counts: from here on it learns
    those.
    """
    new.notes.pop(PAIRING_NOTE, None)
    if REACHED in new.notes:
        new.notes[BEFORE] = new.notes[REACHED] - new.examples  # first: others read them meanwhile
        del new.notes[REACHED]
    carried = (FIELDS_NOTE, TABLES_NOTE, SOURCES_NOTE)
    new.notes |= {note: old.notes[note] for note in carried if note in old.notes}


def check_place(model: LogisticRegression, row: JournalRow) -> None:
    """Refuse a row that does not follow what a model has learned from.

    Raises
    ------
    BodyError
        It names both places.
    """
    sequence = sequence_of(model)
    if row.first_sequence != sequence:
        raise BodyError(
            f"position {row.position} follows {row.first_sequence} examples, and the model has learned from "
            f"{sequence}: they do not belong together"
        )


def _teach(
    model: LogisticRegression,
    row: JournalRow,
    rows: RowReader | None,
    learned: Learned,
    learning: Learning = tell_nobody,
) -> None:
    """Apply a row that means the same to champions and challengers."""
    match row.kind:
        case "batch" | "joined" | "impression":
            _learn(model, row, learned, learning)
        case "recalibration":
            model.begin_recalibration()
        case "resume":
            _resume(model, row, rows, learned, learning)


def _learn_batch(
    model: LogisticRegression, batch: Batch, time_ms: int, learned: Learned, learning: Learning
) -> None:
    """Learn from a batch.

    Slots that were given directly are of the champion's table. A challenger takes them as it takes the hashes
    of names: their lowest bits say where they are in a table that is smaller.
    """
    learning(batch)
    if BEFORE in model.notes:
        row = first_unlabelled(batch.labels)
        if row >= 0:
            raise BatchError(f"row {row} has no label")
        learned(batch, model.learn_checked(batch, time_ms))
    else:
        learned(batch, model.learn(batch, time_ms))


def _learn(model: LogisticRegression, row: JournalRow, learned: Learned, learning: Learning) -> None:
    try:
        batch = _LEARNED[row.kind](row.body)
        if len(batch) != row.count:
            raise BodyError(f"there are {len(batch)} examples, and the row says {row.count}")
        if len(batch) or row.kind != "impression":
            _learn_batch(model, batch, row.time_ms, learned, learning)
    except (BodyError, BatchError) as error:
        raise BodyError(f"position {row.position} cannot be learned from: {error}") from error


def _promote(model: LogisticRegression, row: JournalRow, promoted: FindPromoted | None) -> LogisticRegression:
    promotion = promotion_of(row)
    if promoted is None:
        raise BodyError(
            f"position {row.position} promotes {promotion.name!r}; without the journal it cannot be applied"
        )
    new = promoted(promotion, row, model)
    check_place(new, row)
    take_over_notes(new, model)
    return new


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


def _resume(
    model: LogisticRegression,
    row: JournalRow,
    rows: RowReader | None,
    learned: Learned,
    learning: Learning,
) -> None:
    resume, before = resumption_of(row), model.examples
    if resume.discard:
        return
    if rows is None:
        raise BodyError(f"position {row.position} resumes from {resume.since}; without the journal it cannot")
    try:
        for batch, _ in held_examples(rows, resume.since, row.position):
            _learn_batch(model, batch, row.time_ms, learned, learning)
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
