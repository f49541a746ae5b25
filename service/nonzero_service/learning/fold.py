"""The fold: the model is a function of the journal's rows, and of nothing else.

Nothing here reads a clock, a setting or randomness but the rows'. The live learner applies what it journals,
and a start, a check and a refolding apply what they read: the same rows give the same bits.

The first row of a journal is of the kind ``settings``: what the model was made with, and the digest that it
started from. A model that came as a trained file starts from that file, which is its first snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nonzero import Batch, BatchError, LogisticRegression, SettingsError
from nonzero_service.impressions import joined
from nonzero_service.impressions.joined import References, decode_joined, encode_joined
from nonzero_service.journal.chain import Entry, JournalRow
from nonzero_service.journal.codec import VERSION, decode_batch, encode_batch
from nonzero_service.journal.errors import BodyError, PrunedError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.learning.holding import Rows, held_batches, resume_of

__all__ = [
    "Start",
    "apply",
    "batch_entry",
    "clock_entry",
    "joined_entry",
    "recalibration_entry",
    "remedy_entry",
    "settings_entry",
    "start_of",
]


class Start(msgspec.Struct, frozen=True):
    """The body of a ``settings`` row: what the model started from."""

    settings: dict[str, Any]
    """As :attr:`nonzero.LogisticRegression.settings`."""
    digest: str
    """The digest of the model before the first example of this journal."""
    examples: int
    """What it had learned from before: 0, but for a model that came as a trained file."""


def settings_entry(model: LogisticRegression) -> Entry:
    """Return the first entry of a model's journal."""
    start = Start(model.settings, model.digest(), model.examples)
    return Entry("settings", 1, msgspec.json.encode(start))


def batch_entry(batch: Batch, keys: Sequence[KeyRecord] = ()) -> Entry:
    """Return the entry of examples that are learned from, and what it makes known of idempotency keys."""
    return Entry("batch", VERSION, encode_batch(batch), len(batch), tuple(keys))


def joined_entry(batch: Batch, references: References, keys: Sequence[KeyRecord] = ()) -> Entry:
    """Return the entry of examples that were impressions, and of which ones."""
    return Entry("joined", joined.VERSION, encode_joined(batch, references), len(batch), tuple(keys))


def remedy_entry(remedy: Mapping[str, Any]) -> Entry:
    """Return the entry of a remedy, as :meth:`nonzero.LogisticRegression.apply_remedy` takes it."""
    return Entry("remedy", 1, msgspec.json.encode(remedy))


def recalibration_entry() -> Entry:
    """Return the entry from which on a map of the predictions is learned."""
    return Entry("recalibration", 1, b"")


def clock_entry(before_ms: int, after_ms: int) -> Entry:
    """Return the entry that sets the journal's clock, in milliseconds since 1970. The fold passes over it."""
    body = msgspec.json.encode({"before_ms": before_ms, "after_ms": after_ms})
    return Entry("clock", 1, body, time_ms=after_ms)


def start_of(row: JournalRow) -> Start:
    """Read a ``settings`` row.

    Raises
    ------
    BodyError
        Where it is another row, or does not say what a model starts from.
    """
    if row.kind != "settings":
        raise BodyError(
            f"position {row.position} is a row of the kind {row.kind!r}; a journal starts with 'settings'"
        )
    try:
        return msgspec.json.decode(row.body, type=Start)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(
            f"position {row.position} does not say what the model starts from: {error}"
        ) from error


def apply(model: LogisticRegression, row: JournalRow, rows: Rows | None = None) -> None:
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
        case "batch" | "joined":
            _learn(model, row)
        case "remedy":
            _remedy(model, row)
        case "recalibration":
            model.begin_recalibration()
        case "resume":
            _resume(model, row, rows)


def _learn(model: LogisticRegression, row: JournalRow) -> None:
    try:
        batch = decode_batch(row.body) if row.kind == "batch" else decode_joined(row.body)[0]
        if len(batch) != row.count:
            raise BodyError(f"there are {len(batch)} examples, and the row says {row.count}")
        model.learn(batch, row.time_ms)
    except (BodyError, BatchError) as error:
        raise BodyError(f"position {row.position} cannot be learned from: {error}") from error


def _remedy(model: LogisticRegression, row: JournalRow) -> None:
    try:
        model.apply_remedy(msgspec.json.decode(row.body, type=dict[str, Any]))
    except (msgspec.DecodeError, UnicodeDecodeError, SettingsError) as error:
        raise BodyError(f"position {row.position} is no remedy of this model: {error}") from error


def _resume(model: LogisticRegression, row: JournalRow, rows: Rows | None) -> None:
    resume, before = resume_of(row), model.examples
    if resume.discard:
        return
    if rows is None:
        raise BodyError(f"position {row.position} resumes from {resume.since}; without the journal it cannot")
    try:
        for batch in held_batches(rows, resume.since, row.position):
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


def _check_start(model: LogisticRegression, row: JournalRow) -> None:
    start = start_of(row)
    if start.settings != model.settings or start.digest != model.digest():
        raise BodyError(
            f"position {row.position} starts from another model: {start.settings} with the digest "
            f"{start.digest}, not {model.settings} with {model.digest()}"
        )
