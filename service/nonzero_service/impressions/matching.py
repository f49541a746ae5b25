"""Updates whose ids are those of impressions: what is learned from as it came, and what by the impression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero_service.impressions.joined import References
from nonzero_service.impressions.joiner import Joined, Joiner
from nonzero_service.impressions.selecting import ordered
from nonzero_service.impressions.store import ImpressionStore
from nonzero_service.impressions.verdicts import Verdict


def match_update(store: ImpressionStore, joiner: Joiner, batch: Batch, now_ms: int) -> Joined | None:
    """Take those of an update's examples whose id is an impression's for its label; on the committer.

    Returns
    -------
    Joined | None
        What is to be learned from, in order: what was learned from impressions stands in the place of their
        labels, and the number of a row that was none is -1. Its verdicts are those of the labels. None where
        no example is a label.

    Raises
    ------
    StorageError
        Where an impression cannot be read; nothing is noted then.
    """
    names = batch.ids
    if names is None:
        return None
    rows = store.met(names)
    if not rows.size:
        return None
    ids = [names[row] or "" for row in rows.tolist()]
    joined = joiner.label(ids, batch.labels[rows].astype(np.int64).tolist(), now_ms)
    # One that turned out to be damaged is met no more: nothing will be learned from it.
    unusable = np.ones(rows.size, np.bool_)
    unusable[store.met(ids)] = False
    merged = merge_labels(batch, rows, joined, unusable)
    if merged is not None:
        store.updated(merged.verdicts)
    return merged


def merge_labels(
    batch: Batch, rows: NDArray[np.intp], joined: Joined, unusable: NDArray[np.bool_]
) -> Joined | None:
    """Put what is learned from impressions in the place of the examples that are their labels.

    Parameters
    ----------
    batch
        The examples.
    rows
        intp[k]: those of them whose labels were joined.
    joined
        What they came to, with a verdict for each of `rows`.
    unusable
        bool[k]: of which the impression cannot be used, so that the example is learned from as it came.
    """
    labels = np.array([verdict != "unknown" for verdict in joined.verdicts], np.bool_) & ~unusable
    verdicts: list[Verdict] = [
        verdict for verdict, is_label in zip(joined.verdicts, labels.tolist(), strict=True) if is_label
    ]
    plain = np.ones(len(batch), np.bool_)
    plain[rows[labels]] = False
    if plain.all():
        return None
    order = np.argsort(np.concatenate([np.flatnonzero(plain), rows[joined.rows]]), kind="stable")
    count, known = int(plain.sum()), joined.references
    both = References.concatenate([References.unknown(count), known])
    references = References(both.numbers[order], both.hashes[order], both.states[order])
    learned = ordered(Batch.concatenate([batch.select(plain), joined.batch]), order)
    return replace(joined, batch=learned, references=references, verdicts=verdicts)
