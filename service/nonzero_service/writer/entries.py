"""What each kind of journal row says: entries are made here, and rows are read here.

=============  ========================================================================================
kind           body
=============  ========================================================================================
settings       the first row: what the model was made with, and the digest that it started from
batch          examples that are learned from
joined         examples that are learned from, some of which were impressions, and which ones
impression     what was predicted with ids; its negatives are learned from, or will be by other rows
label          what has become of impressions, of which nothing is learned now; in the form of ``joined``
remedy         a change of the model's lanes, as its diagnosis proposed it
recalibration  from here on a map of the predictions is learned
promotion      from here on the model is what a challenger has become
trip           the circuit breaker has paused learning, and why
held           examples that came during a pause, in the form of ``joined``; they count as none
resume         the end of a pause: the held examples are learned from now (its count is theirs), or never
clock          the journal's clock was set; nothing is learned
source         where the rows before it in its transaction came from: which messages of which topics
=============  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from nonzero import Batch, LogisticRegression
from nonzero.batches.codec import VERSION, encode_batch
from nonzero_service.impressions import joined, rows
from nonzero_service.impressions.joined import References, decode_joined, encode_joined
from nonzero_service.impressions.rows import ImpressionRow, Teaching, decode_row
from nonzero_service.journal.chain import JournalEntry, JournalRow
from nonzero_service.journal.errors import BodyError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.writer.promotion import Promotion

S = TypeVar("S")

RowReader = Callable[[int], Iterator[JournalRow]]
"""Reads the journal's rows from a position on."""


CHANGES: Final = frozenset({"trip", "resume", "remedy", "recalibration", "promotion"})
"""The rows that are no examples, and change how a model learns or predicts from there on."""


class Start(msgspec.Struct, frozen=True):
    """The body of a ``settings`` row: what the model started from."""

    settings: dict[str, Any]
    """As :attr:`nonzero.LogisticRegression.settings`."""
    digest: str
    """The digest of the model before the first example of this journal."""
    examples: int
    """What it had learned from before: 0, but for a model that came as a trained file."""


class Resumption(msgspec.Struct, frozen=True):
    """The body of a ``resume`` row."""

    since: int
    """The position of the trip."""
    discard: bool


def settings_entry(model: LogisticRegression) -> JournalEntry:
    """Return the first entry of a model's journal."""
    start = Start(model.settings, model.digest(), model.examples)
    return JournalEntry("settings", 1, msgspec.json.encode(start))


def batch_entry(batch: Batch, keys: Sequence[KeyRecord] = ()) -> JournalEntry:
    """Return the entry of examples that are learned from, and what it makes known of idempotency keys."""
    return JournalEntry("batch", VERSION, encode_batch(batch), len(batch), tuple(keys))


def joined_entry(batch: Batch, references: References, keys: Sequence[KeyRecord] = ()) -> JournalEntry:
    """Return the entry of examples that were impressions, and of which ones."""
    return JournalEntry("joined", joined.VERSION, encode_joined(batch, references), len(batch), tuple(keys))


def impression_entry(body: bytes, row: ImpressionRow) -> JournalEntry:
    """Return the entry of what was predicted with ids, of its body and what that says."""
    count = row.taught.size if row.teaching == Teaching.NOW else 0
    return JournalEntry("impression", rows.VERSION, body, count)


def label_entry(references: References) -> JournalEntry:
    """Return the entry of what has become of impressions, of which nothing is learned now."""
    return JournalEntry("label", joined.VERSION, encode_joined(Batch.empty(), references))


def remedy_entry(remedy: Mapping[str, Any]) -> JournalEntry:
    """Return the entry of a remedy, as :meth:`nonzero.LogisticRegression.apply_remedy` takes it."""
    return JournalEntry("remedy", 1, msgspec.json.encode(remedy))


def recalibration_entry() -> JournalEntry:
    """Return the entry from which on a map of the predictions is learned."""
    return JournalEntry("recalibration", 1, b"")


def promotion_entry(promotion: Promotion) -> JournalEntry:
    """Return the entry from which on the model is what a challenger has become.

    Of version 2 it says what has become of impressions, too. Earlier releases read version 1.
    """
    version = 1 if promotion.impressions is None else 2
    return JournalEntry("promotion", version, msgspec.json.encode(promotion))


