"""Where the journals of all models end, as whoever follows them asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class JournalEnd(NamedTuple):
    """Where the journal of a model ends."""

    position: int
    sequence: int
    """The examples up to and with its last row."""
    digest: bytes
    """Of its last row, 16 bytes."""


class JournalEnds(NamedTuple):
    """Where all journals end."""

    ends: Mapping[int, JournalEnd]
    """By the models' numbers: those that are there, and no others."""
    is_primary: bool
    """Whether it is the database itself that says so; one that stands by may be behind."""
