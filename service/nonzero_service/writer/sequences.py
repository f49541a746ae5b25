"""The sequence of a model: the examples of a journal up to where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nonzero import LogisticRegression

BEFORE: Final = "sequence_before"
"""In the notes of a model that follows or has followed: the examples of the journal before its own first."""

REACHED: Final = "sequence_reached"
"""In the notes of a challenger with a policy of its own: the examples of the journal up to where it is."""


def sequence_of(model: LogisticRegression) -> int:
    """Return the examples of a journal up to where its model is: those that came before it count too."""
    return sequence_by(model.notes, model.examples)


def sequence_by(notes: Mapping[str, Any], examples: int) -> int:
    """Return the examples of a journal up to a model that has these notes, and has learned so many."""
    sequence: int = notes.get(REACHED, examples + notes.get(BEFORE, 0))
    return sequence