def clock_entry(before_ms: int, after_ms: int) -> JournalEntry:
    """Return the entry that sets the journal's clock, in milliseconds since 1970. The fold passes over it."""
    body = msgspec.json.encode({"before_ms": before_ms, "after_ms": after_ms})
    return JournalEntry("clock", 1, body, time_ms=after_ms)


def trip_entry(reason: dict[str, Any]) -> JournalEntry:
    """Return the entry that says that learning pauses, and why."""
    return JournalEntry("trip", 1, msgspec.json.encode(reason))


def held_entry(batch: Batch, references: References, keys: list[KeyRecord]) -> JournalEntry:
    """Return the entry of examples that are not learned from for now."""
    return JournalEntry("held", joined.VERSION, encode_joined(batch, references), 0, tuple(keys))


def resume_entry(since: int, *, discard: bool, examples: int) -> JournalEntry:
    """Return the entry that ends a pause.

    Parameters
    ----------
    since
        The position of the trip.
    discard
        Whether what was held is never learned from.
    examples
        How many are held.
    """
    return JournalEntry(
        "resume", 1, msgspec.json.encode(Resumption(since, discard)), 0 if discard else examples
    )


def start_of(row: JournalRow) -> Start:
    """Read a ``settings`` row.

    Raises
    ------
    BodyError
        If it is a row of another kind, or does not say what a model starts from.
    """
    if row.kind != "settings":
        raise BodyError(
            f"position {row.position} is a row of the kind {row.kind!r}; a journal starts with 'settings'"
        )
    return _decode(row, Start, "does not say what the model starts from")


def resumption_of(row: JournalRow) -> Resumption:
    """Read a ``resume`` row.

    Raises
    ------
    BodyError
        If it does not say what is resumed.
    """
    return _decode(row, Resumption, "does not say what is resumed")


def promotion_of(row: JournalRow) -> Promotion:
    """Read a ``promotion`` row.

    Raises
    ------
    BodyError
        If it does not say who is promoted.
    """
    return _decode(row, Promotion, "does not say who is promoted")


def remedy_of(row: JournalRow) -> dict[str, Any]:
    """Read a ``remedy`` row.

    Raises
    ------
    BodyError
        If it is not a remedy.
    """
    return _decode(row, dict[str, Any], "is no remedy of this model")


def _decode(row: JournalRow, kind: type[S], fault: str) -> S:
    try:
        return msgspec.json.decode(row.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyError(f"position {row.position} {fault}: {error}") from error


class Pause(NamedTuple):
    """A pause of learning that nobody has ended."""

    since: int
    """The position of the trip."""
    examples: int
    """How many are held."""
    reason: dict[str, Any]
    """Why: the figure that jumped, and what it was compared with."""
    time_ms: int
    """When it began, by the journal's clock, in milliseconds since 1970."""


def pause_since(reader: RowReader, since: int, until: int | None = None) -> Pause:
    """Read the pause that a trip began, and that lasts to the journal's end, or to a position."""
    trip = next(reader(since))
    held = sum(len(batch) for batch, _ in held_examples(reader, since, until))
    return Pause(since, held, reason_of(trip), trip.time_ms)


def held_examples(
    reader: RowReader, since: int, until: int | None = None
) -> Iterator[tuple[Batch, References]]:
    """Yield what was held between two positions, in order, and which impressions that was.

    Parameters
    ----------
    reader
        Reads the journal.
    since
        The position of the trip.
    until
        The position of the resumption; None for the journal's end.
    """
    for row in reader(since + 1):
        if until is not None and row.position >= until:
            return
        held = held_in(row)
        if held is not None:
            yield held


def held_in(row: JournalRow) -> tuple[Batch, References] | None:
    """Return what a row holds until a pause ends, and which impressions that was; None where nothing."""
    if row.kind == "held":
        return decode_joined(row.body)
    if row.kind == "impression":
        impressions = decode_row(row.body)
        if impressions.teaching == Teaching.HELD:
            return impressions.negatives()
    return None


def reason_of(row: JournalRow) -> dict[str, Any]:
    """Read a ``trip`` row.

    Raises
    ------
    BodyError
        If it does not say why learning paused.
    """
    return _decode(row, dict[str, Any], "does not say why learning paused")
