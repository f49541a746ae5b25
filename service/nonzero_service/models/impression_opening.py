"""Opening the impressions of a model: they are what the journal's rows say of them."""

from __future__ import annotations

from dataclasses import replace

import structlog

from nonzero_service.impressions.event_clock import EventClock
from nonzero_service.impressions.joiner import Joiner
from nonzero_service.impressions.older import older_files, older_impressions, remove_older
from nonzero_service.impressions.replaying import enter_row, note_seen, settle
from nonzero_service.impressions.rows import encode_row
from nonzero_service.impressions.rules import GRACE_MS, Rules
from nonzero_service.impressions.segment import CAPACITY
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.incidental import incidentally
from nonzero_service.journal.clock import wall_ms
from nonzero_service.journal.errors import StorageError
from nonzero_service.journal.journal import Journal
from nonzero_service.journal.reader import JournalRows
from nonzero_service.models.model_config import ModelConfig
from nonzero_service.settings import Settings
from nonzero_service.writer.entries import impression_entry, label_entry
from nonzero_service.writer.impression_rows import tell_of_impressions


def rules_of(config: ModelConfig, settings: Settings) -> Rules:
    """Return the rules of a model: its own, where it was made with them, and the service's."""
    rules = own_rules(config)
    if config.attribution_seconds is None:
        rules = replace(
            rules,
            attribution_ms=round(1000 * settings.attribution_seconds),
            correction_ms=round(1000 * settings.correction_seconds),
        )
    return replace(rules, negative_rate=settings.negative_rate)


def own_rules(config: ModelConfig) -> Rules:
    """Return the rules of a model as far as they are its own."""
    rules = Rules(negatives=config.negatives)
    if config.attribution_seconds is not None and config.correction_seconds is not None:
        rules = replace(
            rules,
            attribution_ms=round(1000 * config.attribution_seconds),
            correction_ms=round(1000 * config.correction_seconds),
        )
    return rules


def open_impressions(
    name: str,
    journal: Journal,
    rules: Rules,
    *,
    following: bool = False,
    watermark_ms: int | None = None,
) -> ImpressionStore:
    """Bring the impressions of a model to where they were.

    Parameters
    ----------
    name
        The model's, for the log.
    journal
        The model's.
    rules
        Windows, thinning, and when is learned.
    following
        Whether another process writes the journal.
    watermark_ms
        The event time that was reached, where impressions or labels are read from topics; 0 where it is not
        known yet. None where they come over HTTP alone: then windows end by the journal's clock.

    Raises
    ------
    StorageError, OSError
        Where the journal, or the files of an older release, cannot be read.
    """
    down_ms = max(journal.clock.now_ms() - journal.time_ms, 0)
    store = ImpressionStore(rules, journal.read_part)
    tell_of_impressions(store, journal, lambda error: say_damaged(name, error))
    if not following:
        take_over_older(name, journal, store)
    if watermark_ms is None:
        store.read_no_topics()
        settle(store, journal.clock.now_ms(), min(GRACE_MS, rules.attribution_ms, down_ms))
    else:  # that clock stood still: no label has waited outside meanwhile but those in the topics
        store.watermark_ms = max(store.watermark_ms or 0, watermark_ms)
        settle(store, EventClock(journal.clock.now_ms, store).now_ms(), 0)
    return store


def pending_in(reader: JournalRows, rules: Rules) -> int:
    """Count the impressions of a journal that wait for their label; a service may be writing there.

    Those of an older release, which no start has taken over yet, are among them.

    Raises
    ------
    StorageError, OSError
        Where they cannot be read.
    """

    def fail(error: StorageError) -> None:
        raise error

    store = ImpressionStore(rules, reader.read_part)
    tell_of_impressions(store, reader, fail)
    for row, references in older_impressions(reader.directory):
        if not (store.segments.find(row.hashes) >= 0).any():
            enter_row(store, row, 0)
            note_seen(store, references)
    if store.rules.negatives == "at_once":  # the ends of these windows are no rows: nothing is learned then
        settle(store, 0, 0)
        joiner, now_ms = Joiner(store), store.watermark_ms or max(reader.tip.time_ms, wall_ms())
        while joiner.end(CAPACITY, now_ms) is not None:
            pass
    return store.pending


def take_over_older(name: str, journal: Journal, store: ImpressionStore) -> None:
    """Make rows of the journal of the impressions that an older release kept in files, and remove these.

    A kill in between leaves the files, of which the next start takes over the rest.
    """
    if not older_files(journal.directory):
        return
    taken = 0
    for row, references in older_impressions(journal.directory):
        if (store.segments.find(row.hashes) >= 0).any():
            continue
        entries = [
            impression_entry(encode_row(row), row),
            *([label_entry(references)] if len(references) else []),
        ]
        position = journal.append(entries)
        enter_row(store, row, position - len(entries) + 1)
        note_seen(store, references)
        taken += row.stops.size
    remove_older(journal.directory)
    structlog.get_logger("impressions").info("taken over into the journal", model=name, impressions=taken)


def say_damaged(name: str, error: StorageError) -> None:
    """Say that impressions of a model are passed over."""
    log = structlog.get_logger("impressions")
    incidentally(
        log.error, "impressions are damaged; their labels will not be known", model=name, reason=str(error)
    )
