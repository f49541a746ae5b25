"""Pieces may be cut and grouped in any way: the rows give the same bits, and the same positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nonzero import AdaGrad, LogisticRegression
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.journal.chain import JournalEntry, JournalRow, Tip, chain_entries
from nonzero_service.writer.entries import settings_entry
from nonzero_service.writer.fold import apply
from nonzero_service.writer.group_rows import GroupRows
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.preparing import Prepared
from nonzero_service.writer.source_rows import noted_after, source_of
from service.fed import BITS, Piece, piece_of, places_of

Place = tuple[int, int, int]


def new_model() -> LogisticRegression:
    return LogisticRegression(BITS, AdaGrad(0.1))


def one_by_one(places: Sequence[Place]) -> list[Place]:
    """Cut runs into offsets."""
    return [(partition, j, j + 1) for partition, first, end in places for j in range(first, end)]


def cut(places: list[Place], chance: np.random.Generator) -> list[Piece]:
    """Make pieces of offsets in order, of some of them each; neighbours of one partition become a run."""
    pieces = []
    while places:
        size = int(chance.integers(1, 9))
        runs: list[Place] = []
        for partition, first, end in places[:size]:
            if runs and runs[-1][0] == partition and chance.random() < 0.7:
                runs[-1] = (partition, runs[-1][1], end)
            else:
                runs.append((partition, first, end))
        pieces.append(piece_of(runs))
        places = places[size:]
    return pieces


def rows_of(groups: Sequence[Sequence[Piece]]) -> list[JournalRow]:
    """Return the rows that groups of pieces become."""
    entries: list[JournalEntry] = [settings_entry(new_model())]
    sequence = 0
    for group in groups:
        prepared = [Prepared(batch) for batch, _ in group]
        made = GroupRows(prepared, PauseState(), sequence, source_of(origin for _, origin in group))
        entries += made.entries()
        assert entries[-1].kind == "source"
        sequence += sum(len(batch) for batch, _ in group)
    made_rows: list[Any] = chain_entries(entries, Tip(0, 0, 0, bytes(16), bytes(16)), 0)[1]
    names = [one.name for one in fields(JournalRow)]
    return [
        JournalRow(**dict(zip(names, (*place, body, digest), strict=True)))
        for *place, digest, body in made_rows
    ]


def folded(rows: Sequence[JournalRow]) -> LogisticRegression:
    model = new_model()
    for row in rows:
        apply(model, row)
    return model


ORDERS = [list(places_of(seed, 14)) for seed in range(3)]
WHOLE = [folded(rows_of([[piece_of([place])] for place in one_by_one(order)])) for order in ORDERS]


@given(st.sampled_from(range(3)), st.integers(0, 2**32))
def test_any_pieces_in_any_groups(order: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    pieces = cut(one_by_one(ORDERS[order]), chance)
    groups: list[list[Piece]] = [[]]
    for piece in pieces:
        groups[-1].append(piece)
        if chance.random() < 0.3 and piece is not pieces[-1]:
            groups.append([])
    model = folded(rows_of(groups))
    assert model.notes == WHOLE[order].notes
    assert model.digest() == WHOLE[order].digest()


@given(st.integers(0, 2**32))
def test_what_is_noted_of_pieces_is_noted_of_their_row(seed: int) -> None:
    """The committer checks piece by piece what the fold checks row by row."""
    chance = np.random.default_rng(seed)
    origins = [origin for _, origin in cut(one_by_one(ORDERS[0]), chance)]
    by_piece = None
    for origin in origins:
        by_piece = noted_after(by_piece, source_of([origin]))
    assert noted_after(None, source_of(origins)) == by_piece == WHOLE[0].notes[SOURCES_NOTE]
