"""Retelling: a history is told of rows of the journal that are read again, by a start or by a challenger."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from nonzero import LogisticRegression
from nonzero_service.history.history import History
from nonzero_service.journal.chain import JournalRow
from nonzero_service.writer.entries import CHANGES

IMPRESSION_ROWS: Final = frozenset({"joined", "impression"})
"""The rows whose examples may be impressions."""


def retold(
    history: History | None,
    model: LogisticRegression,
    row: JournalRow,
    apply: Callable[[], LogisticRegression],
    *,
    learns: bool,
) -> LogisticRegression:
    """Apply a row, and tell a history of it.

    Parameters
    ----------
    history
        The history; None where none is told.
    model
        The model as the rows before made it.
    row
        The row.
    apply
        Applies it; returns the model to go on with, another one after a promotion.
    learns
        Whether it may be learned from. What `apply` raises is raised, and nothing more is told then.

    Returns
    -------
    LogisticRegression
        That of `apply`.
    """
    if history is None:
        return apply()
    if learns:
        impressions = partial(IMPRESSION_ROWS.__contains__, row.kind)
        history.learning(model, row.position - 1, row.time_ms, impressions)
    new = apply()
    if row.kind in CHANGES:
        history.changed(model, row)
    if new is not model:
        history.promoted(new, model, row.position, row.time_ms)
    return new
